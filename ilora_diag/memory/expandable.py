"""Expandable segments: a large reserved range of addresses per stream and pool, mapped page by page.

Rules of c10/cuda/CUDACachingAllocator.cpp (ExpandableSegment, find_expandable_block, map_block, unmap_block;
read in trees of torch 2.5 to 2.10).
"""

from __future__ import annotations

from ilora_diag.memory.blocks import SMALL_SEGMENT_BYTES, Block, Pool
from ilora_diag.memory.core import UNKNOWN_TOTAL_BYTES, AllocatorCore
from ilora_diag.memory.driver import VmmUnsupported
from ilora_diag.memory.events import TraceEvent


class ExpandableSegment:
    """A reserved range of addresses, 1 1/8 of the card's memory, in pages of one size counted from its start."""

    __slots__ = ("address", "page_bytes", "size")

    def __init__(self, address: int, size: int, page_bytes: int) -> None:
        self.address = address
        self.size = size
        self.page_bytes = page_bytes

    def page_floor(self, address: int) -> int:
        """The last page border at or below an address."""
        return self.address + (address - self.address) // self.page_bytes * self.page_bytes

    def page_ceil(self, address: int) -> int:
        """The first page border at or above an address."""
        return self.address - (self.address - address) // self.page_bytes * self.page_bytes


def page_bytes(core: AllocatorCore, pool: Pool) -> int:
    """Size of the pages a pool maps: 2 MiB, or the size of a large segment."""
    return SMALL_SEGMENT_BYTES if pool.is_small else core.settings.large_segment_size_bytes


def best_fit_index(free: list[tuple[int, int, Block]], index: int) -> int:
    """Where the best fit lies from `index` on, a growing block counting as large as it can become."""

    def reach(block: Block) -> int:
        tail = block.next
        return block.size + (tail.size if tail is not None and not tail.mapped else 0)

    while (
        free[index][2].reservation is not None
        and index + 1 < len(free)
        and reach(free[index + 1][2]) < reach(free[index][2])
    ):
        index += 1
    return index


def allocate(core: AllocatorCore, pool: Pool, nbytes: int, stream: int) -> Block | None:
    """A free block of at least `nbytes`, mapping pages as needed, taken out of the pool; None: no memory.

    Pages mapped before the driver ran out stay in the pool as free memory, as in PyTorch.
    """
    if not core.driver.supports_vmm:
        raise VmmUnsupported
    candidate = _find(core, pool, nbytes, stream)
    if not candidate.mapped and not _map(core, candidate, min(candidate.size, nbytes)):
        return None
    while candidate.size < nbytes:
        following = candidate.next
        assert following is not None, "the search counted more bytes than there are"
        if not _map(core, following, min(nbytes - candidate.size, following.size)):
            return None
        candidate = following
    pool.remove(candidate)
    return candidate


def release(core: AllocatorCore, block: Block) -> None:
    """Unmap the whole pages of a free block, and give back the range once nothing in it is mapped."""
    if _unmap(core, block) and block.prev is None and block.next is None:
        block.pool.remove_unmapped(block)


def _find(core: AllocatorCore, pool: Pool, nbytes: int, stream: int) -> Block:
    """The lowest stretch of free and unmapped addresses with enough room; a fresh range if there is none."""
    for _, unmapped in pool.unmapped.get(stream, ()):
        before = unmapped.prev
        start = before if before is not None and before.is_available else unmapped
        room = 0
        block: Block | None = start
        while room < nbytes and block is not None and block.is_available:
            room += block.size
            block = block.next
        if room >= nbytes:
            return start
    page = page_bytes(core, pool)
    total = core.total_bytes or core.driver.capacity_bytes or UNKNOWN_TOTAL_BYTES
    size = max(-(-(total + total // 8) // page), -(-nbytes // page)) * page
    segment = ExpandableSegment(core.driver.reserve_addresses(size, stream), size, page)
    fresh = Block(segment.address, size, stream, pool, segment)
    fresh.mapped = False
    pool.insert_unmapped(fresh)
    return fresh


def _map(core: AllocatorCore, block: Block, nbytes: int) -> bool:
    """Put memory behind the first `nbytes` of an unmapped block, in whole pages; False: the driver has no room."""
    segment = block.reservation
    assert isinstance(segment, ExpandableSegment)
    assert not block.mapped
    mapped = segment.page_ceil(block.address + nbytes) - block.address
    if not core.driver.take(mapped):
        return False
    pool, address = block.pool, block.address
    pool.remove_unmapped(block)
    block.mapped = True
    if mapped < block.size:
        rest = Block(address + mapped, block.size - mapped, block.stream, pool, segment)
        rest.mapped = False
        rest.splice(block, block.next)
        pool.insert_unmapped(rest)
        block.size = mapped
    core.merge(block, block.prev)
    core.merge(block, block.next)
    pool.insert(block)
    core.count_reserved(pool, mapped, num_segments=0)
    if core.record is not None:
        core.record(TraceEvent("segment_map", address, mapped, block.stream))
    return True


def _unmap(core: AllocatorCore, block: Block) -> bool:
    """Take the memory from the whole pages inside a free block; False: it spans none."""
    segment = block.reservation
    assert isinstance(segment, ExpandableSegment)
    assert block.mapped
    start, end = segment.page_ceil(block.address), segment.page_floor(block.address + block.size)
    if start >= end:
        return False
    pool = block.pool
    pool.remove(block)
    if start > block.address:
        before = Block(block.address, start - block.address, block.stream, pool, segment)
        before.splice(block.prev, block)
        pool.insert(before)
    if block.address + block.size > end:
        after = Block(end, block.address + block.size - end, block.stream, pool, segment)
        after.splice(block, block.next)
        pool.insert(after)
    block.address, block.size, block.mapped = start, end - start, False
    core.merge(block, block.prev)
    core.merge(block, block.next)
    pool.insert_unmapped(block)
    core.driver.give_back(end - start)
    core.count_reserved(pool, start - end, num_segments=0)
    if core.record is not None:
        core.record(TraceEvent("segment_unmap", start, end - start, block.stream))
    return True
