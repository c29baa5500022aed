"""From a trace to what a card says of it: peaks, whether it fits, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema import CardEstimate, Interval, Known, OomAnswer, PeakBytes, Unavailable
from ilora_diag.schema.estimate import NO_ATTENTION
from probes.estimate_replay import CardMemory, Replay, replay
from probes.trace import Trace

MARGIN_PERCENT = 4
"""Of reserved bytes, each way: the worst of 21 recorded steps was 3.4 % off, 19 of 20 were within 0.6 %
(benchmarks/RESULTS.md). They are others' recordings, none of a Hopper card; to be replaced by this project's own."""

MARGIN_BASIS = (
    f"[measured by others] reserved bytes {MARGIN_PERCENT} % each way: of 21 recorded steps the worst was 3.4 % off, "
    "none of them on Hopper or with expandable segments; and the interval of the CUDA context"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every card's answer rests on beside its trace."""

    settings: AllocatorSettings
    torch_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A card's answer with the replay it was read from."""

    card: CardEstimate
    replay: Replay


def same_kernels(specs: Sequence[GpuSpec]) -> list[tuple[GpuSpec, ...]]:
    """Cards on which a step makes the same requests: kernels are chosen by architecture and size."""
    groups: dict[object, list[GpuSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.compute_capability, repr(spec.sm_count)), []).append(spec)
    return [tuple(members) for members in groups.values()]


def memory_of(spec: GpuSpec, ground: Ground, *, context_bytes: int) -> CardMemory:
    """The allocator's view of a card whose context takes so much."""
    total = spec.usable_total_bytes
    return CardMemory(
        capacity_bytes=max(0, total - context_bytes),
        total_bytes=total,
        settings=ground.settings,
        vmm=True if isinstance(spec.vmm, Unavailable) else spec.vmm,
        torch_version=ground.torch_version,
    )


def answer(trace: Trace, spec: GpuSpec, ground: Ground) -> Answer:
    """What a step needs on a card; the largest batch is left open.

    The card is taken with the smallest context first. If memory runs out even so, it does not fit. If with the largest
    context it neither runs out nor may exceed the card, it fits. Anything between is not known.
    """
    context, total = spec.context_bytes, spec.usable_total_bytes
    found = replay(trace, memory_of(spec, ground, context_bytes=context.low_bytes))
    peak = peak_bytes(found, spec)
    interval = span(found.peak_reserved_bytes, spec)
    card = CardEstimate(
        gpu=spec.key,
        name=spec.nvml_name,
        compute_capability=".".join(map(str, spec.compute_capability)),
        memory_bytes=total,
        attention=backend(trace),
        peak=peak,
        context_bytes=context,
        interval=interval,
        fits=_fits(found, interval, total)
        if not found.num_alloc_retries
        else _fits_after_retries(trace, spec, ground, found),
        oom=None if found.refusal is None else _oom(trace, found),
        num_alloc_retries=found.num_alloc_retries,
        largest_batch_that_fits=Unavailable(reason="not looked for", source="estimate"),
    )
    return Answer(card=card, replay=found)


def span(reserved_bytes: int, spec: GpuSpec) -> Interval:
    """Device-used bytes for a peak of reserved bytes, both uncertainties added."""
    margin, context = reserved_bytes * MARGIN_PERCENT // 100, spec.context_bytes
    return Interval(
        low_bytes=reserved_bytes - margin + context.low_bytes,
        high_bytes=reserved_bytes + margin + context.high_bytes,
        basis=MARGIN_BASIS,
    )


def without_limit(trace: Trace, spec: GpuSpec, ground: Ground) -> Replay:
    """What the step takes where memory never ends."""
    return replay(trace, replace(memory_of(spec, ground, context_bytes=0), capacity_bytes=None))


def fits_at_ease(found: Replay, spec: GpuSpec) -> bool:
    """Whether what a step takes without a limit is within the card with the whole of its interval.

    It grows with the batch; what is reserved on a card that is nearly full does not, since its cache was given back.
    """
    return span(found.peak_reserved_bytes, spec).high_bytes <= spec.usable_total_bytes


def context_middle(spec: GpuSpec) -> int:
    """The context's bytes where one number must stand."""
    return (spec.context_bytes.low_bytes + spec.context_bytes.high_bytes) // 2


def peak_bytes(found: Replay, spec: GpuSpec) -> PeakBytes:
    """The record of a replay's peaks."""
    return PeakBytes(
        requested_bytes=found.requested_at_peak,
        allocated_bytes=found.peak_allocated_bytes,
        reserved_bytes=found.peak_reserved_bytes,
        device_used_bytes=found.peak_reserved_bytes + context_middle(spec),
    )


def backend(trace: Trace) -> str:
    """The attention kernel called most, or that none was."""
    if not trace.attention:
        return NO_ATTENTION
    return Counter(dict(trace.attention)).most_common(1)[0][0]


def with_largest_batch(card: CardEstimate, largest: Known[int]) -> CardEstimate:
    """The card's answer with that field."""
    return replace(card, largest_batch_that_fits=largest)


def _fits(found: Replay, interval: Interval, total: int) -> Known[bool]:
    if found.refusal is not None:
        return False
    if interval.high_bytes <= total:
        return True
    if interval.low_bytes > total:
        return False
    sizes = [f"{size / 2**30:.2f}" for size in (interval.low_bytes, interval.high_bytes, total)]
    return Unavailable(reason=f"between {sizes[0]} and {sizes[1]} GiB of {sizes[2]} GiB", source="estimate")


def _fits_after_retries(trace: Trace, spec: GpuSpec, ground: Ground, found: Replay) -> Known[bool]:
    """Once the cache had to be given back, a little more may be too much: with a smaller card it must fit, too."""
    interval = span(found.peak_reserved_bytes, spec)
    told = _fits(found, interval, spec.usable_total_bytes)
    if told is not True:
        return told
    smaller = memory_of(spec, ground, context_bytes=spec.context_bytes.high_bytes)
    assert smaller.capacity_bytes is not None
    capacity = smaller.capacity_bytes * (100 - MARGIN_PERCENT) // 100
    if replay(trace, replace(smaller, capacity_bytes=capacity)).refusal is None:
        return True
    reason = (
        f"it fits after {found.num_alloc_retries} times giving the cache back, and not with {MARGIN_PERCENT} % less"
    )
    return Unavailable(reason=reason, source="estimate")


def _oom(trace: Trace, found: Replay) -> OomAnswer:
    refusal = found.refusal
    assert refusal is not None
    return OomAnswer(
        step=refusal.step,
        phase=refusal.phase,
        module=trace.modules[refusal.number],
        op=trace.ops[refusal.number],
        requested_bytes=trace.sizes[refusal.number],
        message=refusal.message,
    )
