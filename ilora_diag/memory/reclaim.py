"""Giving cached memory back to the driver: empty_cache, the retry before an out-of-memory error, garbage collection.

Rules of c10/cuda/CUDACachingAllocator.cpp (release_available_cached_blocks, release_cached_blocks,
garbage_collect_cached_blocks).
"""

from __future__ import annotations

from bisect import bisect_left

from ilora_diag.memory import expandable
from ilora_diag.memory.blocks import Block, Pool
from ilora_diag.memory.core import AllocatorCore


def release_cached(core: AllocatorCore) -> None:
    """Give back every segment nobody uses any part of, large pool first; unmap whole free pages."""
    for pool in (core.large, core.small):
        growing: list[Block] = []
        for block in pool.blocks():
            if block.reservation is not None:
                growing.append(block)
            elif not block.is_split:
                core.release_segment(block)
        for block in growing:
            expandable.release(core, block)


def release_oversize(core: AllocatorCore, pool: Pool, nbytes: int, stream: int) -> bool:
    """With a maximum split size: give back just enough oversize segments of this stream; False: not enough there.

    Parts of expandable segments are passed over: torch <= 2.3 tried to cudaFree them and stopped with an internal
    error (pytorch issue 123548).
    """
    if core.max_split is None:
        return False
    wanted = max(nbytes, core.max_split)
    free = pool.of_stream(stream)
    index = bisect_left(free, (wanted,))
    if index < len(free):
        block = free[index][2]
        if block.reservation is not None or block.is_split:
            return False
        core.release_segment(block)
        return True
    released = 0
    for size, _, block in reversed(free[:]):
        if released >= wanted or size < core.max_split:
            break
        if block.reservation is None and not block.is_split:
            released += size
            core.release_segment(block)
    return released >= wanted


def collect_garbage(core: AllocatorCore) -> None:
    """Give back whole large segments at least as old as the average, until below the threshold.

    The age of a free block is the number of searches in its pool since it was freed.
    """
    assert core.allowed_bytes is not None
    threshold = int(core.settings.garbage_collection_threshold * core.allowed_bytes)
    if core.segment_bytes <= threshold:
        return
    target = core.segment_bytes - threshold
    pool = core.large
    candidates = [block for block in pool.blocks() if not block.is_split and block.reservation is None]
    total_age = sum(pool.search_count - block.gc_base for block in candidates)
    reclaimed = 0
    while reclaimed < target and candidates:
        average = total_age / len(candidates)
        kept = []
        for block in candidates:
            age = pool.search_count - block.gc_base
            if age >= average:
                reclaimed += block.size
                total_age -= age
                core.release_segment(block)
            else:
                kept.append(block)
        if len(kept) == len(candidates):
            return
        candidates = kept
