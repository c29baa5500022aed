"""Where a request goes, and what becomes of a block that comes back: search, growth, splitting, merging.

Rules of c10/cuda/CUDACachingAllocator.cpp (malloc, get_free_block, alloc_block, should_split, alloc_found_block, free,
free_block).
"""

from __future__ import annotations

from bisect import bisect_left

from ilora_diag.memory import expandable, reclaim
from ilora_diag.memory.blocks import (
    MIN_BLOCK_BYTES,
    MIN_LARGE_ALLOC_BYTES,
    ROUND_LARGE_BYTES,
    SMALL_BYTES,
    SMALL_SEGMENT_BYTES,
    Block,
    Pool,
)
from ilora_diag.memory.core import AllocatorCore
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.settings import AllocatorSettings


def round_size(nbytes: int, settings: AllocatorSettings) -> int:
    """Bytes of a block cut for a request: a multiple of 512, or the next of the power-of-two divisions set."""
    if nbytes < MIN_BLOCK_BYTES:
        return MIN_BLOCK_BYTES
    divisions = settings.divisions_for(nbytes)
    if divisions > 1 and nbytes > MIN_BLOCK_BYTES * divisions:
        if nbytes & (nbytes - 1) == 0:
            return nbytes
        floor = 1 << (nbytes.bit_length() - 1)
        step = floor >> (divisions.bit_length() - 1)
        return floor << 1 if step == 0 else -(-nbytes // step) * step
    return -(-nbytes // MIN_BLOCK_BYTES) * MIN_BLOCK_BYTES


def segment_size(rounded_bytes: int, settings: AllocatorSettings) -> int:
    """Bytes of the segment taken for a rounded request that no free block serves."""
    if rounded_bytes <= SMALL_BYTES:
        return SMALL_SEGMENT_BYTES
    if rounded_bytes < MIN_LARGE_ALLOC_BYTES:
        return settings.large_segment_size_bytes
    return -(-rounded_bytes // ROUND_LARGE_BYTES) * ROUND_LARGE_BYTES


def search(core: AllocatorCore, pool: Pool, size: int, stream: int) -> Block | None:
    """The best fit among the free blocks of the stream, taken out of the pool."""
    if core.collects_garbage:
        pool.search_count += 1
    free = pool.free.get(stream)
    if not free:
        return None
    index = bisect_left(free, (size,))
    if index == len(free):
        return None
    block = free[index][2]
    if block.reservation is not None:
        if core.expandable:
            index = expandable.best_fit_index(free, index)
        else:
            while index < len(free) and free[index][2].reservation is not None:
                index += 1
            if index == len(free):
                return None
        block = free[index][2]
    if core.max_split is not None:
        if size < core.max_split <= block.size:
            return None
        if size >= core.max_split and block.size >= size + core.settings.max_non_split_rounding_bytes:
            return None
    del free[index]
    return block


def grow(core: AllocatorCore, pool: Pool, size: int, stream: int) -> Block | None:
    """A block in new memory, giving back cached segments if there is no room; None: there is none even so."""
    if core.collects_garbage:
        reclaim.collect_garbage(core)
    block = _new_block(core, pool, size, stream)
    if block is None and reclaim.release_oversize(core, pool, size, stream):
        block = _new_block(core, pool, size, stream)
    if block is None:
        release_cached(core)
        core.counters.num_alloc_retries += 1
        block = _new_block(core, pool, size, stream)
    return block


def _new_block(core: AllocatorCore, pool: Pool, size: int, stream: int) -> Block | None:
    nbytes = segment_size(size, core.settings)
    if core.allowed_bytes is not None and core.segment_bytes + nbytes > core.allowed_bytes:
        return None
    if core.expandable:
        return expandable.allocate(core, pool, size, stream)
    return core.new_segment(pool, nbytes, stream)


def hand_out(core: AllocatorCore, block: Block, nbytes: int, size: int) -> Block:
    """Split off what is worth keeping of a block that is in no list, and count it as in use."""
    pool = block.pool
    rest = block.size - size
    is_split = block.prev is not None or block.next is not None
    if pool.is_small or core.expandable:
        keeps_rest = rest >= MIN_BLOCK_BYTES
    else:
        keeps_rest = rest > SMALL_BYTES and (core.max_split is None or size < core.max_split)
    if keeps_rest:
        block = _cut(block, size)
        if block.reservation is None:
            change = (0, -size) if is_split else (1, rest)
            core.all_stats.split(*change)
            pool.stats.split(*change)
    else:
        size = block.size
        if is_split and block.reservation is None:
            core.all_stats.split(-1, -size)
            pool.stats.split(-1, -size)
    block.allocated = True
    block.requested = nbytes
    core.active_blocks[block.address] = block
    core.all_stats.hand_out(size, nbytes)
    pool.stats.hand_out(size, nbytes)
    if core.max_split is not None and size >= core.max_split:
        core.counters.oversize_allocations.add(1)
    if core.record is not None:
        core.record(TraceEvent("alloc", block.address, nbytes, block.stream, size))
    return block


def _cut(block: Block, size: int) -> Block:
    """The first `size` bytes of a block as a block of their own; the rest goes into the pool."""
    head = Block(block.address, size, block.stream, block.pool, block.reservation)
    head.segment_context, block.segment_context = block.segment_context, None
    before = head.prev = block.prev
    if before is not None:
        before.next = head
    head.next = block
    block.prev = head
    block.address += size
    block.size -= size
    block.pool.insert(block)
    return head


def request_free(core: AllocatorCore, block: Block) -> None:
    """The owner lets go of a block; it stays active until `complete_free`."""
    if not block.allocated or core.active_blocks.pop(block.address, None) is not block:
        raise ValueError(f"{block!r} is not allocated here: freed twice, or of another allocator")
    block.allocated = False
    block.pending = True
    core.pending_blocks[block.address] = block
    size = block.size
    core.all_stats.let_go(size)
    block.pool.stats.let_go(size)
    if core.max_split is not None and size >= core.max_split:
        core.counters.oversize_allocations.current -= 1
    if core.record is not None:
        core.record(TraceEvent("free_requested", block.address, block.requested, block.stream, size, block.context))


def complete_free(core: AllocatorCore, block: Block) -> None:
    """Merge a block the owner let go of with its free neighbours, and make it available."""
    if core.pending_blocks.pop(block.address, None) is not block:
        raise ValueError(f"{block!r} does not wait to be freed")
    size, requested, pool = block.size, block.requested, block.pool
    if core.record is not None:
        core.record(TraceEvent("free_completed", block.address, requested, block.stream, size, block.context))
    block.pending = False
    block.context = None
    block.stream_uses = None
    num_split = split_bytes = 0
    for neighbour in (block.prev, block.next):
        if neighbour is not None and (taken := core.merge(block, neighbour)):
            num_split -= 1
            split_bytes -= taken
    pool.insert(block)
    if block.prev is not None or block.next is not None:
        num_split += 1
        split_bytes += block.size
    core.all_stats.take_back(size, requested)
    pool.stats.take_back(size, requested)
    if block.reservation is None:
        core.all_stats.split(num_split, split_bytes)
        pool.stats.split(num_split, split_bytes)


def release_cached(core: AllocatorCore) -> None:
    """Wait for every stream, then give back whatever is wholly free."""
    core.counters.num_sync_all_streams += 1
    for block in list(core.pending_blocks.values()):
        complete_free(core, block)
    reclaim.release_cached(core)
