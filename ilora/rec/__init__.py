"""Sequential recommenders: SASRec, GRU and Caser; their files, their training, their evaluation."""

from ilora.rec.base import Recommender
from ilora.rec.build import ARCHITECTURES, build_recommender
from ilora.rec.caser import Caser
from ilora.rec.checkpoint import CheckpointError, load_recommender, save_recommender
from ilora.rec.evaluate import RankingMetric, ranking_metrics
from ilora.rec.gru import GRU
from ilora.rec.sasrec import SASRec
from ilora.rec.train import EpochResult, train_recommender

__all__ = [
    "ARCHITECTURES",
    "GRU",
    "Caser",
    "CheckpointError",
    "EpochResult",
    "RankingMetric",
    "Recommender",
    "SASRec",
    "build_recommender",
    "load_recommender",
    "ranking_metrics",
    "save_recommender",
    "train_recommender",
]
