"""The caching allocator's rules, one by one, each with the nearest case that falls the other way."""

from __future__ import annotations

import pytest

from ilora_diag.memory.allocator import (
    AllocatorOutOfMemory,
    AllocatorSettings,
    Block,
    CachingAllocator,
    UnsupportedBackendError,
    round_size,
    segment_size,
)
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.oom import ProcessUse

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DEFAULTS = AllocatorSettings()


def take(allocator: CachingAllocator, nbytes: int, stream: int = 0) -> Block:
    block = allocator.malloc(nbytes, stream=stream)
    assert block is not None
    return block


@pytest.mark.parametrize(
    ("nbytes", "divisions", "rounded"),
    [
        (1, (), 512),
        (512, (), 512),
        (513, (), 1024),
        (MIB + 1, (), MIB + 512),
        (1200, (4,) * 16, 1536),  # at most 512 x 4: by 512 still
        (2048, (4,) * 16, 2048),
        (2049, (4,) * 16, 2560),
        (5 * MIB, (4,) * 16, 5 * MIB),
        (5 * MIB + 1, (4,) * 16, 6 * MIB),
        (5 * MIB + 1, (0,) * 16, 5 * MIB + 512),
        (3 * MIB + 1, (0, 8, *(0,) * 14), 3 * MIB + 256 * KIB),
        (5 * MIB + 1, (0, 8, *(0,) * 14), 5 * MIB + 512),
    ],
)
def test_rounding(nbytes: int, divisions: tuple[int, ...], rounded: int) -> None:
    settings = AllocatorSettings(roundup_power2_divisions=divisions)
    assert round_size(nbytes, settings) == rounded
    assert take(CachingAllocator(settings=settings), nbytes).requested == nbytes


@pytest.mark.parametrize(
    ("rounded", "segment"),
    [
        (512, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 512, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 512, 12 * MIB),
    ],
)
def test_segment_sizes(rounded: int, segment: int) -> None:
    assert segment_size(rounded, DEFAULTS) == segment
    allocator = CachingAllocator()
    take(allocator, rounded)
    assert allocator.reserved_bytes == segment


def test_large_segment_size_option() -> None:
    allocator = CachingAllocator(settings=AllocatorSettings(large_segment_size_bytes=12 * MIB))
    take(allocator, 2 * MIB)
    assert allocator.reserved_bytes == 12 * MIB


def test_nothing_for_nothing() -> None:
    allocator = CachingAllocator()
    assert allocator.malloc(0) is None
    assert allocator.reserved_bytes == 0
    with pytest.raises(ValueError, match="negative"):
        allocator.malloc(-1)


def test_a_large_rest_of_a_mebibyte_stays_with_its_block() -> None:
    """`allocated` counts the slack, `requested` does not."""
    allocator = CachingAllocator()
    block = take(allocator, 11 * MIB)
    assert (block.size, allocator.allocated_bytes, allocator.requested_bytes) == (12 * MIB, 12 * MIB, 11 * MIB)
    other = take(allocator, 11 * MIB - 512)
    assert other.size == 11 * MIB - 512
    assert allocator.stats.inactive_split.current == MIB + 512


def test_best_fit_takes_the_smallest_and_then_the_lowest() -> None:
    allocator = CachingAllocator()
    blocks = [take(allocator, size) for size in (40 * MIB, 30 * MIB, 30 * MIB, 50 * MIB)]
    addresses = [block.address for block in blocks]
    for block in blocks:
        allocator.free(block)
    assert [take(allocator, 29 * MIB).address for _ in range(4)] == [addresses[index] for index in (1, 2, 0, 3)]


def test_streams_and_pools_do_not_share() -> None:
    allocator = CachingAllocator()
    allocator.free(take(allocator, 4 * MIB, stream=0))
    take(allocator, 4 * MIB, stream=7)
    assert allocator.reserved_bytes == 40 * MIB
    take(allocator, MIB)
    assert allocator.reserved_bytes == 42 * MIB
    take(allocator, 4 * MIB, stream=0)
    assert allocator.reserved_bytes == 42 * MIB


