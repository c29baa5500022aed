"""The batch plan over any number of rows, ranks and batches."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.data.plan import BatchPlan, EvalPlan


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    world_size = draw(st.integers(1, 5))
    batch_size = draw(st.integers(1, 6))
    num_rows = draw(st.integers(world_size * batch_size, 40))
    return num_rows, batch_size, world_size, draw(st.integers(1, 12))


@settings(max_examples=60, deadline=None)
@given(shape=shapes(), seed=st.integers(0, 2**31))
def test_ranks_together_read_the_stream_without_gap_or_repeat(shape: tuple[int, int, int, int], seed: int) -> None:
    num_rows, batch_size, world_size, num_batches = shape
    seen: Counter[tuple[int, int]] = Counter()
    for rank in range(world_size):
        plan = BatchPlan(
            num_rows=num_rows,
            batch_size=batch_size,
            num_batches=num_batches,
            seed=seed,
            world_size=world_size,
            rank=rank,
        )
        for batch in plan:
            assert len(batch) == batch_size
            seen.update((key.epoch, key.row) for key in batch)
    assert set(seen.values()) == {1}
    total = num_batches * batch_size * world_size
    assert len(seen) == total
    for epoch in range(total // num_rows):
        assert {(epoch, row) for row in range(num_rows)} <= set(seen)


@settings(max_examples=60, deadline=None)
@given(num_rows=st.integers(0, 40), batch_size=st.integers(1, 9), world_size=st.integers(1, 6))
def test_evaluation_loses_and_repeats_nothing(num_rows: int, batch_size: int, world_size: int) -> None:
    rows = [
        key.row
        for rank in range(world_size)
        for batch in EvalPlan(rows=np.arange(num_rows), batch_size=batch_size, world_size=world_size, rank=rank)
        for key in batch
    ]
    assert sorted(rows) == list(range(num_rows))
