"""What a trial measured: memory and time by stage, what memory consists of, and the request that failed."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from ilora_diag.knowledge.oom import others_bytes, parse_oom
from ilora_diag.memory.allocator import AllocatorOutOfMemory
from ilora_diag.schema import Category, CategoryShare, Known, Metric, ModuleShare, Unavailable
from ilora_diag.schema.known import Scalar
from ilora_diag.schema.trial_answer import FailedRequest, PeakParts
from ilora_diag.schema.trial_request import Stage
from probes.run_ledger import MeasuredLedger
from probes.run_place import causes
from probes.run_station import Station
from probes.trial_clock import Span

N = TypeVar("N", bound=Hashable)
_NO_CARD = Unavailable(reason="the trial ran on no card", source="trial")
_SIZES = {
    "peak_allocated_bytes": "allocated_bytes.all.peak",
    "peak_reserved_bytes": "reserved_bytes.all.peak",
    "inactive_split_bytes": "inactive_split_bytes.all.current",
}
_COUNTS = ("num_alloc_retries", "num_ooms")
NOTHING_PLACED = Unavailable(reason="nothing was put on the card", source="trial")


def peak_parts(ledger: MeasuredLedger | None, spans: Sequence[Span], *, failed_in: Stage | None) -> Known[PeakParts]:
    """What the allocated bytes consist of: at the failure, which is the ledger's end, else at its highest."""
    if ledger is None:
        return _NO_CARD
    if not ledger.events:
        return NOTHING_PLACED
    at_failure = failed_in is not None
    event = len(ledger.events) if at_failure else ledger.allocated.index(max(ledger.allocated)) + 1
    allocated, reserved = ledger.allocated[event - 1], ledger.reserved[event - 1]
    live = [(number, ledger.block_sizes[number]) for number in ledger.live_at(event) if ledger.block_sizes[number]]
    categories = dict(_sums((ledger.category(number), size) for number, size in live))
    return PeakParts(
        at_failure=at_failure,
        stage=failed_in or _stage_of(event, spans),
        allocated_bytes=allocated,
        reserved_bytes=reserved,
        by_category=tuple(
            CategoryShare(category=one, size_bytes=categories[one]) for one in Category if one in categories
        ),
        by_module=tuple(
            ModuleShare(module=name, size_bytes=size)
            for name, size in _sums((ledger.modules[number], size) for number, size in live)
        ),
    )


def _stage_of(event: int, spans: Sequence[Span]) -> Stage:
    return next((span.stage for span in spans if span.first_event < event <= span.end_event), spans[-1].stage)


def _sums(pairs: Iterable[tuple[N, int]]) -> list[tuple[N, int]]:
    """Bytes by name, the largest first."""
    totals: Counter[N] = Counter()
    for name, size in pairs:
        totals[name] += size
    return totals.most_common()


def failed_request(error: BaseException, station: Station | None) -> FailedRequest | None:
    """The allocation that failed: as the allocator's model tells it, else as its message does."""
    for one in causes(error):
        if isinstance(one, AllocatorOutOfMemory):
            facts = one.facts
            own = next((use.used_bytes for use in facts.processes if use.pid is None), None)
            return FailedRequest(
                requested_bytes=facts.requested_bytes,
                capacity_bytes=facts.total_bytes,
                free_bytes=facts.free_bytes,
                this_process_bytes=_unsaid("this process") if own is None else own,
                other_processes_bytes=station.other_bytes if station is not None else _unsaid("other processes"),
                allocated_bytes=facts.allocated_bytes,
                unallocated_bytes=facts.reserved_unallocated_bytes,
            )
    return _parsed(str(error))


def _parsed(message: str) -> FailedRequest | None:
    found = parse_oom(message)
    if found is None:
        return None
    return FailedRequest(
        requested_bytes=found.requested_bytes,
        capacity_bytes=found.capacity_bytes,
        free_bytes=found.free_bytes,
        this_process_bytes=found.this_process_bytes,
        other_processes_bytes=others_bytes(found) if found.other_processes else _unsaid("other processes"),
        allocated_bytes=found.allocated_bytes,
        unallocated_bytes=found.unallocated_bytes,
    )


def _unsaid(what: str) -> Unavailable:
    return Unavailable(reason=f"the message does not say what {what} hold", source="error text")


def metrics(station: Station | None) -> tuple[Metric, ...]:
    """The numbers of the record's docstring, each once. What is on a real card beside us is the observer's to ask."""
    sizes: dict[str, Known[Scalar]] = dict.fromkeys(_SIZES, _NO_CARD)
    counts: dict[str, Known[Scalar]] = dict.fromkeys(_COUNTS, _NO_CARD)
    others: Known[Scalar] = _NO_CARD
    if station is not None:
        others = Unavailable(reason="asked from outside", source="trial") if station.is_real else station.other_bytes
        try:
            stats = torch.cuda.memory_stats()
            sizes.update((name, int(stats.get(key, 0))) for name, key in _SIZES.items())
            counts.update((name, int(stats.get(name, 0))) for name in _COUNTS)
        except Exception as error:  # noqa: BLE001 - a card that has failed may not answer; the trial's end is told
            unknown = Unavailable(reason=f"{type(error).__name__}: {error}", source="torch.cuda.memory_stats")
            sizes, counts = dict.fromkeys(_SIZES, unknown), dict.fromkeys(_COUNTS, unknown)
    return (
        *(Metric(name=name, value=value, unit="bytes") for name, value in sizes.items()),
        *(Metric(name=name, value=value, unit="1") for name, value in counts.items()),
        Metric(name="other_processes_before_bytes", value=others, unit="bytes"),
        Metric(name="other_processes_after_bytes", value=others, unit="bytes"),
        Metric(name="rss_peak_bytes", value=rss_peak_bytes(), unit="bytes"),
    )


def rss_peak_bytes() -> int:
    """Largest resident memory of this process. A forked one counts from its fork on, where the kernel tells (VmHWM)."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # Linux counts in KiB
