"""A trace's requests through the allocator model of one card: peaks, phases, the moment of the peak, running out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ilora_diag.memory.allocator import AllocatorOutOfMemory, Block, CachingAllocator, VmmUnsupported
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema import Category, CurvePoint, PhasePeak
from probes.trace import Trace

_MAX_POINTS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMemory:
    """What the allocator of one card is told.

    Attributes:
        capacity_bytes: for segments; None: no limit.
        total_bytes: of the card, for messages and fractions.
        settings: of the allocator.
        vmm: whether expandable segments work.
        torch_version: for the words of an error.
    """

    capacity_bytes: int | None
    total_bytes: int
    settings: AllocatorSettings
    vmm: bool
    torch_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The request that could not be met.

    Attributes:
        number: of the request.
        step, phase: when.
        message: what the user would read.
    """

    number: int
    step: int
    phase: str
    message: str


@dataclass(slots=True, kw_only=True)
class Replay:
    """What came of a replay.

    Attributes:
        peak_allocated_bytes, peak_reserved_bytes: each the maximum of its own.
        peak_event: events done when the allocated bytes peaked first.
        requested_at_peak: bytes asked for by what was alive then.
        num_alloc_retries: times the cache was given back to go on.
        refusal: set where the card was full; the replay ends there.
        block_sizes: allocated bytes of each request, by number.
        allocated, reserved: after each event.
        phases: the maxima of each phase of each step, in order of time.
    """

    peak_allocated_bytes: int = 0
    peak_reserved_bytes: int = 0
    peak_event: int = 0
    requested_at_peak: int = 0
    num_alloc_retries: int = 0
    refusal: Refusal | None = None
    block_sizes: list[int] = field(default_factory=list)
    allocated: list[int] = field(default_factory=list)
    reserved: list[int] = field(default_factory=list)
    phases: tuple[PhasePeak, ...] = ()


def replay(trace: Trace, memory: CardMemory) -> Replay:
    """Feed a trace to the allocator of a card.

    Raises:
        VmmUnsupported: expandable segments on a card without virtual memory management.
    """
    allocator = CachingAllocator(
        memory.capacity_bytes,
        total_bytes=memory.total_bytes,
        settings=memory.settings,
        vmm=memory.vmm,
        torch_version=memory.torch_version,
    )
    sizes = trace.sizes
    blocks: list[Block | None] = [None] * len(sizes)
    made = Replay(block_sizes=[0] * len(sizes))
    block_sizes, allocated, reserved = made.block_sizes, made.allocated, made.reserved
    stats = allocator.core.all_stats
    for event in trace.events:
        if event > 0:
            try:
                block = allocator.malloc(sizes[event])
            except AllocatorOutOfMemory as error:
                step, phase = phase_at(trace, len(allocated))
                made.refusal = Refusal(number=event, step=step, phase=phase, message=str(error))
                break
            if block is not None:
                blocks[event] = block
                block_sizes[event] = block.size
        else:
            block = blocks[-event]
            if block is not None:
                allocator.free(block)
        allocated.append(stats.allocated_bytes.current)
        reserved.append(stats.reserved_bytes.current)
    made.num_alloc_retries = allocator.stats.num_alloc_retries
    made.peak_reserved_bytes = allocator.peak_reserved_bytes
    made.peak_allocated_bytes = max(allocated, default=0)
    made.peak_event = allocated.index(made.peak_allocated_bytes) + 1 if allocated else 0
    made.requested_at_peak = sum(sizes[number] for number in live_after(trace, made.peak_event))
    made.phases = phase_peaks(trace, made)
    return made


def live_after(trace: Trace, num_events: int) -> list[int]:
    """Numbers of the requests alive after so many events."""
    live: dict[int, None] = {}
    for event in trace.events[:num_events]:
        if event > 0:
            live[event] = None
        else:
            del live[-event]
    return list(live)


def phase_at(trace: Trace, event: int) -> tuple[int, str]:
    """Step and phase in which an event (from 0) falls."""
    found = (0, trace.marks[0][2])
    for begin, step, phase in trace.marks:
        if begin > event:
            break
        found = (step, phase)
    return found


def phase_peaks(trace: Trace, made: Replay) -> tuple[PhasePeak, ...]:
    """Maxima by step and phase. Memory held when a phase begins counts for it, too."""
    num_events = len(made.allocated)
    ends = [*(begin for begin, _, _ in trace.marks[1:]), num_events]
    peaks: dict[tuple[int, str], tuple[int, int]] = {}
    for (begin, step, phase), end in zip(trace.marks, ends, strict=True):
        first, last = max(begin - 1, 0), min(end, num_events)
        if first >= last:
            continue
        high = (max(made.allocated[first:last]), max(made.reserved[first:last]))
        known = peaks.get((step, phase), (0, 0))
        peaks[step, phase] = (max(known[0], high[0]), max(known[1], high[1]))
    return tuple(
        PhasePeak(step=step, phase=phase, allocated_bytes=allocated, reserved_bytes=reserved)
        for (step, phase), (allocated, reserved) in peaks.items()
    )


def curve(trace: Trace, made: Replay, order: Sequence[Category]) -> tuple[CurvePoint, ...]:
    """Bytes by category over the events: of each stretch its highest moment, and the peak."""
    if not made.allocated:
        return ()
    chosen = set(_moments(made))
    place = {category: index for index, category in enumerate(order)}
    sums = [0] * len(order)
    points = []
    marks = iter((*trace.marks, (len(trace.events) + 1, 0, "")))
    (_, step, phase), (until, next_step, next_phase) = next(marks), next(marks)
    for index, event in enumerate(trace.events[: len(made.allocated)]):
        while index >= until:
            step, phase = next_step, next_phase
            until, next_step, next_phase = next(marks)
        number = abs(event)
        size = made.block_sizes[number]
        if size:  # categories of nothing but empty tensors have no place
            sums[place[trace.categories[number]]] += size if event > 0 else -size
        if index in chosen:
            reserved = made.reserved[index]
            points.append(
                CurvePoint(event=index + 1, step=step, phase=phase, reserved_bytes=reserved, sizes=tuple(sums))
            )
    return tuple(points)


def _moments(made: Replay) -> list[int]:
    """At most `_MAX_POINTS` events, the first, the last and the peak among them."""
    num_events = len(made.allocated)
    stretches = min(num_events, _MAX_POINTS - 3)
    borders = [num_events * place // stretches for place in range(stretches + 1)]
    highest = (
        max(range(begin, end), key=made.allocated.__getitem__) for begin, end in pairwise(borders) if begin < end
    )
    return [0, *highest, made.peak_event - 1, num_events - 1]


__all__ = ["CardMemory", "Refusal", "Replay", "VmmUnsupported", "curve", "live_after", "phase_at", "replay"]
