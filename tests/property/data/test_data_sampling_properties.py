"""Candidates: what they never and always contain, for every data set and every way of asking."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.config import ConfigError, DataConfig
from ilora.data import Sequences
from ilora.data.sampling import Candidates, CandidateSampler


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Sequences, int, int]:
    """Rows with repeats inside a history, over a catalogue that may have not one item to spare."""
    num_items = draw(st.integers(4, 40))
    width = draw(st.integers(1, min(6, num_items - 2)))
    num_rows = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = rng.integers(1, width, size=num_rows, endpoint=True)
    targets = rng.integers(num_items, size=num_rows)
    others = (targets[:, None] + rng.integers(1, num_items, size=(num_rows, width))) % num_items
    history = np.where(np.arange(width) < lengths[:, None], others, num_items)
    num_candidates = draw(st.integers(2, num_items - int(lengths.max())))
    return Sequences(history, lengths, targets, np.zeros(num_rows, dtype=np.int64)), num_items, num_candidates


def everything(sampler: CandidateSampler, rows: Sequences, epoch: int = 0) -> Candidates:
    return sampler.sample(np.arange(len(rows)), epoch)


@settings(max_examples=200, deadline=None)
@given(tasks(), st.integers(0, 2**63), st.integers(0, 1000))
def test_candidates_hold_the_target_once_and_nothing_of_the_history(
    task: tuple[Sequences, int, int], seed: int, epoch: int
) -> None:
    rows, num_items, num_candidates = task

    drawn = everything(CandidateSampler(rows, num_items, num_candidates, seed), rows, epoch)

    assert drawn.items.shape == (len(rows), num_candidates)
    assert drawn.items.dtype == drawn.target_index.dtype == np.int64
    assert ((drawn.items >= 0) & (drawn.items < num_items)).all()
    assert (drawn.items[np.arange(len(rows)), drawn.target_index] == rows.targets).all()
    for items, history, length in zip(drawn.items.tolist(), rows.history.tolist(), rows.lengths.tolist(), strict=True):
        assert len(set(items)) == num_candidates
        assert not set(items) & set(history[:length])


@settings(max_examples=100, deadline=None)
@given(tasks(), st.data())
def test_a_row_gets_the_same_candidates_in_every_batch(task: tuple[Sequences, int, int], data: st.DataObject) -> None:
    rows, num_items, num_candidates = task
    sampler = CandidateSampler(rows, num_items, num_candidates, seed=7)
    asked = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)), dtype=np.int64)

    some, all_rows = sampler.sample(asked, epoch=3), everything(sampler, rows, epoch=3)

    assert np.array_equal(some.items, all_rows.items[asked])
    assert np.array_equal(some.target_index, all_rows.target_index[asked])


def many_rows(num_rows: int, num_items: int, history: list[int], target: int) -> Sequences:
    return Sequences(
        np.tile(np.array(history, dtype=np.int64), (num_rows, 1)),
        np.full(num_rows, len(history), dtype=np.int64),
        np.full(num_rows, target, dtype=np.int64),
        np.arange(num_rows),
    )


def chi_square(counts: np.ndarray) -> float:
    """Pearson's statistic against equal shares, in standard deviations of its distribution."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("num_candidates", [2, 5, 9])
def test_negatives_places_and_pairs_are_uniform(num_candidates: int) -> None:
    # given 12 items of which 3 are history and target: 9 free ones
    rows = many_rows(20_000, 12, [3, 7], target=5)

    drawn = everything(CandidateSampler(rows, 12, num_candidates, seed=1), rows)

    free = [item for item in range(12) if item not in (3, 7, 5)]
    counts = np.bincount(drawn.items.ravel(), minlength=12)
    places = np.bincount(drawn.target_index, minlength=num_candidates)
    first_two = np.zeros((12, 12))
    np.add.at(first_two, (drawn.items[:, 0], drawn.items[:, 1]), 1)
    ordered_pairs = np.array([first_two[a, b] for a in free for b in free if a != b])
    assert chi_square(places) < 4
    if num_candidates > 2:
        assert chi_square(ordered_pairs) < 4
    if num_candidates < 9:
        # distinct draws vary less than independent ones, so the statistic is below its usual value, never above
        assert chi_square(counts[free]) < 4


