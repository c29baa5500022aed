"""The card's memory at the peak as a waterfall: categories, cache, context, and the line where the card ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ilora_diag.schema import Category, CategoryShare, Estimate, Interval
from ilora_diag.units import format_bytes
from reports.figures.shares import LOOKS, Axis, Look, axis_for, gap_name
from reports.figures.style import INK, MUTED, VERMILION, new_figure, note_at
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A card more than so many times larger than what is used would press all bars to the left edge.
_SHOWN_UP_TO = 2.5
_THIN = 0.03
TOTAL, CACHED, OUTSIDE = Look("#57606A"), Look("#C9D1D9"), Look("#8C959F", "//")
ASKED = Look("#FFFFFF", "xx")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it begins, how far it goes, and where it may end. A total begins at zero."""

    label: str
    start_bytes: int
    size_bytes: int
    look: Look
    is_total: bool = False
    interval: Interval | None = None

    @property
    def end_bytes(self) -> int:
        """Where it ends."""
        return self.start_bytes + self.size_bytes


def available(estimate: Estimate) -> bool:
    """Whether anything was allocated."""
    return estimate.peak.allocated_bytes > 0


def draw(estimate: Estimate, words: Words) -> Figure:
    """Horizontal bars from the first category down to the card's total, each with its size beside it."""
    card = estimate.cards[0]
    bars = tuple(_bars(estimate, words))
    furthest = max(estimate.interval.high_bytes, *(bar.end_bytes for bar in bars))
    title = words("estimate.waterfall.title", gpu=card.gpu.upper())
    return draw_bars(bars, words, title=title, furthest_bytes=furthest, memory_bytes=card.memory_bytes)


def draw_bars(
    bars: Sequence[Bar], words: Words, *, title: str, furthest_bytes: int, memory_bytes: int | None
) -> Figure:
    """The bars one below the other, joined where one begins as another ends; the card's end as a line if known."""
    axis = axis_for(furthest_bytes)
    figure, (axes,) = new_figure(title, height_in=1.15 + 0.29 * len(bars))
    for row, bar in enumerate(bars):
        _draw_bar(axes, axis, row, bar, is_thin=bar.size_bytes < _THIN * furthest_bytes)
    for row, (upper, lower) in enumerate(pairwise(bars)):
        joint = axis.of(upper.end_bytes)
        if joint in (axis.of(lower.end_bytes), axis.of(lower.start_bytes)):
            axes.plot((joint, joint), (row + 0.36, row + 0.64), color=MUTED, linewidth=0.8)
    if memory_bytes is None:
        axes.set_xlim(0, axis.of(furthest_bytes) * 1.14)
    else:
        _draw_card(axes, axis, memory_bytes, furthest_bytes, words)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    for tick, bar in zip(axes.get_yticklabels(), bars, strict=True):
        tick.set_color(INK if bar.is_total else MUTED)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_xlabel(axis.unit)
    return figure


def category_bars(shares: Iterable[CategoryShare], words: Words) -> Iterator[Bar]:
    """One bar a category that holds something, in the order every table keeps, end to end from zero."""
    sizes = dict.fromkeys(Category, 0)
    for share in shares:
        sizes[share.category] += share.size_bytes
    start = 0
    for category, size in sizes.items():
        if size:
            yield Bar(words(f"estimate.category.{category.value}"), start, size, LOOKS[category])
            start += size


def _bars(estimate: Estimate, words: Words) -> Iterator[Bar]:
    peak, oom = estimate.peak, estimate.cards[0].oom
    yield from category_bars(estimate.by_category, words)
    yield Bar(words("estimate.level.allocated"), 0, peak.allocated_bytes, TOTAL, is_total=True)
    if peak.reserved_bytes > peak.allocated_bytes:
        size = peak.reserved_bytes - peak.allocated_bytes
        yield Bar(words("estimate.waterfall.gap.cached"), peak.allocated_bytes, size, CACHED)
    yield Bar(words("estimate.level.reserved"), 0, peak.reserved_bytes, TOTAL, is_total=True)
    yield from _outside(estimate, words)
    yield Bar(words("estimate.level.used"), 0, peak.device_used_bytes, TOTAL, is_total=True, interval=estimate.interval)
    if oom is not None:
        yield Bar(words("estimate.waterfall.asked"), peak.device_used_bytes, oom.requested_bytes, ASKED)


