"""Which recommenders there are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ilora.config.tree import RecConfig
from ilora.rec.base import Recommender
from ilora.rec.caser import Caser
from ilora.rec.gru import GRU
from ilora.rec.sasrec import SASRec

ARCHITECTURES: Mapping[str, type[SASRec | GRU | Caser]] = MappingProxyType(
    {model.arch: model for model in (SASRec, GRU, Caser)}
)


def build_recommender(cfg: RecConfig, num_items: int, max_history: int) -> Recommender:
    """A fresh recommender with weights from torch's global generator.

    Raises:
        ValueError: no such architecture, or a shape it cannot have.
    """
    if cfg.arch not in ARCHITECTURES:
        raise ValueError(f"rec.arch={cfg.arch}: allowed is {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[cfg.arch](num_items, cfg.hidden_size, max_history, cfg.dropout)