def test_a_row_s_target_stands_elsewhere_in_other_epochs_and_under_other_seeds() -> None:
    rows = many_rows(500, 100, [1, 2, 3], target=50)
    sampler = CandidateSampler(rows, 100, 20, seed=1)

    first = everything(sampler, rows)
    next_epoch = everything(sampler, rows, epoch=1)
    other_seed = everything(CandidateSampler(rows, 100, 20, seed=2), rows)

    # two independent draws share 19 * 19 / 96 = 3.8 of their 19 negatives, and the place in one row of twenty
    for other in (next_epoch, other_seed):
        shared = np.mean([len(set(a) & set(b)) - 1 for a, b in zip(first.items, other.items, strict=True)])
        assert shared == pytest.approx(19 * 19 / 96, abs=0.4)
        assert np.mean(first.target_index == other.target_index) < 0.12


def test_rows_next_to_each_other_draw_independently() -> None:
    rows = many_rows(4000, 100, [1, 2, 3], target=50)

    items = everything(CandidateSampler(rows, 100, 20, seed=0), rows).items

    shared = np.mean([len(set(a) & set(b)) - 1 for a, b in pairwise(items)])
    assert shared == pytest.approx(19 * 19 / 96, abs=0.1)


def splitmix(state: int, number: int = 0) -> int:
    """SplitMix64 in plain integers: the state's output function after `number` steps."""
    word = (state + number * 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def slow_candidates(seed: int, epoch: int, row: int, taken: set[int], num_items: int, count: int) -> list[int]:
    """One row's candidates without their order: Floyd's algorithm over the list of free items."""
    key = splitmix(splitmix(splitmix(seed), epoch), row)
    free = [item for item in range(num_items) if item not in taken]
    ranks: list[int] = []
    for draw in range(count):
        limit = len(free) - count + draw
        rank = splitmix(key, draw + 1) % (limit + 1)
        ranks.append(limit if rank in ranks else rank)
    return [free[rank] for rank in ranks]


def test_the_hash_is_splitmix64() -> None:
    # published sequence of seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64")
    assert [splitmix(1234567, number) for number in (1, 2, 3)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(tasks(), st.integers(0, 2**63), st.integers(0, 1000))
def test_draws_equal_those_made_one_by_one_in_plain_integers(
    task: tuple[Sequences, int, int], seed: int, epoch: int
) -> None:
    rows, num_items, num_candidates = task

    drawn = everything(CandidateSampler(rows, num_items, num_candidates, seed), rows, epoch)

    for row in range(len(rows)):
        target = int(rows.targets[row])
        taken = {target, *rows.history[row, : rows.lengths[row]].tolist()}
        negatives = slow_candidates(seed, epoch, row, taken, num_items, num_candidates - 1)
        assert set(drawn.items[row].tolist()) == {target, *negatives}


def test_draws_are_the_same_on_every_machine_and_version() -> None:
    rows = many_rows(2, 50, [4, 8], target=30)

    drawn = everything(CandidateSampler(rows, 50, 5, seed=1234), rows, epoch=2)

    assert drawn.items.tolist() == [[15, 30, 0, 13, 36], [49, 30, 31, 18, 27]]
    assert drawn.target_index.tolist() == [1, 1]


def test_a_catalogue_too_small_names_the_keys() -> None:
    rows = many_rows(1, 10, [1, 2, 3], target=5)

    CandidateSampler(rows, 10, 7, seed=0)
    with pytest.raises(ConfigError, match=r"data\.num_candidates=8: allowed is 2\.\.7\. .*data\.max_history"):
        CandidateSampler(rows, 10, 8, seed=0)


def test_the_reference_s_lastfm_offers_one_random_item_and_no_target() -> None:
    rows = many_rows(300, 50, [1, 2, 3], target=5)
    cfg = DataConfig(source="ilora", prompt="artist")

    drawn = everything(CandidateSampler.from_config(cfg, rows, 50, compat="reference"), rows)

    assert drawn.items.shape == (300, 1)
    assert not np.isin(drawn.items, [1, 2, 3, 5]).any()
    assert (drawn.target_index == -1).all()


@pytest.mark.parametrize(
    ("source", "prompt", "compat"),
    [("ilora", "artist", "fixed"), ("ilora", "movie", "reference"), ("table", "artist", "reference")],
)
def test_everything_else_offers_the_target(source: str, prompt: str, compat: str) -> None:
    rows = many_rows(3, 50, [1, 2, 3], target=5)

    sampler = CandidateSampler.from_config(DataConfig(source=source, prompt=prompt), rows, 50, compat=compat, seed=9)

    assert (everything(sampler, rows).target_index >= 0).all()
    assert np.array_equal(everything(sampler, rows).items, everything(CandidateSampler(rows, 50, 20, 9), rows).items)
