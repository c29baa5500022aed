"""MemoryTimeline: device memory over time, and what it consists of at the peak.

The quantities are PyTorch's: requested by the code, allocated after rounding, active = allocated plus freed blocks
that still wait for a stream, reserved from CUDA, used on the device by anybody. From them follows, in bytes,

    requested + internal fragmentation + pending free + external fragmentation = reserved

where internal fragmentation is the rounding inside blocks and external fragmentation the free blocks in segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Unavailable, is_ordered, require_sizes, require_unique


class Category(StrEnum):
    """What a block is for, in the order every table keeps."""

    PARAMETER = "parameter"
    GRADIENT = "gradient"
    OPTIMIZER_STATE = "optimizer_state"
    ACTIVATION = "activation"
    BUFFER = "buffer"
    INPUT = "input"
    TEMPORARY = "temporary"
    WORKSPACE = "workspace"
    UNKNOWN = "unknown"


class BlockState(StrEnum):
    """PyTorch's names for the states of a block."""

    ACTIVE_ALLOCATED = "active_allocated"
    ACTIVE_PENDING_FREE = "active_pending_free"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySample:
    """Device memory at one moment.

    Attributes:
        t_s: seconds since the recording began.
        step: optimizer step, from 1; 0 is before the first.
        phase: what ran: load, forward, backward, optimizer, validation.
        requested_bytes ... device_used_bytes: each at least as large as the one before it.
    """

    t_s: float
    step: int
    phase: str
    requested_bytes: Known[int]
    allocated_bytes: Known[int]
    active_bytes: Known[int]
    reserved_bytes: Known[int]
    device_used_bytes: Known[int]

    def __post_init__(self) -> None:
        chain = (
            self.requested_bytes,
            self.allocated_bytes,
            self.active_bytes,
            self.reserved_bytes,
            self.device_used_bytes,
        )
        require_sizes(step=self.step, requested_bytes=chain[0], allocated_bytes=chain[1], active_bytes=chain[2])
        require_sizes(reserved_bytes=chain[3], device_used_bytes=chain[4])
        require(is_ordered(*chain), f"requested <= allocated <= active <= reserved <= device used, got {chain}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of a segment.

    Attributes:
        size_bytes: after rounding.
        requested_bytes: what the code asked for; 0 in an inactive block.
        state: allocated, waiting to be freed, or free.
        category, module, op: what it holds, and what made it.
    """

    size_bytes: int
    requested_bytes: int
    state: BlockState
    category: Category
    module: Known[str]
    op: Known[str]

    def __post_init__(self) -> None:
        require(0 <= self.requested_bytes <= self.size_bytes, "0 <= requested_bytes <= size_bytes in a block")
        free = self.state is BlockState.INACTIVE
        require(not free or self.requested_bytes == 0, "nothing is requested of an inactive block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One region obtained from CUDA, cut into blocks without gaps."""

    size_bytes: int
    stream: int
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        total = sum(block.size_bytes for block in self.blocks)
        require(total == self.size_bytes, f"the blocks fill the segment: {total} of {self.size_bytes} bytes")

    def bytes_in(self, *states: BlockState) -> int:
        """Bytes of the blocks in any of the given states."""
        return sum(block.size_bytes for block in self.blocks if block.state in states)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryShare:
    """Allocated bytes of one category at the peak."""

    category: Category
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleShare:
    """Allocated bytes of one module at the peak; the empty name is the root."""

    module: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The moment of most allocated bytes, and what they consist of. Each breakdown sums to them exactly."""

    sample: MemorySample
    by_category: tuple[CategoryShare, ...]
    by_module: tuple[ModuleShare, ...]
    segments: Known[tuple[Segment, ...]]

    def __post_init__(self) -> None:
        allocated = self.sample.allocated_bytes
        require(not isinstance(allocated, Unavailable), "the bytes allocated at a peak are known")
        require_unique("category", tuple(share.category for share in self.by_category))
        require_unique("module", tuple(share.module for share in self.by_module))
        for what, shares in (("categories", self.by_category), ("modules", self.by_module)):
            total = sum(share.size_bytes for share in shares)
            require(total == allocated, f"the {what} sum to {total}, allocated are {allocated} bytes")
            require(all(share.size_bytes >= 0 for share in shares), f"no share of the {what} is negative")
        if not isinstance(self.segments, Unavailable):
            self._check_segments(self.segments)

    def _check_segments(self, segments: tuple[Segment, ...]) -> None:
        """Whatever the sample knows equals what the blocks add up to."""
        allocated, pending = BlockState.ACTIVE_ALLOCATED, BlockState.ACTIVE_PENDING_FREE
        held = [block for segment in segments for block in segment.blocks if block.state is allocated]
        sums = {
            "requested": (self.sample.requested_bytes, sum(block.requested_bytes for block in held)),
            "allocated": (self.sample.allocated_bytes, sum(block.size_bytes for block in held)),
            "active": (self.sample.active_bytes, sum(segment.bytes_in(allocated, pending) for segment in segments)),
            "reserved": (self.sample.reserved_bytes, sum(segment.size_bytes for segment in segments)),
        }
        for name, (known, total) in sums.items():
            agrees = isinstance(known, Unavailable) or known == total
            require(agrees, f"the blocks add up to {total} {name} bytes, the sample says {known}")

    @property
    def internal_fragmentation_bytes(self) -> Known[int]:
        """Rounding waste inside allocated blocks."""
        return _difference(self.sample.allocated_bytes, self.sample.requested_bytes)

    @property
    def pending_free_bytes(self) -> Known[int]:
        """Freed blocks that still wait for a stream."""
        return _difference(self.sample.active_bytes, self.sample.allocated_bytes)

    @property
    def external_fragmentation_bytes(self) -> Known[int]:
        """Free blocks inside segments, split remainders and whole segments alike."""
        return _difference(self.sample.reserved_bytes, self.sample.active_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTimeline:
    """Samples in order of time.

    Attributes:
        device: name of the card, real or virtual.
        samples: never going back in time or in steps.
        peak: one of the samples, the one with the most allocated bytes, taken apart.
        num_dropped_events: recorder events lost to a full buffer; attribution is incomplete unless it is 0.
    """

    SCHEMA: ClassVar[str] = "memory-timeline"

    device: str
    samples: tuple[MemorySample, ...]
    peak: Known[Peak]
    num_dropped_events: Known[int]

    def __post_init__(self) -> None:
        require_sizes(num_dropped_events=self.num_dropped_events)
        require(is_ordered(*(sample.t_s for sample in self.samples)), "samples are ordered by time")
        require(is_ordered(*(sample.step for sample in self.samples)), "samples are ordered by step")
        if not isinstance(self.peak, Unavailable):
            require(self.peak.sample in self.samples, "the peak is one of the samples")
            require(_most_allocated(self.samples) == self.peak.sample.allocated_bytes, "the peak is the largest sample")


def _most_allocated(samples: tuple[MemorySample, ...]) -> int:
    known = (sample.allocated_bytes for sample in samples)
    return max(size for size in known if not isinstance(size, Unavailable))


def _difference(larger: Known[int], smaller: Known[int]) -> Known[int]:
    for value in (larger, smaller):
        if isinstance(value, Unavailable):
            return value
    assert not isinstance(larger, Unavailable)
    assert not isinstance(smaller, Unavailable)
    return larger - smaller
