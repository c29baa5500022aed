"""What every part of the allocator model shares: pools, counters, merging, and segments taken and given back."""

from __future__ import annotations

from collections.abc import Callable

from ilora_diag.memory.blocks import MIN_BLOCK_BYTES, SMALL_BYTES, Block, Pool
from ilora_diag.memory.driver import Driver
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.memory.stats import Counters, PoolStats, Stat

Recorder = Callable[[TraceEvent], None]
UNKNOWN_TOTAL_BYTES = 1 << 40


class AllocatorCore:
    """State of one device's allocator, and the moves that search, expansion and release have in common.

    `all_stats` counts both pools; each pool has counters of its own (small_pool, large_pool in PyTorch's keys).
    """

    def __init__(
        self, driver: Driver, settings: AllocatorSettings, total_bytes: int | None, record: Recorder | None
    ) -> None:
        self.driver = driver
        self.total_bytes = total_bytes
        self.record = record
        self.all_stats = PoolStats()
        self.small = Pool(is_small=True, stats=PoolStats())
        self.large = Pool(is_small=False, stats=PoolStats())
        self.counters = Counters()
        self.active_blocks: dict[int, Block] = {}
        self.pending_blocks: dict[int, Block] = {}
        self.allowed_bytes: int | None = None
        self.uncached = Stat()
        self.apply(settings)

    def apply(self, settings: AllocatorSettings) -> None:
        """Follow these settings from now on; what is allocated stays as it is."""
        self.settings = settings
        self.max_split = settings.max_split_size_bytes
        self.collects_garbage = self._collects_garbage()
        self.expandable = settings.expandable_segments
        self.caching = settings.caching
        self.has_roundup = any(settings.roundup_power2_divisions)

    def limit(self, allowed_bytes: int | None) -> None:
        """Hold no more than this in segments; None: no limit."""
        self.allowed_bytes = allowed_bytes
        self.collects_garbage = self._collects_garbage()

    def _collects_garbage(self) -> bool:
        """PyTorch looks at block ages only where a memory limit and a threshold are both set."""
        return self.allowed_bytes is not None and self.settings.garbage_collection_threshold > 0.0

    @property
    def segment_bytes(self) -> int:
        """Bytes held in segments: what PyTorch calls total_allocated_memory, and reports as reserved."""
        return self.all_stats.reserved_bytes.current

    def count_reserved(self, pool: Pool, nbytes: int, *, num_segments: int) -> None:
        """Count memory taken from the driver (or given back: negative)."""
        for stats in (self.all_stats, pool.stats):
            if nbytes >= 0:
                stats.reserved_bytes.add(nbytes)
                stats.segment.add(num_segments)
            else:
                stats.reserved_bytes.current += nbytes
                stats.segment.current += num_segments
        if nbytes >= 0:
            self.counters.num_device_alloc += 1
        else:
            self.counters.num_device_free += 1

    def new_segment(self, pool: Pool, nbytes: int, stream: int) -> Block | None:
        """A fresh segment as one free block that is in no list yet; None: the driver has no room."""
        address = self.driver.malloc(nbytes, stream)
        if address is None:
            return None
        block = Block(address, nbytes, stream, pool)
        self.count_reserved(pool, nbytes, num_segments=1)
        if self.max_split is not None and nbytes >= self.max_split:
            self.counters.oversize_segments.add(1)
        if self.record is not None:
            self.record(TraceEvent("segment_alloc", address, nbytes, stream))
        return block

    def release_segment(self, block: Block) -> None:
        """Give a wholly free segment back to the driver."""
        block.pool.remove(block)
        self.driver.give_back(block.size)
        self.count_reserved(block.pool, -block.size, num_segments=-1)
        if self.max_split is not None and block.size >= self.max_split:
            self.counters.oversize_segments.current -= 1
        if self.record is not None:
            self.record(TraceEvent("segment_free", block.address, block.size, block.stream, 0, block.segment_context))

    def merge(self, block: Block, neighbour: Block | None) -> int:
        """Let a block take in a neighbour that is as free and as mapped as itself; the bytes taken in, or 0."""
        if neighbour is None or neighbour.allocated or neighbour.pending or block.mapped != neighbour.mapped:
            return 0
        if neighbour.mapped:
            neighbour.pool.remove(neighbour)
        else:
            neighbour.pool.remove_unmapped(neighbour)
        if block.prev is neighbour:
            block.address = neighbour.address
            block.segment_context = neighbour.segment_context
            block.prev = neighbour.prev
            if block.prev is not None:
                block.prev.next = block
        else:
            block.next = neighbour.next
            if block.next is not None:
                block.next.prev = block
        block.size += neighbour.size
        return neighbour.size

    def take_uncached(self, nbytes: int, stream: int) -> Block | None:
        """A block straight from the driver, as with PYTORCH_NO_CUDA_MEMORY_CACHING; None: no room.

        PyTorch counts nothing of it. The driver's granularity is not public: 512 bytes are assumed, so for many small
        tensors this is a lower bound.
        """
        size = -(-nbytes // MIN_BLOCK_BYTES) * MIN_BLOCK_BYTES
        address = self.driver.malloc(size, stream)
        if address is None:
            return None
        block = Block(address, size, stream, self.small if size <= SMALL_BYTES else self.large)
        block.requested = nbytes
        block.allocated = block.uncached = True
        self.uncached.add(size)
        return block

    def release_uncached(self, block: Block) -> None:
        """Give such a block back."""
        if not block.allocated:
            raise ValueError(f"{block!r} is not allocated here: freed twice, or of another allocator")
        block.allocated = False
        self.uncached.current -= block.size
        self.driver.give_back(block.size)

    def every_stat(self) -> tuple[Stat, ...]:
        """Every counter that has a peak."""
        return (
            *self.all_stats.families(),
            *self.small.stats.families(),
            *self.large.stats.families(),
            self.counters.oversize_allocations,
            self.counters.oversize_segments,
            self.uncached,
        )
