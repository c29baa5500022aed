"""Expandable segments: pages mapped and unmapped in one growing range per stream and pool."""

from __future__ import annotations

import pytest

from ilora_diag.memory.allocator import AllocatorOutOfMemory, AllocatorSettings, Block, CachingAllocator, VmmUnsupported
from ilora_diag.memory.events import TraceEvent

MIB, GIB = 1 << 20, 1 << 30
SETTINGS = AllocatorSettings(expandable_segments=True)


def expandable(capacity_bytes: int | None = None, **options: object) -> CachingAllocator:
    return CachingAllocator(capacity_bytes, total_bytes=GIB, settings=SETTINGS, **options)  # type: ignore[arg-type]


def take(allocator: CachingAllocator, nbytes: int, stream: int = 0) -> Block:
    block = allocator.malloc(nbytes, stream=stream)
    assert block is not None
    return block


def test_pages_are_as_large_as_segments() -> None:
    allocator = expandable()
    take(allocator, 100)
    assert allocator.reserved_bytes == 2 * MIB
    take(allocator, 3 * MIB)
    assert allocator.reserved_bytes == 22 * MIB
    take(allocator, 30 * MIB)
    assert allocator.reserved_bytes == 42 * MIB, "17 MiB of the first page serve the second request"
    assert allocator.stats.num_segments.current == 0


def test_large_segment_size_sets_the_page() -> None:
    settings = AllocatorSettings(expandable_segments=True, large_segment_size_bytes=12 * MIB)
    allocator = CachingAllocator(total_bytes=GIB, settings=settings)
    take(allocator, 13 * MIB)
    assert allocator.reserved_bytes == 24 * MIB


def test_the_rest_is_split_from_512_bytes_on() -> None:
    allocator = expandable()
    block = take(allocator, 20 * MIB - 512)
    assert block.size == 20 * MIB - 512
    assert take(allocator, 2 * MIB).address == block.address + block.size


def test_a_range_grows_where_a_fixed_segment_could_not() -> None:
    """The free end of the range and fresh pages together serve a request that neither could alone."""
    allocator = expandable(60 * MIB)
    first = take(allocator, 30 * MIB)
    allocator.free(first)
    block = take(allocator, 50 * MIB)
    assert block.address == first.address
    assert (allocator.reserved_bytes, allocator.stats.num_alloc_retries) == (60 * MIB, 0)
    fixed = CachingAllocator(60 * MIB, total_bytes=GIB)
    fixed.free(take(fixed, 30 * MIB))
    take(fixed, 50 * MIB)
    assert fixed.stats.num_alloc_retries == 1


def test_a_block_at_the_growing_end_counts_as_what_it_can_become() -> None:
    allocator = expandable()
    _, hole, last = (take(allocator, size * MIB) for size in (10, 10, 15))
    address, end = hole.address, last.address + last.size
    allocator.free(hole)
    assert [block.size // MIB for block in allocator.segments()[0].blocks] == [10, 10, 15, 5]
    assert take(allocator, 4 * MIB).address == address, "the hole of 10 MiB before the 5 MiB that can grow"
    assert take(allocator, 4 * MIB).address == address + 4 * MIB
    assert take(allocator, 4 * MIB).address == end


def test_empty_cache_unmaps_whole_pages_only() -> None:
    events: list[TraceEvent] = []
    allocator = expandable(record=events.append)
    first, second, third = take(allocator, 25 * MIB), take(allocator, 50 * MIB), take(allocator, 5 * MIB)
    allocator.free(second)
    assert allocator.reserved_bytes == 80 * MIB
    allocator.empty_cache()
    assert allocator.reserved_bytes == 60 * MIB, "of 25-75 MiB only the pages of 40-60 MiB are whole"
    assert events[-1].to_dict() == {
        "action": "segment_unmap",
        "addr": first.address + 40 * MIB,
        "size": 20 * MIB,
        "stream": 0,
    }
    views = allocator.segments()
    assert [view.total_size for view in views] == [40 * MIB, 20 * MIB]
    assert all(view.is_expandable for view in views)
    refill = take(allocator, 45 * MIB)
    assert refill.address == first.address + 25 * MIB
    assert events[-2].to_dict()["action"] == "segment_map"
    for block in (first, third, refill):
        allocator.free(block)
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0
    assert allocator.segments() == ()


def test_out_of_memory_leaves_the_counts_right() -> None:
    allocator = expandable(50 * MIB)
    take(allocator, 15 * MIB)
    with pytest.raises(AllocatorOutOfMemory) as caught:
        take(allocator, 60 * MIB)
    assert caught.value.requested_bytes == 60 * MIB
    assert allocator.reserved_bytes == allocator.core.driver.held_bytes
    take(allocator, 20 * MIB)
    assert allocator.reserved_bytes == 40 * MIB


def test_without_virtual_memory_management_the_first_allocation_fails() -> None:
    allocator = expandable(vmm=False)
    with pytest.raises(VmmUnsupported) as caught:
        take(allocator, 100)
    assert str(caught.value) == "CUDA driver error: operation not supported"
    assert allocator.reserved_bytes == 0
    take(CachingAllocator(vmm=False), 100)


def test_switching_them_off_leaves_growing_blocks_alone() -> None:
    allocator = expandable()
    growing = take(allocator, 30 * MIB)
    address = growing.address
    allocator.free(growing)
    allocator.settings = AllocatorSettings()
    block = take(allocator, 20 * MIB)
    assert block.reservation is None
    assert allocator.reserved_bytes == 60 * MIB
    allocator.settings = SETTINGS
    assert take(allocator, 15 * MIB).address == address


def test_streams_have_ranges_of_their_own() -> None:
    allocator = expandable()
    take(allocator, 100, stream=1)
    take(allocator, 100, stream=2)
    assert allocator.reserved_bytes == 4 * MIB


def test_oversize_release_passes_growing_blocks_over() -> None:
    settings = AllocatorSettings(expandable_segments=True, max_split_size_bytes=32 * MIB)
    allocator = CachingAllocator(100 * MIB, total_bytes=GIB, settings=settings)
    for block in [take(allocator, 40 * MIB), take(allocator, 40 * MIB)]:
        allocator.free(block)
    take(allocator, 90 * MIB)
    assert allocator.reserved_bytes == 100 * MIB


def test_a_snapshot_with_holes_can_be_taken_over() -> None:
    first = expandable()
    kept = [take(first, 25 * MIB), take(first, 50 * MIB), take(first, 5 * MIB)]
    first.free(kept[1])
    first.empty_cache()
    second = expandable()
    second.adopt(first.snapshot_segments())
    assert second.snapshot_segments() == first.snapshot_segments()
    assert take(second, 45 * MIB).address == take(first, 45 * MIB).address
    assert second.reserved_bytes == first.reserved_bytes
