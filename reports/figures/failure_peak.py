"""The card's memory when it failed: categories, cache, context, other processes, and the request that found no room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.trial_answer import FailedRequest, PeakParts
from ilora_diag.units import format_bytes
from reports.figures.boundary import card_bytes
from reports.figures.waterfall import ASKED, CACHED, OUTSIDE, TOTAL, Bar, category_bars, draw_bars
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def available(bisect: Bisect) -> bool:
    """Whether anything was allocated."""
    return not isinstance(bisect.peak, Unavailable) and bisect.peak.allocated_bytes > 0


def draw(bisect: Bisect, words: Words) -> Figure:
    """The waterfall; what lies outside the allocator is drawn where the failed request tells it."""
    peak = _peak(bisect)
    bars = tuple(_bars(peak, bisect.failed_request if peak.at_failure else None, words))
    furthest = max(bar.end_bytes for bar in bars)
    capacity = card_bytes(bisect)
    memory = capacity if isinstance(capacity, int) else None
    return draw_bars(bars, words, title=_title(peak, words), furthest_bytes=furthest, memory_bytes=memory)


def alt(bisect: Bisect, words: Words) -> str:
    """The bars in words."""
    peak = _peak(bisect)
    bars = _bars(peak, bisect.failed_request if peak.at_failure else None, words)
    told = [words("figure.bisect.peak.alt.row", label=bar.label, size=format_bytes(bar.size_bytes)) for bar in bars]
    return words("figure.bisect.peak.alt", title=_title(peak, words), rows=words("separator").join(told))


def _title(peak: PeakParts, words: Words) -> str:
    return words("figure.bisect.peak.failed" if peak.at_failure else "figure.bisect.peak.passed")


def _peak(bisect: Bisect) -> PeakParts:
    assert not isinstance(bisect.peak, Unavailable), "available() says whether there is one"
    return bisect.peak


def _bars(peak: PeakParts, request: FailedRequest | None, words: Words) -> Iterator[Bar]:
    yield from category_bars(peak.by_category, words)
    allocated, reserved = peak.allocated_bytes, peak.reserved_bytes
    yield Bar(words("estimate.level.allocated"), 0, allocated, TOTAL, is_total=True)
    if reserved > allocated:
        yield Bar(words("estimate.waterfall.gap.cached"), allocated, reserved - allocated, CACHED)
    yield Bar(words("estimate.level.reserved"), 0, reserved, TOTAL, is_total=True)
    if request is None:
        return
    used = reserved
    own, others = request.this_process_bytes, request.other_processes_bytes
    if isinstance(own, int) and own > reserved:
        yield Bar(words("estimate.waterfall.gap.context"), used, own - reserved, OUTSIDE)
        used = own
    if isinstance(others, int) and others:
        yield Bar(words("estimate.waterfall.gap.other_processes"), used, others, OUTSIDE)
        used += others
    if used > reserved:
        yield Bar(words("estimate.level.used"), 0, used, TOTAL, is_total=True)
    if isinstance(request.requested_bytes, int):
        yield Bar(words("estimate.waterfall.asked"), used, request.requested_bytes, ASKED)
