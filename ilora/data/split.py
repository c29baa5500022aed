"""From interactions to rows: the last choices of every user are held out, and no row looks ahead."""

from __future__ import annotations

import numpy as np

from ilora.config import DataConfig
from ilora.data.readers.base import Interactions, Report, Splits
from ilora.data.records import Catalogue, IntArray, Sequences

_TRAIN, _VAL, _TEST = 0, 1, 2


def last_n_split(log: Interactions, catalogue: Catalogue, cfg: DataConfig, report: Report) -> Splits:
    """Split every user's interactions by time: the last `holdout` are test targets, as many before them val targets.

    Every other interaction but a user's first is a training target. A row's history is the up to `max_history`
    interactions right before its target, so training rows never see a held-out choice, and a test row sees the
    choices before it, the held-out ones included.

    Interactions with equal timestamps keep the order of the file (the sort is stable). Ordering ties by item id
    instead would teach a model to count.

    Left out, and counted in the notes: rows with a history shorter than `min_history`, and rows whose target stands
    in their own history, since candidates contain the target and never the history.

    Args:
        log: interactions of all users.
        catalogue: the items.
        cfg: `holdout`, `max_history`, `min_history`.
        report: receives the notes.
    """
    order = np.lexsort((log.timestamps, log.users))
    users, items = log.users[order], log.items[order]
    per_user = np.bincount(users)
    first = np.cumsum(per_user) - per_user
    place = np.arange(len(users)) - first[users]
    to_end = per_user[users] - place  # 1: the user's last
    split_of = np.where(to_end <= cfg.holdout, _TEST, np.where(to_end <= 2 * cfg.holdout, _VAL, _TRAIN))
    parts: list[Sequences] = []
    for split, name in ((_TRAIN, "train"), (_VAL, "val"), (_TEST, "test")):
        targets = np.flatnonzero(split_of == split)
        rows = _rows_before(targets, place[targets], items, users, catalogue.pad_id, cfg.max_history)
        parts.append(_drop_unusable(rows, cfg.min_history, name, report))
    num_untrained = int((per_user <= 2 * cfg.holdout + 1).sum())
    if num_untrained:
        report.note(f"{num_untrained} users have at most {2 * cfg.holdout + 1} interactions: none is left to train on")
    train, val, test = parts
    return Splits(train, val, test, num_users=len(per_user), num_interactions=len(users))


def fit_splits(splits: Splits, catalogue: Catalogue, cfg: DataConfig, report: Report) -> Splits:
    """Bring ready-made rows to `max_history` places, the newest kept, and leave out what `last_n_split` leaves out."""
    train, val, test = (
        _drop_unusable(_newest(rows, catalogue.pad_id, cfg.max_history), cfg.min_history, name, report)
        for name, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    )
    return Splits(train, val, test, splits.num_users, splits.num_interactions)


def _rows_before(
    targets: IntArray, place: IntArray, items: IntArray, users: IntArray, pad_id: int, width: int
) -> Sequences:
    """Rows for the interactions at `targets`, each the `place`-th of its user; length 0 for a user's first."""
    lengths = np.minimum(place, width)
    steps = np.arange(width)
    inside = steps < lengths[:, None]
    source = np.where(inside, (targets - lengths)[:, None] + steps, 0)
    history = np.where(inside, items[source], pad_id)
    return Sequences(history, lengths, items[targets], users[targets])


def _newest(rows: Sequences, pad_id: int, width: int) -> Sequences:
    """The same rows with `width` places of history."""
    lengths = np.minimum(rows.lengths, width)
    steps = np.arange(width)
    inside = steps < lengths[:, None]
    if rows.max_history == 0:  # nothing to take from
        return Sequences(np.full(inside.shape, pad_id), lengths, rows.targets, rows.users)
    source = np.where(inside, (rows.lengths - lengths)[:, None] + steps, 0)
    history = np.where(inside, np.take_along_axis(rows.history, source, axis=1), pad_id)
    return Sequences(history, lengths, rows.targets, rows.users)


def _drop_unusable(rows: Sequences, min_history: int, name: str, report: Report) -> Sequences:
    short = rows.lengths < min_history
    repeated = (rows.history == rows.targets[:, None]).any(axis=1) & ~short
    if short.any():
        num_empty = int((rows.lengths == 0).sum())
        report.note(
            f"{name}: {int(short.sum())} rows with a history shorter than data.min_history={min_history} are left out, "
            f"{num_empty} of them with none"
        )
    if repeated.any():
        report.note(f"{name}: {int(repeated.sum())} rows are left out because the target stands in its own history")
    return rows.rows(~short & ~repeated)