def test_free_merges_with_both_neighbours() -> None:
    allocator = CachingAllocator()
    first, second, third = (take(allocator, 256 * KIB) for _ in range(3))
    allocator.free(first)
    allocator.free(third)
    assert [block.state for block in allocator.segments()[0].blocks] == ["inactive", "active_allocated", "inactive"]
    allocator.free(second)
    assert [block.size for block in allocator.segments()[0].blocks] == [2 * MIB]
    assert allocator.stats.inactive_split.current == 0


def test_freeing_twice_is_refused() -> None:
    allocator = CachingAllocator()
    block = take(allocator, 100)
    allocator.free(block)
    with pytest.raises(ValueError, match="freed twice"):
        allocator.free(block)


def test_a_block_on_another_stream_waits() -> None:
    allocator = CachingAllocator()
    block = take(allocator, 4 * MIB)
    allocator.record_stream(block, 3)
    allocator.free(block)
    assert (allocator.allocated_bytes, allocator.active_bytes) == (0, 4 * MIB)
    assert allocator.segments()[0].blocks[0].state == "active_pending_free"
    allocator.synchronize()
    assert (allocator.active_bytes, allocator.requested_bytes) == (0, 0)
    own = take(allocator, 4 * MIB)
    allocator.record_stream(own, 0)
    allocator.free(own)
    assert allocator.active_bytes == 0


def test_empty_cache_leaves_what_is_split() -> None:
    allocator = CachingAllocator()
    kept = take(allocator, 100)
    allocator.free(take(allocator, 100))
    allocator.free(take(allocator, 30 * MIB))
    allocator.empty_cache()
    assert allocator.reserved_bytes == 2 * MIB
    allocator.free(kept)
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0
    assert allocator.stats.num_device_free == 2


def test_capacity_retry_and_error() -> None:
    events: list[TraceEvent] = []
    allocator = CachingAllocator(100 * MIB, total_bytes=128 * MIB, record=events.append)
    cached = take(allocator, 60 * MIB)
    allocator.free(cached)
    held = take(allocator, 70 * MIB)
    assert (allocator.stats.num_alloc_retries, allocator.reserved_bytes) == (1, 70 * MIB)
    with pytest.raises(AllocatorOutOfMemory) as caught:
        take(allocator, 31 * MIB)
    assert allocator.stats.num_ooms == 1
    assert allocator.stats.num_alloc_retries == 2
    facts = caught.value.facts
    assert (facts.requested_bytes, facts.free_bytes, facts.total_bytes) == (32 * MIB, 30 * MIB, 128 * MIB)
    assert "Tried to allocate 32.00 MiB. GPU 0 has a total capacity of 128.00 MiB" in str(caught.value)
    assert events[-1].to_dict() == {"action": "oom", "device_free": 30 * MIB, "size": 31 * MIB, "stream": 0}
    take(allocator, 30 * MIB)
    allocator.free(held)
    allocator.capacity_bytes = 200 * MIB
    take(allocator, 90 * MIB)
    assert allocator.peak_reserved_bytes == 190 * MIB


def test_the_error_names_who_uses_the_card() -> None:
    allocator = CachingAllocator(100 * MIB, total_bytes=GIB)
    allocator.processes = (ProcessUse(pid=3936, used_bytes=5 * GIB), ProcessUse(pid=None, used_bytes=500 * MIB))
    take(allocator, 80 * MIB)
    text = (
        "is free. Process 3936 has 5.00 GiB memory in use. Including non-PyTorch memory, this process has 580.00 MiB "
        "memory in use. Of the allocated memory 80.00 MiB is allocated by PyTorch, and 0 bytes is reserved"
    )
    with pytest.raises(AllocatorOutOfMemory, match=text):
        take(allocator, 80 * MIB)


def test_memory_fraction_limits_and_says_so() -> None:
    allocator = CachingAllocator(total_bytes=1000 * MIB)
    allocator.set_memory_fraction(0.05)
    take(allocator, 48 * MIB)
    with pytest.raises(AllocatorOutOfMemory, match=r"50\.00 MiB allowed; Of the allocated memory 48\.00 MiB"):
        take(allocator, 3 * MIB)
    take(allocator, 100)
    with pytest.raises(ValueError, match="Invalid fraction"):
        allocator.set_memory_fraction(1.5)
    with pytest.raises(ValueError, match="total_bytes"):
        CachingAllocator().set_memory_fraction(0.5)


