"""The last-n split against a plain, slow retelling of its contract."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.config import DataConfig
from ilora.data import Catalogue, Sequences
from ilora.data.readers.base import Interactions, Report, Splits
from ilora.data.split import fit_splits, last_n_split

NUM_ITEMS = 9
CATALOGUE = Catalogue(tuple(f"item {item}" for item in range(NUM_ITEMS)))


@st.composite
def logs(draw: st.DrawFn) -> Interactions:
    """Up to six users with up to twelve choices each, in any order, with many equal timestamps."""
    counts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    users = draw(st.permutations([user for user, count in enumerate(counts) for _ in range(count)]))
    items = draw(st.lists(st.integers(0, NUM_ITEMS - 1), min_size=len(users), max_size=len(users)))
    times = draw(st.lists(st.integers(0, 5), min_size=len(users), max_size=len(users)))
    return Interactions(*(np.array(column, dtype=np.int64) for column in (users, items, times)))


configs = st.builds(
    DataConfig, holdout=st.integers(1, 3), max_history=st.integers(1, 6), min_history=st.integers(1, 3)
)  # fmt: skip


def timelines(log: Interactions) -> dict[int, list[int]]:
    rows = sorted(range(len(log.users)), key=lambda row: (log.users[row], log.timestamps[row], row))
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(int(log.users[row]), []).append(int(log.items[row]))
    return found


def expected_rows(log: Interactions, cfg: DataConfig) -> dict[str, list[tuple[int, tuple[int, ...], int]]]:
    found: dict[str, list[tuple[int, tuple[int, ...], int]]] = {"train": [], "val": [], "test": []}
    for user, items in timelines(log).items():
        for place, target in enumerate(items):
            to_end = len(items) - place
            split = "test" if to_end <= cfg.holdout else "val" if to_end <= 2 * cfg.holdout else "train"
            history = tuple(items[max(0, place - cfg.max_history) : place])
            if len(history) >= cfg.min_history and target not in history:
                found[split].append((user, history, target))
    return found


def as_rows(rows: Sequences) -> list[tuple[int, tuple[int, ...], int]]:
    return [
        (int(user), tuple(history[:length].tolist()), int(target))
        for user, history, length, target in zip(rows.users, rows.history, rows.lengths, rows.targets, strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(logs(), configs)
def test_the_split_is_what_its_contract_says(log: Interactions, cfg: DataConfig) -> None:
    splits = last_n_split(log, CATALOGUE, cfg, Report())

    expected = expected_rows(log, cfg)
    assert as_rows(splits.train) == expected["train"]
    assert as_rows(splits.val) == expected["val"]
    assert as_rows(splits.test) == expected["test"]


@settings(max_examples=100, deadline=None)
@given(logs(), configs)
def test_no_training_row_sees_a_held_out_choice_and_each_is_a_target_once(log: Interactions, cfg: DataConfig) -> None:
    # given items that name their own place in time, so that a leak shows
    place = np.zeros(len(log.users), dtype=np.int64)
    order = np.lexsort((log.timestamps, log.users))
    place[order] = np.arange(len(order))
    distinct = Interactions(log.users, place, log.timestamps)
    catalogue = Catalogue(tuple(map(str, range(len(place)))))

    splits = last_n_split(distinct, catalogue, DataConfig(**{**vars(cfg), "min_history": 1}), Report())

    held_out = {int(item) for rows in (splits.val, splits.test) for item in rows.targets}
    first_held_out = {
        user: min(item for item in held_out if log.users[order[item]] == user)
        for user in {int(log.users[order[item]]) for item in held_out}
    }
    for user, history, target in as_rows(splits.train):
        assert max(*history, target) < first_held_out[user]
    counts = Counter(int(item) for rows in (splits.val, splits.test) for item in rows.targets)
    # every held-out choice but a user's very first, which has no history, exactly once
    want = {
        int(place)
        for user in np.unique(log.users)
        for place in np.flatnonzero(log.users[order] == user)[1:][-2 * cfg.holdout :]
    }
    assert counts == Counter(want)


@settings(max_examples=100, deadline=None)
@given(logs(), configs)
def test_every_row_that_is_left_out_is_counted(log: Interactions, cfg: DataConfig) -> None:
    report = Report()

    splits = last_n_split(log, CATALOGUE, cfg, report)

    left_out = sum(int(note.split()[1]) for note in report.notes if note.startswith(("train:", "val:", "test:")))
    assert len(splits.train) + len(splits.val) + len(splits.test) + left_out == len(log.users)


@settings(max_examples=100, deadline=None)
@given(logs(), configs, st.integers(1, 8))
def test_ready_rows_brought_to_a_width_equal_rows_split_at_it(log: Interactions, cfg: DataConfig, width: int) -> None:
    wide = last_n_split(log, CATALOGUE, DataConfig(max_history=8, min_history=1, holdout=cfg.holdout), Report())
    narrow_cfg = DataConfig(max_history=width, min_history=1, holdout=cfg.holdout)

    fitted = fit_splits(wide, CATALOGUE, narrow_cfg, Report())

    # a narrower window may lose a repeated target, so only rows both know are compared
    narrow = last_n_split(log, CATALOGUE, narrow_cfg, Report())
    assert set(as_rows(fitted.train)) <= set(as_rows(narrow.train))
    assert all(len(history) == min(width, len(history)) for _, history, _ in as_rows(fitted.test))
    assert fit_equal(fit_splits(narrow, CATALOGUE, narrow_cfg, Report()), narrow)


def fit_equal(first: Splits, second: Splits) -> bool:
    return (first.train, first.val, first.test) == (second.train, second.val, second.test)
