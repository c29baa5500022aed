"""Recommenders on disk."""

from ilora.rec.checkpoint.errors import CheckpointError
from ilora.rec.checkpoint.load import load_recommender
from ilora.rec.checkpoint.native import save_recommender

__all__ = ["CheckpointError", "load_recommender", "save_recommender"]
