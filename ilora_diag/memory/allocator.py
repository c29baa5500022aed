"""PyTorch's CUDA caching allocator as a model: same requests in, same blocks, segments, counters and errors out.

Rules of c10/cuda/CUDACachingAllocator.cpp (native backend; read in trees of torch 2.5 to 2.10, settings in the headers
of 2.13). The model has no memory behind it: an address is only a number, and segments get increasing ones. They matter
for order alone: of free blocks of equal size the lowest address is taken, so where a real card hands out segments in
another order, such a tie may fall differently, and later splits with it.

Not modelled: private pools of CUDA graphs and MemPool, threads racing for the allocator, and how long the work of
another stream takes (`record_stream`): a block recorded on another stream waits until `synchronize()`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

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
from ilora_diag.memory.core import AllocatorCore, Recorder, new_core
from ilora_diag.memory.driver import AddressSource, VmmUnsupportedError
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.oom import AllocatorOutOfMemoryError, OutOfMemoryFacts, ProcessUse, oom_message
from ilora_diag.memory.segments import SegmentView, adopt_segments, segment_views
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.memory.stats import AllocatorStats, memory_stats, stats_view

__all__ = [
    "AllocatorOutOfMemoryError",
    "AllocatorSettings",
    "Block",
    "CachingAllocator",
    "UnsupportedBackendError",
    "VmmUnsupportedError",
    "round_size",
    "segment_size",
]
DEFAULT_SETTINGS = AllocatorSettings()


class UnsupportedBackendError(ValueError):
    """`backend:cudaMallocAsync`: the driver's own pool, whose rules are not public."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"the allocator backend {backend} is not modelled: its pool lives in the driver and follows other rules; "
            "unset backend:cudaMallocAsync to get a prediction"
        )


def round_size(nbytes: int, settings: AllocatorSettings = DEFAULT_SETTINGS) -> int:
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


