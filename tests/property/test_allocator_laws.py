"""Laws of the allocator model that hold after any sequence of requests, with any settings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.memory.allocator import AllocatorOutOfMemory, AllocatorSettings, Block, CachingAllocator, round_size
from ilora_diag.memory.segments import ALLOCATED, FREE, SegmentView

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TOTAL = 400 * MIB

SIZES = st.one_of(
    st.integers(1, 4 * KIB),
    st.integers(1, MIB),
    st.integers(MIB - 512, MIB + 1024),
    st.integers(MIB, 12 * MIB),
    st.integers(8 * MIB, 90 * MIB),
)
SETTINGS = st.builds(
    AllocatorSettings,
    expandable_segments=st.booleans(),
    max_split_size_bytes=st.sampled_from([None, 20 * MIB, 33 * MIB]),
    max_non_split_rounding_bytes=st.sampled_from([20 * MIB, 40 * MIB]),
    garbage_collection_threshold=st.sampled_from([0.0, 0.3, 0.8]),
    roundup_power2_divisions=st.sampled_from([(), (4,) * 16, (0, 8, 2, *(0,) * 13)]),
    large_segment_size_bytes=st.sampled_from([20 * MIB, 12 * MIB]),
    per_process_memory_fraction=st.sampled_from([None, 0.5]),
)


class Step(NamedTuple):
    kind: str
    number: int
    stream: int


STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.just("malloc"), SIZES, st.sampled_from([0, 0, 0, 5])),
        st.builds(Step, st.just("free"), st.integers(0, 1000), st.just(0)),
        st.builds(Step, st.just("record_stream"), st.integers(0, 1000), st.just(9)),
        st.builds(Step, st.just("empty_cache"), st.just(0), st.just(0)),
        st.builds(Step, st.just("synchronize"), st.just(0), st.just(0)),
        st.builds(Step, st.just("reset_peaks"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


def run(allocator: CachingAllocator, steps: list[Step], live: list[Block]) -> Iterator[Step]:
    """Take the steps that can be taken; out of memory is one of the answers."""
    for step in steps:
        if step.kind == "malloc":
            try:
                block = allocator.malloc(step.number, stream=step.stream)
            except AllocatorOutOfMemory:
                yield step
                continue
            assert block is not None
            live.append(block)
        elif step.kind == "free" and live:
            allocator.free(live.pop(step.number % len(live)))
        elif step.kind == "record_stream" and live:
            allocator.record_stream(live[step.number % len(live)], step.stream)
        elif step.kind == "empty_cache":
            allocator.empty_cache()
        elif step.kind == "synchronize":
            allocator.synchronize()
        elif step.kind == "reset_peaks":
            allocator.reset_peaks()
        yield step


def recount(segments: tuple[SegmentView, ...]) -> dict[str, int]:
    """The counters, from the segments alone."""
    blocks = [(segment, block) for segment in segments for block in segment.blocks]
    used = [block for _, block in blocks if block.state == ALLOCATED]
    active = [block for _, block in blocks if block.state != FREE]
    cut = [
        block
        for segment, block in blocks
        if block.state == FREE and not segment.is_expandable and len(segment.blocks) > 1
    ]
    return {
        "allocated_bytes": sum(block.size for block in used),
        "allocation": len(used),
        "active_bytes": sum(block.size for block in active),
        "active": len(active),
        "requested_bytes": sum(block.requested_size for block in active),
        "reserved_bytes": sum(segment.total_size for segment in segments),
        "segment": sum(not segment.is_expandable for segment in segments),
        "inactive_split_bytes": sum(block.size for block in cut),
        "inactive_split": len(cut),
    }


def check_shape(segments: tuple[SegmentView, ...]) -> None:
    """Blocks fill their segment, free ones never lie side by side, and segments do not overlap."""
    for segment in segments:
        end = segment.address
        for block in segment.blocks:
            assert block.address == end
            assert block.size > 0
            assert block.size % 512 == 0
            end += block.size
        assert end == segment.address + segment.total_size
        assert not any(a.state == FREE == b.state for a, b in pairwise(segment.blocks))
    assert all(a.address + a.total_size <= b.address for a, b in pairwise(segments))


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.sampled_from([None, 100 * MIB, 257 * MIB]), STEPS)
def test_the_counters_equal_a_recount_after_every_step(
    options: AllocatorSettings, capacity: int | None, steps: list[Step]
) -> None:
    allocator = CachingAllocator(capacity, total_bytes=TOTAL, settings=options)
    live: list[Block] = []
    allowed = TOTAL // 2 if options.per_process_memory_fraction else None
    for _ in run(allocator, steps, live):
        segments = allocator.segments()
        check_shape(segments)
        stats = allocator.memory_stats()
        for pool in ("all", "small_pool", "large_pool"):
            part = tuple(s for s in segments if pool == "all" or s.segment_type == pool.removesuffix("_pool"))
            counted = {family: stats[f"{family}.{pool}.current"] for family in recount(part)}
            assert counted == recount(part)
        chain = (allocator.requested_bytes, allocator.allocated_bytes, allocator.active_bytes, allocator.reserved_bytes)
        assert chain[1] <= chain[2] <= chain[3]
        assert chain[0] <= chain[2]
        assert allocator.reserved_bytes == allocator.core.driver.held_bytes
        if capacity is not None:
            assert allocator.reserved_bytes <= capacity
        if allowed is not None and not options.expandable_segments:
            assert allocator.reserved_bytes <= allowed
        assert sorted(block.address for block in live) == sorted(
            block.address for segment in segments for block in segment.blocks if block.state == ALLOCATED
        )


@settings(max_examples=40, deadline=None)
@given(SETTINGS, STEPS)
def test_peaks_are_running_maxima(options: AllocatorSettings, steps: list[Step]) -> None:
    allocator = CachingAllocator(total_bytes=TOTAL, settings=options)
    seen = dict.fromkeys(("allocated_bytes", "requested_bytes", "active_bytes"), 0)
    for step in run(allocator, steps, []):
        stats = allocator.memory_stats()
        for family in seen:
            current, peak = stats[f"{family}.all.current"], stats[f"{family}.all.peak"]
            seen[family] = current if step.kind == "reset_peaks" else max(seen[family], current)
            assert peak == seen[family]
            assert stats[f"{family}.all.allocated"] - stats[f"{family}.all.freed"] == current
        assert stats["reserved_bytes.all.peak"] >= stats["reserved_bytes.all.current"]


@settings(max_examples=40, deadline=None)
@given(SETTINGS, STEPS)
def test_giving_everything_back_leaves_nothing(options: AllocatorSettings, steps: list[Step]) -> None:
    allocator = CachingAllocator(total_bytes=TOTAL, settings=options)
    live: list[Block] = []
    for _ in run(allocator, steps, live):
        pass
    for block in live:
        allocator.free(block)
    allocator.empty_cache()
    assert allocator.segments() == ()
    assert allocator.reserved_bytes == 0
    assert allocator.requested_bytes == allocator.active_bytes == 0
    reserved = allocator.stats.reserved
    assert reserved.allocated == reserved.freed
    if not options.expandable_segments:
        assert allocator.stats.num_device_alloc == allocator.stats.num_device_free


@settings(max_examples=40, deadline=None)
@given(SETTINGS, STEPS, STEPS)
def test_a_state_taken_over_goes_on_the_same(options: AllocatorSettings, before: list[Step], after: list[Step]) -> None:
    """A copy made from the snapshot serves the same requests from the same places."""
    first = CachingAllocator(total_bytes=TOTAL, settings=options)
    live: list[Block] = []
    for _ in run(first, [step for step in before if step.kind != "record_stream"], live):
        pass
    first.empty_cache()
    if options.expandable_segments and not options_keep_order(first):
        return
    second = CachingAllocator(total_bytes=TOTAL, settings=options)
    copies = second.adopt(first.snapshot_segments())
    assert second.snapshot_segments() == first.snapshot_segments()
    twins = [copies[block.address] for block in live]
    for _ in zip(
        run(first, [step for step in after if step.kind in ("malloc", "free")], live),
        run(second, [step for step in after if step.kind in ("malloc", "free")], twins),
        strict=True,
    ):
        assert first.allocated_bytes == second.allocated_bytes
        assert first.reserved_bytes == second.reserved_bytes
        if not options.expandable_segments:
            sizes = [[block.size for block in segment.blocks] for segment in first.segments()]
            assert sizes == [[block.size for block in segment.blocks] for segment in second.segments()]


def options_keep_order(allocator: CachingAllocator) -> bool:
    """Whether every growing range begins with mapped memory: a snapshot does not say where an unmapped start lay."""
    starts = {id(block.reservation): block.reservation for block in allocator.core.active_blocks.values()}
    heads = {segment.address for segment in allocator.segments()}
    return all(range_ is not None and range_.address in heads for range_ in starts.values())


@given(st.integers(1, 64 * GIB), st.sampled_from([(), (2,) * 16, (8,) * 16, (64,) * 16, (0, 4, *(16,) * 14)]))
def test_rounding_never_takes_away_and_stays_within_a_division(nbytes: int, divisions: tuple[int, ...]) -> None:
    options = AllocatorSettings(roundup_power2_divisions=divisions)
    rounded = round_size(nbytes, options)
    assert rounded >= nbytes
    assert rounded % 512 == 0
    assert round_size(rounded, options) == rounded
    count = options.divisions_for(nbytes)
    step = max(512, (1 << (nbytes.bit_length() - 1)) // count) if count > 1 else 512
    assert rounded - nbytes < step
