"""Rows for a recommender to train on, without the data: as many as there would be, of the largest shape.

The whole training split lies on the card while a recommender trains, so its number of rows counts. What stands in the
rows does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from ilora.config import Config
from ilora.data import Catalogue, Manifest, SequenceData, Sequences, load_data
from ilora.rec.evaluate import BATCH_SIZE

# ml-100k: every user has 20 ratings or more (its README); rows are counted by `ilora.data.split`.
_ML_100K_RATINGS, _ML_100K_USERS, _ML_100K_FEWEST = 100_000, 943, 20
_ASSUMED_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class RowCount:
    """Rows of the training and validation splits, and the sentence that says so where they are assumed."""

    train: int
    val: int
    assumption: str = ""


def row_count(config: Config) -> RowCount:
    """Rows of the configured data, where they can be known without reading it."""
    data = config.data
    if data.source == "synthetic":
        made = load_data(data, compat=config.compat)
        return RowCount(len(made.train), len(made.val))
    if data.source == "canonical" and data.path is not None:
        counted = _of_manifest(Path(data.path).expanduser())
        if counted is not None:
            return counted
    train, val, is_known = _ASSUMED_ROWS, BATCH_SIZE, False
    if data.source == "ml-100k":
        kept_back = data.min_history + 2 * data.holdout
        train, val = max(1, _ML_100K_RATINGS - _ML_100K_USERS * kept_back), _ML_100K_USERS * data.holdout
        is_known = data.min_rating == 0 and kept_back <= _ML_100K_FEWEST and data.path is None
    text = "" if is_known else f"the training split has {train} rows (data.source={data.source} was not read)"
    return RowCount(train, val, text)


def _of_manifest(folder: Path) -> RowCount | None:
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["manifest"]["num_rows"]
        train, val = found["train"], found["val"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return RowCount(train, val) if isinstance(train, int) and isinstance(val, int) and train > 0 else None


def stand_in(config: Config, num_items: int, rows: RowCount) -> SequenceData:
    """Data of these sizes: full histories of valid ids that mean nothing.

    The validation split has no more rows than are ranked at once: whatever more there were would ask for the same.
    """
    width = config.data.max_history
    train = Sequences(  # zeros are memory that nothing touches, however many rows there are
        np.zeros((rows.train, width), dtype=np.int64),
        np.full(rows.train, width, dtype=np.int64),
        np.zeros(rows.train, dtype=np.int64),
        np.zeros(rows.train, dtype=np.int64),
    )
    num_val = max(1, min(rows.val, BATCH_SIZE))
    val = Sequences(
        np.tile(np.arange(width, dtype=np.int64), (num_val, 1)),
        np.full(num_val, width, dtype=np.int64),
        np.full(num_val, width, dtype=np.int64),
        np.zeros(num_val, dtype=np.int64),
    )
    none = Sequences.empty(width)
    return SequenceData(Catalogue(("",) * num_items), train, val, none, cast("Manifest", None))  # nobody reads it
