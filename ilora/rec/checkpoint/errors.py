"""What can be wrong with a recommender's file."""

from __future__ import annotations

from pathlib import Path

ACCEPTED = (
    "a released whole-module .pt file (SASRec, GRU or Caser), a Lightning checkpoint or a state dict of one "
    "(written by torch.save), or a file of save_recommender (safetensors)"
)


class CheckpointError(ValueError):
    """A recommender cannot be loaded from this file.

    Attributes:
        path: the file.
        reason: what is wrong, in words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = Path(path), reason
        super().__init__(f"{path}: {reason}. Accepted is {ACCEPTED}")
