"""Snapshot: what a recorded memory snapshot of PyTorch holds, device by device.

Events are numbered from 0, the oldest kept; the moment -1 is before the first of them. The breakdowns are of the
moment of most allocated bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Settings, is_ordered, require_sizes, require_unique


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryState:
    """The caching allocator of one device at one moment.

    Attributes:
        requested_bytes ... reserved_bytes: each at least as large as the one before it.
        internal_fragmentation_bytes: rounding and unsplit rests inside allocated blocks.
        external_fragmentation_bytes: free bytes inside segments.
        inactive_split_bytes: the part of them in segments that also hold something; those cannot be given back.
        largest_free_block_bytes: the longest free stretch in one segment.
        unseen_rest_bytes: counted as free here although the allocator's rules say they belonged to blocks that the
            window only saw freed; their final size is not in the file.
    """

    requested_bytes: int
    allocated_bytes: int
    active_bytes: int
    reserved_bytes: int
    internal_fragmentation_bytes: int
    external_fragmentation_bytes: int
    inactive_split_bytes: int
    largest_free_block_bytes: int
    num_segments: int
    unseen_rest_bytes: int

    def __post_init__(self) -> None:
        chain = (self.requested_bytes, self.allocated_bytes, self.active_bytes, self.reserved_bytes)
        require(is_ordered(0, *chain), f"0 <= requested <= allocated <= active <= reserved, got {chain}")
        internal = self.allocated_bytes - self.requested_bytes
        require(self.internal_fragmentation_bytes == internal, "allocated - requested is internal fragmentation")
        external = self.reserved_bytes - self.active_bytes
        require(self.external_fragmentation_bytes == external, "reserved - active is external fragmentation")
        require(is_ordered(0, self.inactive_split_bytes, external), "inactive split is part of external fragmentation")
        require(is_ordered(0, self.largest_free_block_bytes, external), "a free block is part of them too")
        require_sizes(num_segments=self.num_segments, unseen_rest_bytes=self.unseen_rest_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpBytes:
    """Allocated bytes made by one operator; `before_window` marks the part that was there before the first event."""

    op: str
    size_bytes: int
    num_blocks: int
    before_window: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StackBytes:
    """Allocated bytes made by one line of the program.

    Attributes:
        site: `file:line function` of the innermost frame outside PyTorch, or why there is none.
        frames: the stack outside PyTorch that made most of them, innermost first.
    """

    site: str
    size_bytes: int
    num_blocks: int
    before_window: bool
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPeak:
    """The most that was held from before the first event to after the last; each quantity has its own moment.

    Attributes:
        allocated_event, reserved_event: the first event after which it was that much; -1 before all events.
        state: at `allocated_event`.
    """

    allocated_bytes: int
    reserved_bytes: int
    allocated_event: int
    reserved_event: int
    state: MemoryState

    def __post_init__(self) -> None:
        require(self.state.allocated_bytes == self.allocated_bytes, "the state at the peak is the peak's")
        require(self.state.reserved_bytes <= self.reserved_bytes, "the peak of reserved bytes is the largest")
        require(min(self.allocated_event, self.reserved_event) >= -1, "events count from 0, before them is -1")


class OomVerdict(StrEnum):
    """What stood between a request that failed and its memory.

    FRAGMENTATION: enough reserved bytes lay free, but not in one stretch.
    FULL: not even all free bytes together would have sufficed.
    LIMIT: the device had enough free, so a limit on the process stopped it.
    """

    FRAGMENTATION = "fragmentation"
    FULL = "full"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOom:
    """A request that failed.

    Attributes:
        device_free_bytes: what CUDA still had, by the event.
        missing_bytes: what it lacked beyond the device's free bytes and the free stretches of whole segments.
        verdict: unknown where the device's free bytes are.
        by_stack: who held the memory, largest first; sums to the allocated bytes of `state`.
        give_way: the fewest of the largest of them that together hold the missing bytes; empty where nothing was
            missing or all of them do not. In pieces, that need not make room for one block.
    """

    event: int
    requested_bytes: int
    device_free_bytes: Known[int]
    missing_bytes: Known[int]
    verdict: Known[OomVerdict]
    state: MemoryState
    by_stack: tuple[StackBytes, ...]
    give_way: tuple[StackBytes, ...]

    def __post_init__(self) -> None:
        require_sizes(requested_bytes=self.requested_bytes, device_free_bytes=self.device_free_bytes)
        require_sizes(missing_bytes=self.missing_bytes)
        _require_sum("holders at the failure", self.by_stack, self.state.allocated_bytes)


class StepMarker(StrEnum):
    """How the steps of a window were told apart.

    ANNOTATION: the optimizer's marks, recorded with the events.
    OPTIMIZER: frames of torch.optim in the stacks.
    REPEAT: the stack of the first allocation comes again at even distances.
    THIRDS: not at all; the window was cut into thirds.
    """

    ANNOTATION = "annotation"
    OPTIMIZER = "optimizer"
    REPEAT = "repeat"
    THIRDS = "thirds"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthSuspect:
    """A line of the program whose blocks stay, step after step.

    Attributes:
        per_step: blocks made in each step that still lived at the end of the window.
        size_bytes: of all of them.
    """

    site: str
    op: str
    size_bytes: int
    num_blocks: int
    per_step: tuple[int, ...]
    frames: tuple[str, ...]

    def __post_init__(self) -> None:
        require(sum(self.per_step) == self.num_blocks, "the blocks of the steps are all blocks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What grew from step to step.

    Attributes:
        step_ends: last event of each step.
        step_end_allocated_bytes: after those events.
        suspects: most bytes first; unknown, with the reason, where the window is too short to tell.
    """

    marker: StepMarker
    step_ends: tuple[int, ...]
    step_end_allocated_bytes: tuple[int, ...]
    suspects: Known[tuple[GrowthSuspect, ...]]

    def __post_init__(self) -> None:
        require(len(self.step_ends) == len(self.step_end_allocated_bytes), "a size for every step")
        require(is_ordered(*self.step_ends), "steps are ordered")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePoint:
    """Bytes after one event; the order of `sizes` is that of the series."""

    event: int
    reserved_bytes: int
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTimeline:
    """Allocated bytes over the events by who made them, thinned to the largest of every stretch; the peak is kept.

    Attributes:
        series: sites of the largest shares at the peak. `before_window` and `other` follow them in every point.
    """

    series: tuple[str, ...]
    points: tuple[TimelinePoint, ...]

    def __post_init__(self) -> None:
        require(all(len(point.sizes) == len(self.series) + 2 for point in self.points), "a size per series")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDevice:
    """One device.

    Attributes:
        end, before_window: after the last event and before the first; the same where none was recorded.
        num_dropped_events: lost to a full buffer before the first event kept; unknown where the file cannot tell.
        min_dropped_events: how many are missing at least.
        num_orphan_frees: events that free what was allocated before the window.
        num_unmatched_events: events that contradict each other or the final state.
        num_allocations, num_without_stack: allocations of the window, and those of them without a stack.
        by_op, by_stack: what the peak consists of, largest first; each sums to `peak.allocated_bytes`.
        before_by_stack: the part allocated before the window, by the stacks that blocks kept; sums to that part.
    """

    index: int
    end: MemoryState
    before_window: MemoryState
    peak: SnapshotPeak
    num_events: int
    num_dropped_events: Known[int]
    min_dropped_events: int
    num_orphan_frees: int
    num_unmatched_events: int
    num_allocations: int
    num_without_stack: int
    oom_events: tuple[SnapshotOom, ...]
    by_op: tuple[OpBytes, ...]
    by_stack: tuple[StackBytes, ...]
    before_by_stack: tuple[StackBytes, ...]
    growth: Growth
    timeline: SnapshotTimeline

    def __post_init__(self) -> None:
        require_sizes(index=self.index, num_events=self.num_events, num_dropped_events=self.num_dropped_events)
        for what, shares in (("operators", self.by_op), ("stacks", self.by_stack)):
            _require_sum(what, shares, self.peak.allocated_bytes)
        before = sum(share.size_bytes for share in self.by_stack if share.before_window)
        _require_sum("stacks before the window", self.before_by_stack, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a file recorded by `torch.cuda.memory._dump_snapshot()` holds.

    Attributes:
        file: its name.
        allocator_settings: those recorded that differ from PyTorch's defaults.
        unread_keys: parts of the file that no version known here writes; they were not looked at.
        devices: those that hold memory or have events.
    """

    SCHEMA: ClassVar[str] = "snapshot"

    file: str
    allocator_settings: Settings
    unread_keys: tuple[str, ...]
    devices: tuple[SnapshotDevice, ...]

    def __post_init__(self) -> None:
        require_unique("device", tuple(str(device.index) for device in self.devices))


def _require_sum(what: str, shares: tuple[OpBytes, ...] | tuple[StackBytes, ...], total_bytes: int) -> None:
    total = sum(share.size_bytes for share in shares)
    require(total == total_bytes, f"the {what} sum to {total}, not {total_bytes} bytes")
