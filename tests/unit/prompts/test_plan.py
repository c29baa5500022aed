"""Which rows make up which batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ilora.config import ConfigError
from ilora.data.plan import BatchPlan, EvalPlan, evaluation_rows


def plan(**changes: object) -> BatchPlan:
    settings: dict[str, object] = {"num_rows": 10, "batch_size": 4, "num_batches": 15, "seed": 3}
    return BatchPlan(**{**settings, **changes})  # type: ignore[arg-type]


def rows(batches: BatchPlan | EvalPlan) -> list[int]:
    return [key.row for batch in batches for key in batch]


def test_every_batch_is_full_and_each_epoch_visits_every_row_once() -> None:
    keys = [key for batch in plan() for key in batch]
    assert len(keys) == 60
    for epoch in range(6):
        assert sorted(key.row for key in keys if key.epoch == epoch) == list(range(10))


def test_a_batch_that_straddles_an_epoch_says_so_per_row() -> None:
    third = plan().micro_batch(2)
    assert third.epochs.tolist() == [0, 0, 1, 1]
    assert third.epoch == 0


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    by_epoch = np.array(rows(plan(batch_size=10, num_batches=3))).reshape(3, 10)
    assert len({tuple(order) for order in by_epoch.tolist()}) == 3
    assert rows(plan(seed=4)) != rows(plan())


def test_a_resumed_plan_goes_on_where_the_first_would_have() -> None:
    whole, rest = list(plan()), list(plan(start=7))
    assert rest == whole[7:]
    assert len(plan(start=7)) == len(rest) == 8


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_global_batch_does_not_depend_on_the_number_of_ranks(world_size: int) -> None:
    alone = plan()
    ranks = [plan(batch_size=4 // world_size, world_size=world_size, rank=rank) for rank in range(world_size)]
    for index in range(15):
        whole = alone.micro_batch(index)
        parts = [rank.micro_batch(index) for rank in ranks]
        for rank, part in enumerate(parts):
            assert part.rows.tolist() == whole.rows[rank::world_size].tolist()
            assert part.epochs.tolist() == whole.epochs[rank::world_size].tolist()
            assert part.hybrid == whole.hybrid


def test_the_curriculum_ramps_from_text_to_hybrid_over_the_run() -> None:
    ramp = plan(num_rows=100, num_batches=2000)
    assert ramp.hybrid_probability(0) == 1 / 2000
    assert ramp.hybrid_probability(1999) == 1.0
    assert ramp.is_hybrid(1999)
    drawn = [ramp.is_hybrid(index) for index in range(2000)]
    shares = [np.mean(drawn[first : first + 500]) for first in range(0, 2000, 500)]
    assert np.allclose(shares, [0.125, 0.375, 0.625, 0.875], atol=0.06)


def test_without_the_curriculum_every_batch_is_hybrid() -> None:
    assert all(key.hybrid for batch in plan(curriculum=False) for key in batch)


def test_the_reference_ramp_ends_at_one_over_the_number_of_epochs_and_starts_again() -> None:
    # LastFM as the release trains it: 47,872 rows in batches of 8 for 5 epochs, 8 workers: 748 of 3,740.
    release = plan(num_rows=47_872, batch_size=8, num_batches=5 * 5984, compat="reference")
    assert release.hybrid_probability(5983) == 748 / 3740
    assert release.hybrid_probability(5984) == release.hybrid_probability(0) == 1 / 3740


def test_the_reference_drops_the_last_incomplete_batch_of_an_epoch() -> None:
    reference = plan(compat="reference", num_batches=4)
    keys = [key for batch in reference for key in batch]
    assert [key.epoch for key in keys] == [0] * 8 + [1] * 8
    for epoch in (0, 1):
        assert max(Counter(key.row for key in keys if key.epoch == epoch).values()) == 1


@pytest.mark.parametrize(
    ("world_size", "allowed"), [(1, "at most 10"), (2, "at most 5 on each of 2 ranks"), (11, "no batch size")]
)
def test_a_batch_larger_than_the_data_names_the_key_and_the_rows(world_size: int, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"train.batch_size=11: allowed is {allowed}.*10 rows"):
        plan(batch_size=11, world_size=world_size)


def test_a_batch_as_large_as_the_data_is_allowed() -> None:
    assert sorted(rows(plan(batch_size=10, num_batches=1))) == list(range(10))


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_evaluation_visits_every_row_exactly_once_over_all_ranks(world_size: int) -> None:
    plans = [EvalPlan(rows=np.arange(5), batch_size=2, world_size=world_size, rank=rank) for rank in range(world_size)]
    assert sorted(row for one in plans for row in rows(one)) == list(range(5))
    assert [len(one) for one in plans] == [len(list(one)) for one in plans]
    assert all(key.hybrid for one in plans for batch in one for key in batch)


def test_the_evaluated_subset_is_seeded_sorted_and_without_repeats() -> None:
    subset = evaluation_rows(50, 20, seed=1)
    assert len(set(subset.tolist())) == 20
    assert subset.tolist() == sorted(subset.tolist()) == evaluation_rows(50, 20, seed=1).tolist()
    assert subset.tolist() != evaluation_rows(50, 20, seed=2).tolist()
    assert evaluation_rows(5, None, seed=1).tolist() == evaluation_rows(5, 9, seed=1).tolist() == [0, 1, 2, 3, 4]