def segment_size(rounded_bytes: int, settings: AllocatorSettings = DEFAULT_SETTINGS) -> int:
    """Bytes of the segment taken for a rounded request that no free block serves."""
    if rounded_bytes <= SMALL_BYTES:
        return SMALL_SEGMENT_BYTES
    if rounded_bytes < MIN_LARGE_ALLOC_BYTES:
        return settings.large_segment_size_bytes
    return -(-rounded_bytes // ROUND_LARGE_BYTES) * ROUND_LARGE_BYTES


class CachingAllocator:
    """One device's caching allocator.

    Args:
        capacity_bytes: what the device can give to segments at most (its memory less context and others' use); None: no
            limit.
        total_bytes: of the device, for messages, memory fractions and the reach of expandable segments.
        settings: as PYTORCH_CUDA_ALLOC_CONF gave them.
        device: index, for messages.
        vmm: whether the driver has the virtual memory calls that expandable segments need.
        torch_version: whose words an out-of-memory error takes.
        record: called with every event.
        address_source: gives the address of each new segment (exact replay of a recording).

    Attributes:
        processes: what NVML would list for this device; for the text of an out-of-memory error. None (the default)
            lists nobody.
    """

    def __init__(
        self,
        capacity_bytes: int | None = None,
        *,
        total_bytes: int | None = None,
        settings: AllocatorSettings = DEFAULT_SETTINGS,
        device: int = 0,
        vmm: bool = True,
        torch_version: str = "",
        record: Recorder | None = None,
        address_source: AddressSource | None = None,
    ) -> None:
        if settings.backend != "native":
            raise UnsupportedBackendError(settings.backend)
        self.device = device
        self.torch_version = torch_version
        self.processes: tuple[ProcessUse, ...] | None = None
        self.core: AllocatorCore = new_core(
            capacity_bytes, total_bytes, settings, vmm=vmm, record=record, address_source=address_source
        )
        if settings.per_process_memory_fraction is not None:
            self.set_memory_fraction(settings.per_process_memory_fraction)

    # --- requests -----------------------------------------------------------------------------------------------

    def malloc(self, nbytes: int, *, stream: int = 0) -> Block | None:
        """Hand out a block; None for 0 bytes, for which PyTorch allocates nothing.

        Raises:
            AllocatorOutOfMemoryError: no room, even after giving back the cache.
            VmmUnsupportedError: expandable segments without driver support.
            ValueError: a negative size.
        """
        if nbytes <= 0:
            if nbytes < 0:
                raise ValueError(f"cannot allocate a negative number of bytes: {nbytes}")
            return None
        core = self.core
        if core.has_roundup:
            size = round_size(nbytes, core.settings)
        else:
            size = (nbytes + 511) & ~511
        pool = core.small if size <= SMALL_BYTES else core.large
        block = self._search(pool, size, stream) or self._grow(pool, size, stream)
        return self._hand_out(block, nbytes, size)

    def free(self, block: Block) -> None:
        """Take a block back: at once, or after `synchronize()` where it was recorded on another stream."""
        self.request_free(block)
        if not block.stream_uses:
            self.complete_free(block)

    def request_free(self, block: Block) -> None:
        """The caller lets go of a block; it stays active until `complete_free`."""
        core = self.core
        if not block.allocated or core.active_blocks.pop(block.address, None) is not block:
            raise ValueError(f"{block!r} is not allocated here: freed twice, or of another allocator")
        block.allocated = False
        block.pending = True
        core.pending_blocks[block.address] = block
        size = block.size
        for stats in (core.all_stats, block.pool.stats):
            stats.allocation.current -= 1
            stats.allocated_bytes.current -= size
        if size >= core.max_split:
            core.counters.oversize_allocations.current -= 1
        if core.record is not None:
            core.record(TraceEvent("free_requested", block.address, block.requested, block.stream, size, block.context))

    def complete_free(self, block: Block) -> None:
        """Merge a block the caller let go of with its free neighbours, and make it available."""
        core = self.core
        if core.pending_blocks.pop(block.address, None) is not block:
            raise ValueError(f"{block!r} does not wait to be freed")
        size, requested, pool = block.size, block.requested, block.pool
        if core.record is not None:
            core.record(TraceEvent("free_completed", block.address, requested, block.stream, size, block.context))
        block.pending = False
        block.context = None
        block.stream_uses = None
        num_split, split_bytes = 0, 0
        for neighbour in (block.prev, block.next):
            if neighbour is not None and (taken := core.merge(block, neighbour)):
                num_split -= 1
                split_bytes -= taken
        pool.insert(block)
        if block.prev is not None or block.next is not None:
            num_split += 1
            split_bytes += block.size
        fixed = block.reservation is None
        for stats in (core.all_stats, pool.stats):
            stats.active.current -= 1
            stats.active_bytes.current -= size
            stats.requested_bytes.current -= requested
            if fixed and split_bytes > 0:
                stats.inactive_split_bytes.add(split_bytes)
            elif fixed:
                stats.inactive_split_bytes.current += split_bytes
            if fixed and num_split > 0:
                stats.inactive_split.add(num_split)
            elif fixed:
                stats.inactive_split.current += num_split

    def record_stream(self, block: Block, stream: int) -> None:
        """Another stream uses the block: freeing it waits for that stream. Its own stream counts for nothing."""
        if stream != block.stream:
            block.stream_uses = (block.stream_uses or set()) | {stream}

    def synchronize(self) -> None:
        """The work of every stream is over: blocks that waited for it become available."""
        for block in list(self.core.pending_blocks.values()):
            self.complete_free(block)

    def empty_cache(self) -> None:
        """Give back every segment that is wholly free."""
        self._release_cached()

    def adopt(self, segments: list[dict[str, Any]]) -> dict[int, Block]:
        """Take over the state a snapshot describes, at its real addresses; the blocks in use, by address.

        Peaks start from that state. The allocator must be empty of these addresses.
        """
        return adopt_segments(self.core, segments)

    # --- limits and settings ------------------------------------------------------------------------------------

    @property
    def capacity_bytes(self) -> int | None:
        """What the device can give to segments at most."""
        return self.core.driver.capacity_bytes

    @capacity_bytes.setter
    def capacity_bytes(self, nbytes: int | None) -> None:
        self.core.driver.capacity_bytes = nbytes

    @property
    def settings(self) -> AllocatorSettings:
        """What steers the allocator now."""
        return self.core.settings

    @settings.setter
    def settings(self, settings: AllocatorSettings) -> None:
        if settings.backend != "native":
            raise UnsupportedBackendError(settings.backend)
        self.core.apply(settings)

    def set_memory_fraction(self, fraction: float) -> None:
        """Limit segments to a share of the device's memory, as `torch.cuda.set_per_process_memory_fraction`."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        if self.core.total_bytes is None:
            raise ValueError("a memory fraction needs the device's memory: pass total_bytes")
        self.core.allowed_bytes = int(fraction * self.core.total_bytes)

    # --- counters -----------------------------------------------------------------------------------------------

    @property
    def requested_bytes(self) -> int:
        """Asked for by blocks in use or waiting."""
        return self.core.all_stats.requested_bytes.current

    @property
    def allocated_bytes(self) -> int:
        """Of the blocks in use."""
        return self.core.all_stats.allocated_bytes.current

    @property
    def active_bytes(self) -> int:
        """Of the blocks in use or waiting for another stream."""
        return self.core.all_stats.active_bytes.current

    @property
    def reserved_bytes(self) -> int:
        """Of the segments, or of mapped pages."""
        return self.core.all_stats.reserved_bytes.current

    @property
    def peak_requested_bytes(self) -> int:
        """Running maximum of `requested_bytes`."""
        return self.core.all_stats.requested_bytes.peak

    @property
    def peak_allocated_bytes(self) -> int:
        """Running maximum of `allocated_bytes`."""
        return self.core.all_stats.allocated_bytes.peak

    @property
    def peak_reserved_bytes(self) -> int:
        """Running maximum of `reserved_bytes`."""
        return self.core.all_stats.reserved_bytes.peak

    @property
    def stats(self) -> AllocatorStats:
        """Every counter of both pools together, frozen."""
        return stats_view(self.core.all_stats, self.core.counters)

    def memory_stats(self) -> dict[str, int]:
        """The dictionary of `torch.cuda.memory_stats`."""
        core = self.core
        pools = {"all": core.all_stats, "large_pool": core.large.stats, "small_pool": core.small.stats}
        return memory_stats(pools, core.counters, core.settings.max_split_size_bytes)

    def reset_peaks(self) -> None:
        """`torch.cuda.reset_peak_memory_stats`."""
        core = self.core
        for stats in (core.all_stats, core.small.stats, core.large.stats):
            for stat in stats.families():
                stat.reset_peak()
        core.counters.oversize_allocations.reset_peak()
        core.counters.oversize_segments.reset_peak()

    def reset_accumulated(self) -> None:
        """`torch.cuda.reset_accumulated_memory_stats`."""
        core = self.core
        for stats in (core.all_stats, core.small.stats, core.large.stats):
            for stat in stats.families():
                stat.reset_accumulated()
        core.counters.reset()
        core.counters.oversize_allocations.reset_accumulated()
        core.counters.oversize_segments.reset_accumulated()

    def segments(self) -> tuple[SegmentView, ...]:
        """Every segment with its blocks, by address; a growing segment is one view per mapped stretch."""
        return segment_views(self.core, self.device)

    def snapshot_segments(self) -> list[dict[str, Any]]:
        """`torch.cuda.memory._snapshot()["segments"]`; the caller adds the frames."""
        return [view.to_dict() for view in self.segments()]

    # --- the search ---------------------------------------------------------------------------------------------

    def _search(self, pool: Pool, size: int, stream: int) -> Block | None:
        """The best fit among the free blocks of the stream, taken out of the pool."""
        core = self.core
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
        if size < core.max_split <= block.size:
            return None
        if size >= core.max_split and block.size >= size + core.settings.max_non_split_rounding_bytes:
            return None
        del free[index]
        return block

    def _grow(self, pool: Pool, size: int, stream: int) -> Block:
        """A block in new memory, giving back cached segments if there is no room."""
        core = self.core
        if core.collects_garbage:
            reclaim.collect_garbage(core)
        block = self._new_block(pool, size, stream)
        if block is None and reclaim.release_oversize(core, pool, size, stream):
            block = self._new_block(pool, size, stream)
        if block is None:
            self._release_cached()
            core.counters.num_alloc_retries += 1
            block = self._new_block(pool, size, stream)
        if block is None:
            raise self._out_of_memory(size, stream)
        return block

    def _new_block(self, pool: Pool, size: int, stream: int) -> Block | None:
        core = self.core
        nbytes = segment_size(size, core.settings)
        if core.allowed_bytes is not None and core.segment_bytes + nbytes > core.allowed_bytes:
            return None
        if core.expandable:
            return expandable.allocate(core, pool, size, stream)
        return core.new_segment(pool, nbytes, stream)

    def _release_cached(self) -> None:
        self.core.counters.num_sync_all_streams += 1
        self.synchronize()
        reclaim.release_cached(self.core)

    def _hand_out(self, block: Block, nbytes: int, size: int) -> Block:
        """Split off what is worth keeping, and count the block as in use."""
        core, pool = self.core, block.pool
        rest = block.size - size
        growing = block.reservation is not None
        was_split = block.prev is not None or block.next is not None
        if (
            rest >= MIN_BLOCK_BYTES
            if pool.is_small or core.expandable
            else size < core.max_split and rest > SMALL_BYTES
        ):
            remaining, block = block, Block(block.address, size, block.stream, pool, block.reservation)
            block.segment_context, remaining.segment_context = remaining.segment_context, None
            block.splice(remaining.prev, remaining)
            remaining.address += size
            remaining.size = rest
            remaining.requested = 0
            pool.insert(remaining)
            if not growing:
                for stats in (core.all_stats, pool.stats):
                    if was_split:
                        stats.inactive_split_bytes.current -= size
                    else:
                        stats.inactive_split_bytes.add(rest)
                        stats.inactive_split.add(1)
        elif was_split and not growing:
            for stats in (core.all_stats, pool.stats):
                stats.inactive_split_bytes.current -= block.size
                stats.inactive_split.current -= 1
        block.allocated = True
        block.requested = nbytes
        core.active_blocks[block.address] = block
        size = block.size
        for stats in (core.all_stats, pool.stats):
            stats.allocation.add(1)
            stats.allocated_bytes.add(size)
            stats.active.add(1)
            stats.active_bytes.add(size)
            stats.requested_bytes.add(nbytes)
        if size >= core.max_split:
            core.counters.oversize_allocations.add(1)
        if core.record is not None:
            core.record(TraceEvent("alloc", block.address, nbytes, block.stream, size))
        return block

    def _out_of_memory(self, size: int, stream: int) -> AllocatorOutOfMemoryError:
        core = self.core
        core.counters.num_ooms += 1
        capacity = core.driver.capacity_bytes
        total = core.total_bytes or capacity or core.segment_bytes
        free = (total if capacity is None else capacity) - core.driver.held_bytes
        if core.record is not None:
            core.record(TraceEvent("oom", free, size, stream))
        facts = OutOfMemoryFacts(
            requested_bytes=segment_size(size, core.settings),
            device=self.device,
            total_bytes=total,
            free_bytes=free,
            allocated_bytes=self.allocated_bytes,
            reserved_bytes=self.reserved_bytes,
            processes=self.processes or (),
            allowed_bytes=core.allowed_bytes,
        )
        return AllocatorOutOfMemoryError(facts, oom_message(facts, self.torch_version))
