"""From a measured ledger to the trace and the levels that breakdowns are made of."""

from __future__ import annotations

from collections.abc import Mapping

from ilora_diag.schema import Category
from probes.estimate_replay import Replay, live_after, phase_peaks
from probes.run_ledger import MeasuredLedger
from probes.trace import Trace, spoken_marks


def trace_of(
    ledger: MeasuredLedger, *, last_step: int, attention: Mapping[str, int], notes: tuple[tuple[str, int], ...]
) -> Trace:
    """Everything a script asked for, in order.

    Args:
        ledger: of the whole run.
        last_step: the step, from 1, that the end of the run belongs to; 0 where none began.
        attention: calls by backend.
        notes: what could not be known, each with how often.
    """
    numbers = range(1, len(ledger.sizes))
    marks = tuple(spoken_marks(list(ledger.marks), last_step))
    return Trace(
        events=tuple(ledger.events),
        sizes=tuple(ledger.sizes),
        modules=tuple(ledger.modules),
        ops=tuple(ledger.ops),
        categories=(Category.UNKNOWN, *(ledger.category(number) for number in numbers)),
        marks=marks,
        steps=last_step,
        num_load_events=next((event for event, step, _ in marks if step), len(ledger.events)),
        attention=tuple(attention.items()),
        notes=notes,
    )


def levels_of(ledger: MeasuredLedger, trace: Trace, *, num_alloc_retries: int) -> Replay:
    """What the allocator said while it happened, in the form a replay has."""
    allocated = ledger.allocated
    peak = max(allocated, default=0)
    made = Replay(
        peak_allocated_bytes=peak,
        peak_reserved_bytes=max(ledger.reserved, default=0),
        peak_event=allocated.index(peak) + 1 if allocated else 0,
        num_alloc_retries=num_alloc_retries,
        block_sizes=ledger.block_sizes,
        allocated=allocated,
        reserved=ledger.reserved,
    )
    made.requested_at_peak = sum(trace.sizes[number] for number in live_after(trace, made.peak_event))
    made.phases = phase_peaks(trace, made)
    return made