class TestMaxSplit:
    SETTINGS = AllocatorSettings(max_split_size_bytes=32 * MIB)

    def test_oversize_blocks_are_neither_split_nor_given_to_small_requests(self) -> None:
        allocator = CachingAllocator(settings=self.SETTINGS)
        allocator.free(take(allocator, 64 * MIB))
        assert take(allocator, 30 * MIB).size == 30 * MIB
        assert allocator.reserved_bytes == 94 * MIB
        assert take(allocator, 46 * MIB).size == 64 * MIB

    def test_nor_to_requests_much_smaller(self) -> None:
        allocator = CachingAllocator(settings=self.SETTINGS)
        allocator.free(take(allocator, 64 * MIB))
        take(allocator, 44 * MIB)
        assert allocator.reserved_bytes == 108 * MIB
        wider = AllocatorSettings(max_split_size_bytes=32 * MIB, max_non_split_rounding_bytes=64 * MIB)
        allocator = CachingAllocator(settings=wider)
        allocator.free(take(allocator, 64 * MIB))
        assert take(allocator, 44 * MIB).size == 64 * MIB

    def test_just_enough_oversize_blocks_go_first(self) -> None:
        allocator = CachingAllocator(200 * MIB, settings=self.SETTINGS)
        for block in [take(allocator, size * MIB) for size in (20, 40, 50, 60)]:
            allocator.free(block)
        take(allocator, 90 * MIB)
        assert allocator.stats.num_alloc_retries == 0
        assert [view.total_size // MIB for view in allocator.segments()] == [20, 40, 90]

    def test_counts_of_oversize(self) -> None:
        allocator = CachingAllocator(settings=self.SETTINGS)
        block = take(allocator, 40 * MIB)
        take(allocator, 4 * MIB)
        stats = allocator.memory_stats()
        assert (stats["oversize_segments.current"], stats["oversize_allocations.current"]) == (1, 1)
        assert stats["max_split_size"] == 32 * MIB
        allocator.free(block)
        allocator.empty_cache()
        stats = allocator.memory_stats()
        assert (stats["oversize_segments.current"], stats["oversize_allocations.freed"]) == (0, 1)


class TestGarbageCollection:
    SETTINGS = AllocatorSettings(garbage_collection_threshold=0.5, per_process_memory_fraction=1.0)

    def test_old_segments_go_once_above_the_threshold(self) -> None:
        allocator = CachingAllocator(total_bytes=200 * MIB, settings=self.SETTINGS)
        old = take(allocator, 60 * MIB)
        allocator.free(old)
        young = take(allocator, 61 * MIB)
        allocator.free(young)
        take(allocator, 70 * MIB)
        assert [view.total_size // MIB for view in allocator.segments()] == [62, 70]
        assert allocator.stats.num_alloc_retries == 0

    def test_without_a_limit_nothing_goes(self) -> None:
        settings = AllocatorSettings(garbage_collection_threshold=0.5)
        allocator = CachingAllocator(total_bytes=200 * MIB, settings=settings)
        for size in (60, 61):
            allocator.free(take(allocator, size * MIB))
        take(allocator, 70 * MIB)
        assert len(allocator.segments()) == 3


def test_no_caching_counts_nothing_as_torch_does() -> None:
    allocator = CachingAllocator(10 * MIB, settings=AllocatorSettings(caching=False))
    block = take(allocator, 9 * MIB)
    assert (allocator.allocated_bytes, allocator.reserved_bytes, allocator.uncached_bytes) == (0, 0, 9 * MIB)
    with pytest.raises(AllocatorOutOfMemory, match=r"^CUDA error: out of memory$"):
        take(allocator, 2 * MIB)
    allocator.free(block)
    assert (allocator.uncached_bytes, allocator.peak_uncached_bytes) == (0, 9 * MIB)
    with pytest.raises(ValueError, match="freed twice"):
        allocator.free(block)


def test_another_backend_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedBackendError, match="cudaMallocAsync"):
        CachingAllocator(settings=AllocatorSettings(backend="cudaMallocAsync"))
    allocator = CachingAllocator()
    with pytest.raises(UnsupportedBackendError):
        allocator.settings = AllocatorSettings(backend="cudaMallocAsync")


def test_peaks_and_accumulated_counts_start_again() -> None:
    allocator = CachingAllocator()
    block = take(allocator, 40 * MIB)
    kept = take(allocator, 10 * MIB)
    allocator.free(block)
    assert allocator.peak_allocated_bytes == 50 * MIB
    allocator.reset_peaks()
    allocator.reset_accumulated()
    assert (allocator.peak_allocated_bytes, allocator.peak_reserved_bytes) == (10 * MIB, 50 * MIB)
    allocator.free(kept)
    stats = allocator.memory_stats()
    assert stats["allocated_bytes.all.freed"] == 10 * MIB
    assert stats["allocated_bytes.all.allocated"] == 0
    assert allocator.stats.allocated.freed == 10 * MIB


def test_events_are_the_snapshots() -> None:
    events: list[TraceEvent] = []
    allocator = CachingAllocator(record=events.append)
    block = take(allocator, 1000)
    allocator.free(block)
    allocator.empty_cache()
    address = block.address
    assert [event.to_dict() for event in events] == [
        {"action": "segment_alloc", "addr": address, "size": 2 * MIB, "stream": 0},
        {"action": "alloc", "addr": address, "size": 1000, "stream": 0},
        {"action": "free_requested", "addr": address, "size": 1000, "stream": 0},
        {"action": "free_completed", "addr": address, "size": 1000, "stream": 0},
        {"action": "segment_free", "addr": address, "size": 2 * MIB, "stream": 0},
    ]
    assert events[1].block_bytes == 1024
    assert events[1].to_dict(time_us=5)["time_us"] == 5


def test_memory_stats_has_torchs_keys() -> None:
    stats = CachingAllocator().memory_stats()
    assert list(stats) == sorted(stats)
    families = [*(f"{amount}_bytes" for amount in ("allocated", "reserved", "active", "inactive_split", "requested"))]
    families += ["allocation", "segment", "active", "inactive_split"]
    metrics = ("current", "peak", "allocated", "freed")
    pools = ("all", "large_pool", "small_pool")
    expected = {f"{family}.{pool}.{metric}" for family in families for pool in pools for metric in metrics}
    expected |= {f"oversize_{what}.{metric}" for what in ("allocations", "segments") for metric in metrics}
    expected |= {"num_alloc_retries", "num_ooms", "num_sync_all_streams", "num_device_alloc", "num_device_free"}
    expected |= {"num_oom_rejections", "max_split_size"}
    assert set(stats) == expected
    assert stats["max_split_size"] == -1


def test_a_snapshot_can_be_taken_over() -> None:
    first = CachingAllocator()
    blocks = [take(first, size) for size in (100, 5 * MIB, 11 * MIB, 700 * KIB)]
    first.free(blocks[1])
    second = CachingAllocator()
    active = second.adopt(first.snapshot_segments())
    assert second.snapshot_segments() == first.snapshot_segments()
    assert set(active) == {blocks[0].address, blocks[2].address, blocks[3].address}
    current = {key for key in first.memory_stats() if key.endswith("current")}
    assert {key: second.memory_stats()[key] for key in current} == {key: first.memory_stats()[key] for key in current}
    assert take(second, 4 * MIB).address == take(first, 4 * MIB).address
    with pytest.raises(ValueError, match="holds nothing"):
        second.adopt([])


def test_a_snapshot_that_does_not_add_up_is_refused() -> None:
    segment = {"address": 0, "total_size": 2 * MIB, "stream": 0, "segment_type": "small", "is_expandable": False}
    with pytest.raises(ValueError, match="do not add up"):
        CachingAllocator().adopt([{**segment, "blocks": [{"size": MIB, "state": "inactive"}]}])
