"""The breakdowns of an estimate: what the peak of the first card consists of, and how it came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import starmap
from typing import TypeVar

from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.schema import (
    CardEstimate,
    Category,
    CategoryShare,
    CurvePoint,
    Gap,
    ModuleShare,
    OpShare,
    PhasePeak,
)
from probes.estimate_cards import Answer, context_middle
from probes.estimate_replay import curve, live_after
from probes.trace import Trace
from probes.virtual.ledger import counted

N = TypeVar("N")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Of the first card; the fields are those of the record."""

    by_category: tuple[CategoryShare, ...]
    by_module: tuple[ModuleShare, ...]
    by_op: tuple[OpShare, ...]
    by_phase: tuple[PhasePeak, ...]
    chain: tuple[Gap, ...]
    curve_categories: tuple[Category, ...]
    curve: tuple[CurvePoint, ...]
    num_requests: int
    notes: tuple[str, ...]


def take_apart(trace: Trace, found: Answer, spec: GpuSpec) -> Parts:
    """Every byte at the peak by category, module and operator; each breakdown sums to the allocated bytes."""
    sizes = found.replay.block_sizes
    live = [(number, sizes[number]) for number in live_after(trace, found.replay.peak_event) if sizes[number]]
    seen = {category for number, category in enumerate(trace.categories) if number and sizes[number]}
    order = tuple(category for category in Category if category in seen)
    categories = dict(_sums((trace.categories[number], size) for number, size in live))
    modules = _sums((trace.modules[number], size) for number, size in live)
    ops = _sums((trace.ops[number], size) for number, size in live)
    return Parts(
        by_category=tuple(
            CategoryShare(category=one, size_bytes=categories[one]) for one in order if one in categories
        ),
        by_module=tuple(ModuleShare(module=name, size_bytes=size) for name, size in modules),
        by_op=tuple(OpShare(op=name, size_bytes=size) for name, size in ops),
        by_phase=found.replay.phases,
        chain=_chain(found.card, spec),
        curve_categories=order,
        curve=curve(trace, found.replay, order),
        num_requests=trace.num_requests,
        notes=tuple(starmap(counted, trace.notes)),
    )


def _sums(pairs: Iterable[tuple[N, int]]) -> list[tuple[N, int]]:
    """Bytes by name, the largest first."""
    totals: Counter[N] = Counter()
    for name, size in pairs:
        totals[name] += size
    return totals.most_common()


def _chain(card: CardEstimate, spec: GpuSpec) -> tuple[Gap, ...]:
    peak = card.peak
    return (
        Gap(name="requested", size_bytes=peak.requested_bytes),
        Gap(name="rounding", size_bytes=peak.allocated_bytes - peak.requested_bytes),
        Gap(name="cached", size_bytes=peak.reserved_bytes - peak.allocated_bytes),
        Gap(name="context", size_bytes=context_middle(spec)),
        Gap(name="other_processes", size_bytes=0),
    )
