"""What can be wrong with a recorded snapshot."""

from __future__ import annotations

from pathlib import Path


class DamageError(Exception):
    """What is wrong with a file, as the rest of a sentence that begins with its name."""


class SnapshotFileError(ValueError):
    """A file that is no usable memory snapshot; the message names it, what is wrong and what is accepted."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path, self.what = path, what


class ReadWholeError(Exception):
    """A file that is unlike those that can be read event by event; the whole of it has to be unpickled as it stands."""