def _outside(estimate: Estimate, words: Words) -> Iterator[Bar]:
    """What lies beyond the allocator: the gaps that the chain names there, or one bar where it names none."""
    peak = estimate.peak
    starts = [0, *accumulate(gap.size_bytes for gap in estimate.chain)]
    beyond = [(start, gap) for start, gap in zip(starts, estimate.chain, strict=False) if start >= peak.reserved_bytes]
    if sum(gap.size_bytes for _, gap in beyond) != peak.device_used_bytes - peak.reserved_bytes:
        size = peak.device_used_bytes - peak.reserved_bytes
        yield Bar(words("estimate.waterfall.gap.outside"), peak.reserved_bytes, size, OUTSIDE)
        return
    for start, gap in beyond:
        if gap.size_bytes:
            yield Bar(
                words.named(f"estimate.waterfall.gap.{gap_name(gap.name)}", gap.name), start, gap.size_bytes, OUTSIDE
            )


def _draw_bar(axes: Axes, axis: Axis, row: int, bar: Bar, *, is_thin: bool) -> None:
    is_asked = bar.look is ASKED
    axes.barh(
        row,
        axis.of(bar.size_bytes),
        left=axis.of(bar.start_bytes),
        height=0.72,
        color=bar.look.colour,
        # Hatching would leave nothing of a bar as thin as its lines.
        hatch="" if is_thin and not is_asked else bar.look.hatch,
        edgecolor=VERMILION if is_asked else "white",
        linewidth=1.0 if is_asked else 0,
    )
    end = bar.end_bytes
    if bar.interval is not None:
        _draw_interval(axes, axis, row, bar.interval)
        end = max(end, bar.interval.high_bytes)
    # On white, so that the line of the card does not run through the digits.
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    style: dict[str, Any] = {"fontsize": 8.5, "color": INK if bar.is_total else MUTED, "bbox": box, "zorder": 4}
    note_at(axes, axis.of(end), row, format_bytes(bar.size_bytes), **style)


def _draw_interval(axes: Axes, axis: Axis, row: int, interval: Interval) -> None:
    """The interval of a total as a whisker in the lower edge of its bar."""
    low, high, y = axis.of(interval.low_bytes), axis.of(interval.high_bytes), row + 0.36
    axes.plot((low, high), (y, y), color=INK, linewidth=1.2, solid_capstyle="butt")
    for x in (low, high):
        axes.plot((x, x), (y - 0.1, y + 0.1), color=INK, linewidth=1.2)


def _draw_card(axes: Axes, axis: Axis, memory_bytes: int, furthest_bytes: int, words: Words) -> None:
    """The line where the card ends, or a note where that is far beyond what is used."""
    memory = format_bytes(memory_bytes)
    style: dict[str, Any] = {"color": VERMILION, "fontsize": 9, "va": "bottom"}
    if memory_bytes > _SHOWN_UP_TO * furthest_bytes:
        axes.set_xlim(0, axis.of(furthest_bytes) * 1.14)
        text = words("estimate.waterfall.beyond", memory=memory)
        axes.text(1.0, 1.01, text, transform=axes.transAxes, ha="right", **style)
        return
    axes.set_xlim(0, axis.of(max(memory_bytes, furthest_bytes)) * 1.14)
    axes.axvline(axis.of(memory_bytes), color=VERMILION, linewidth=1.8, linestyle=(0, (5, 2)))
    text = words("estimate.waterfall.card", memory=memory)
    axes.text(axis.of(memory_bytes), 1.01, text, transform=axes.get_xaxis_transform(), ha="center", **style)
