"""PyTorch's CUDA caching allocator as a model: same requests in, same blocks, segments, counters and errors out.

Rules of c10/cuda/CUDACachingAllocator.cpp (native backend; read in trees of torch 2.5 to 2.10, settings in the headers
of 2.13). The model has no memory behind it: an address is only a number, and segments get increasing ones. They matter
for order alone: of free blocks of equal size the lowest address is taken, so where a real card hands out segments in
another order, such a tie may fall differently, and later splits with it.

Not modelled: private pools of CUDA graphs and MemPool, threads racing for the allocator, and how long the work of
another stream takes (`record_stream`): a block recorded on another stream waits until `synchronize()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ilora_diag.memory import placement
from ilora_diag.memory.blocks import SMALL_BYTES, Block
from ilora_diag.memory.core import AllocatorCore, Recorder
from ilora_diag.memory.driver import AddressSource, Driver, VmmUnsupported
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.oom import AllocatorOutOfMemory, OutOfMemoryFacts, ProcessUse, oom_message
from ilora_diag.memory.placement import round_size, segment_size
from ilora_diag.memory.segments import SegmentView, adopt_segments, segment_views
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.memory.stats import AllocatorStats, memory_stats, stats_view

__all__ = [
    "AllocatorOutOfMemory",
    "AllocatorSettings",
    "Block",
    "CachingAllocator",
    "UnsupportedBackendError",
    "VmmUnsupported",
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


class CachingAllocator:
    """One device's caching allocator.

    Args:
        capacity_bytes: what the device can give to segments at most (its memory less context and others' use); None: no
            limit.
        total_bytes: of the device, for messages, memory fractions and the reach of expandable segments; where unknown,
            the capacity stands for it.
        settings: as PYTORCH_CUDA_ALLOC_CONF gave them.
        device: index, for messages.
        vmm: whether the driver has the virtual memory calls that expandable segments need.
        torch_version: whose words an out-of-memory error takes; empty: the newest known.
        record: called with every event.
        address_source: gives the address of each new segment (exact replay of a recording).

    Attributes:
        processes: who uses the card, for the text of an out-of-memory error, in NVML's order. The entry of this process
            (`pid` None) has what it holds besides the allocator's segments; those are added.
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
        if capacity_bytes is not None and capacity_bytes < 0:
            raise ValueError(f"a device cannot give a negative number of bytes: {capacity_bytes}")
        _refuse_other_backends(settings)
        self.device = device
        self.torch_version = torch_version
        self.processes: tuple[ProcessUse, ...] = ()
        driver = Driver(capacity_bytes, supports_vmm=vmm, address_source=address_source)
        self.core = AllocatorCore(driver, settings, total_bytes, record)
        if settings.per_process_memory_fraction is not None:
            self.set_memory_fraction(settings.per_process_memory_fraction)

    def malloc(self, nbytes: int, *, stream: int = 0) -> Block | None:
        """Hand out a block; None for 0 bytes, for which PyTorch allocates nothing.

        Raises:
            AllocatorOutOfMemory: no room, even after giving back the cache.
            VmmUnsupported: expandable segments without driver support.
            ValueError: a negative size.
        """
        if nbytes <= 0:
            if nbytes < 0:
                raise ValueError(f"cannot allocate a negative number of bytes: {nbytes}")
            return None
        core = self.core
        if not core.caching:
            return self._malloc_uncached(nbytes, stream)
        size = round_size(nbytes, core.settings) if core.has_roundup else (nbytes + 511) & ~511
        pool = core.small if size <= SMALL_BYTES else core.large
        block = placement.search(core, pool, size, stream)
        if block is None:
            block = placement.grow(core, pool, size, stream)
            if block is None:
                raise self._out_of_memory(size, stream)
        return placement.hand_out(core, block, nbytes, size)

    def free(self, block: Block) -> None:
        """Take a block back: at once, or after `synchronize()` where it was recorded on another stream."""
        core = self.core
        if block.uncached:
            core.release_uncached(block)
            return
        placement.request_free(core, block)
        if not block.stream_uses:
            placement.complete_free(core, block)

    def request_free(self, block: Block) -> None:
        """The first half of `free`: the owner lets go; the block stays active until `complete_free`."""
        placement.request_free(self.core, block)

    def complete_free(self, block: Block) -> None:
        """The second half of `free`: the block becomes available."""
        placement.complete_free(self.core, block)

    def record_stream(self, block: Block, stream: int) -> None:
        """Another stream uses the block: freeing it waits for that stream. Its own stream counts for nothing."""
        if stream != block.stream:
            block.stream_uses = (block.stream_uses or set()) | {stream}

    def synchronize(self) -> None:
        """The work of every stream is over: blocks that waited for it become available."""
        for block in list(self.core.pending_blocks.values()):
            placement.complete_free(self.core, block)

    def empty_cache(self) -> None:
        """Give back every segment that is wholly free, and every wholly free page of growing ones."""
        placement.release_cached(self.core)

    def adopt(self, segments: Iterable[Mapping[str, Any]]) -> dict[int, Block]:
        """Take over the state that a snapshot's segments describe, at their real addresses; for an empty allocator.

        Peaks start from that state. Returns the blocks in use or waiting, by address.

        Raises:
            ValueError: something is allocated already, or the blocks of a segment do not fill it.
        """
        if self.core.segment_bytes:
            raise ValueError("only an allocator that holds nothing can take over a snapshot's state")
        return adopt_segments(self.core, segments)

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
        _refuse_other_backends(settings)
        self.core.apply(settings)

    def set_memory_fraction(self, fraction: float) -> None:
        """Limit segments to a share of the device's memory, as `torch.cuda.set_per_process_memory_fraction`."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        total = self.core.total_bytes or self.core.driver.capacity_bytes
        if total is None:
            raise ValueError("a memory fraction needs the device's memory: give total_bytes")
        self.core.limit(int(fraction * total))

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
    def uncached_bytes(self) -> int:
        """Held outside the pools because caching is off; PyTorch's own counters show nothing of them."""
        return self.core.uncached.current

    @property
    def peak_uncached_bytes(self) -> int:
        """Running maximum of `uncached_bytes`."""
        return self.core.uncached.peak

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
        for stat in self.core.every_stat():
            stat.reset_peak()

    def reset_accumulated(self) -> None:
        """`torch.cuda.reset_accumulated_memory_stats`."""
        for stat in self.core.every_stat():
            stat.reset_accumulated()
        self.core.counters.reset()

    def segments(self) -> tuple[SegmentView, ...]:
        """Every segment with its blocks, by address; a growing segment is one view per mapped stretch."""
        return segment_views(self.core, self.device)

    def snapshot_segments(self) -> list[dict[str, Any]]:
        """`torch.cuda.memory._snapshot()["segments"]`; the caller adds the frames."""
        return [view.to_dict() for view in self.segments()]

    def _malloc_uncached(self, nbytes: int, stream: int) -> Block:
        block = self.core.take_uncached(nbytes, stream)
        if block is None:
            raise AllocatorOutOfMemory(self._facts(nbytes), "CUDA error: out of memory")
        return block

    def _out_of_memory(self, size: int, stream: int) -> AllocatorOutOfMemory:
        core = self.core
        core.counters.num_ooms += 1
        facts = self._facts(segment_size(size, core.settings))
        if core.record is not None:
            core.record(TraceEvent("oom", facts.free_bytes, size, stream))
        return AllocatorOutOfMemory(facts, oom_message(facts, self.torch_version))

    def _facts(self, requested_bytes: int) -> OutOfMemoryFacts:
        """The device's numbers now."""
        core = self.core
        capacity, held = core.driver.capacity_bytes, core.driver.held_bytes
        total = core.total_bytes or capacity or held
        return OutOfMemoryFacts(
            requested_bytes=requested_bytes,
            device=self.device,
            total_bytes=total,
            free_bytes=max((total if capacity is None else capacity) - held, 0),
            allocated_bytes=self.allocated_bytes,
            reserved_unallocated_bytes=self.reserved_bytes - self.allocated_bytes,
            processes=tuple(
                replace(use, used_bytes=use.used_bytes + held) if use.pid is None else use for use in self.processes
            ),
            allowed_bytes=core.allowed_bytes,
        )


def _refuse_other_backends(settings: AllocatorSettings) -> None:
    if settings.backend != "native":
        raise UnsupportedBackendError(settings.backend)
