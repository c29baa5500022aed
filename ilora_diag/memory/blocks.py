"""Blocks and pools of the caching allocator: what is handed out, and what lies free.

Constants as in c10/core/AllocatorConfig.h and c10/cuda/CUDACachingAllocator.cpp, unchanged from torch 2.0 to 2.15.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ilora_diag.memory.stats import PoolStats

MIB = 1 << 20
MIN_BLOCK_BYTES = 512
SMALL_BYTES = MIB
SMALL_SEGMENT_BYTES = 2 * MIB
MIN_LARGE_ALLOC_BYTES = 10 * MIB
ROUND_LARGE_BYTES = 2 * MIB


class Reservation(Protocol):
    """The address range an expandable segment owns; see `ilora_diag.memory.expandable`."""

    address: int
    size: int
    page_bytes: int


class Block:
    """A stretch of one segment: handed out, waiting for another stream, free, or (expandable) not mapped.

    Attributes:
        address: first byte.
        size: bytes that `allocated_bytes` counts: rounded, and larger still where the rest was not worth splitting.
        requested: bytes the caller asked for; in a free block what is left of an earlier request, as in PyTorch.
        allocated: the caller holds it.
        pending: freed by the caller, but recorded on another stream whose work is not known to be over.
        mapped: has memory behind it; False only in the tail of an expandable segment.
        reservation: the expandable segment it lies in, if any.
        uncached: straight from the driver, outside every pool (PYTORCH_NO_CUDA_MEMORY_CACHING).
        context: whatever the caller attaches (frames, owner); the model carries it and reads nothing from it.
    """

    __slots__ = (
        "address",
        "allocated",
        "context",
        "gc_base",
        "mapped",
        "next",
        "pending",
        "pool",
        "prev",
        "requested",
        "reservation",
        "segment_context",
        "size",
        "stream",
        "stream_uses",
        "uncached",
    )

    def __init__(
        self, address: int, size: int, stream: int, pool: Pool, reservation: Reservation | None = None
    ) -> None:
        self.address = address
        self.size = size
        self.stream = stream
        self.pool = pool
        self.reservation = reservation
        self.requested = 0
        self.allocated = False
        self.pending = False
        self.mapped = True
        self.prev: Block | None = None
        self.next: Block | None = None
        self.stream_uses: set[int] | None = None
        self.gc_base = 0
        self.uncached = False
        self.context: object = None
        self.segment_context: object = None

    def __repr__(self) -> str:
        state = "allocated" if self.allocated else "pending" if self.pending else "free" if self.mapped else "unmapped"
        return f"Block({self.address:#x}, {self.size}, stream={self.stream}, {state})"

    @property
    def is_split(self) -> bool:
        """Whether its segment holds other blocks too."""
        return self.prev is not None or self.next is not None

    @property
    def is_available(self) -> bool:
        """Whether nobody uses it: free or not mapped."""
        return not self.allocated and not self.pending

    def splice(self, before: Block | None, after: Block | None) -> None:
        """Take its place between two neighbours of the same segment."""
        self.prev, self.next = before, after
        if before is not None:
            before.next = self
        if after is not None:
            after.prev = self


FreeList = list[tuple[int, int, Block]]


class Pool:
    """The free blocks of the small or of the large pool of a device, by stream, ordered by (size, address).

    Addresses are unique, so comparing two entries never reaches the blocks themselves.
    """

    __slots__ = ("free", "is_small", "search_count", "stats", "unmapped")

    def __init__(self, *, is_small: bool, stats: PoolStats) -> None:
        self.is_small = is_small
        self.stats = stats
        self.free: dict[int, FreeList] = {}
        self.unmapped: dict[int, list[tuple[int, Block]]] = {}
        self.search_count = 0

    def of_stream(self, stream: int) -> FreeList:
        """The free blocks of a stream, smallest first; a live list."""
        free = self.free.get(stream)
        if free is None:
            free = self.free[stream] = []
        return free

    def insert(self, block: Block) -> None:
        """Put a free block where a search finds it; its age starts now."""
        block.gc_base = self.search_count
        free = self.free.get(block.stream)
        if free is None:
            free = self.of_stream(block.stream)
        insort(free, (block.size, block.address, block))

    def remove(self, block: Block) -> None:
        """Take out a free block, by the size and address it was put in with."""
        free = self.free[block.stream]
        del free[bisect_left(free, (block.size, block.address))]

    def insert_unmapped(self, block: Block) -> None:
        """Put an unmapped stretch of an expandable segment where a search by address finds it."""
        insort(self.unmapped.setdefault(block.stream, []), (block.address, block))

    def remove_unmapped(self, block: Block) -> None:
        """Take out an unmapped stretch."""
        unmapped = self.unmapped[block.stream]
        del unmapped[bisect_left(unmapped, (block.address,))]

    def blocks(self) -> list[Block]:
        """Every free block in the order PyTorch walks them: stream, size, address."""
        return [entry[2] for stream in sorted(self.free) for entry in self.free[stream]]
