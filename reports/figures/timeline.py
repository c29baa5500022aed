"""Allocated bytes by category over the allocator's events, under bands for steps and phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ilora_diag.schema import CurvePoint, Estimate
from ilora_diag.schema.estimate import EVALUATION_PHASES
from ilora_diag.units import format_bytes
from reports.figures.shares import LOOKS, axis_for
from reports.figures.style import INK, MUTED, new_figure
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Nine areas of so many points keep the file well below 200 kB.
MAX_POINTS = 260
_WIDTH_IN = 6.9
_LETTER_IN = 0.075
_BANDS = ("#EAEEF2", "#D0D7DE")
_BAND_HEIGHT = 0.065


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of events in one phase, or in one step."""

    start: int
    end: int
    label: str


def available(estimate: Estimate) -> bool:
    """Whether there is a course to draw."""
    return len(estimate.curve) > 1 and any(sum(point.sizes) for point in estimate.curve)


def draw(estimate: Estimate, words: Words) -> Figure:
    """Stacked areas by category, reserved bytes as a line above them, steps and phases in two bands on top."""
    curve = thinned(estimate.curve, MAX_POINTS)
    axis = axis_for(max(point.reserved_bytes for point in curve))
    figure, (axes,) = new_figure(words("estimate.timeline.title"), height_in=4.4)
    events = [point.event for point in curve]
    base = [0.0] * len(curve)
    for index, category in enumerate(estimate.curve_categories):
        if not any(point.sizes[index] for point in curve):
            continue
        upper = [low + axis.of(point.sizes[index]) for low, point in zip(base, curve, strict=True)]
        look = LOOKS[category]
        label = words(f"estimate.category.{category.value}")
        style: dict[str, Any] = {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": "white", "linewidth": 0.0}
        axes.fill_between(events, base, upper, label=label, **style)
        base = upper
    reserved = [axis.of(point.reserved_bytes) for point in curve]
    label = words("estimate.timeline.reserved")
    axes.plot(events, reserved, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label=label)
    axes.set_xlim(events[0], events[-1])
    axes.set_ylim(0, max(reserved) * 1.06)
    axes.set_xlabel(words("estimate.timeline.axis"))
    axes.set_ylabel(axis.unit)
    _mark_peak(axes, curve, base, words)
    _draw_bands(axes, estimate.curve, words)
    _legend_below(axes)
    return figure


def thinned(curve: Sequence[CurvePoint], limit: int) -> Sequence[CurvePoint]:
    """At most `limit` points: of every stretch the highest and the lowest, so that no peak is lost; the ends stay."""
    if len(curve) <= limit:
        return curve
    num_stretches = (limit - 2) // 2
    kept = {0, len(curve) - 1}
    for stretch in range(num_stretches):
        first, end = (len(curve) * edge // num_stretches for edge in (stretch, stretch + 1))
        heights = [sum(point.sizes) for point in curve[first:end]]
        kept |= {first + heights.index(max(heights)), first + heights.index(min(heights))}
    return [curve[index] for index in sorted(kept)]


def _mark_peak(axes: Axes, curve: Sequence[CurvePoint], heights: Sequence[float], words: Words) -> None:
    index = max(range(len(curve)), key=lambda place: heights[place])
    text = words("estimate.timeline.peak", size=format_bytes(sum(curve[index].sizes)))
    middle = (curve[0].event + curve[-1].event) / 2
    on_left = curve[index].event <= middle
    axes.plot(curve[index].event, heights[index], "o", color=INK, markersize=5, zorder=5, clip_on=False)
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axes.annotate(
        text,
        (curve[index].event, heights[index]),
        xytext=(8 if on_left else -8, -3),
        textcoords="offset points",
        ha="left" if on_left else "right",
        va="top",
        fontsize=9,
        color=INK,
        bbox=box,
    )


def _draw_bands(axes: Axes, curve: Sequence[CurvePoint], words: Words) -> None:
    """Phases directly above the areas, steps above those; a label stands where its band is wide enough."""
    phases = _bands(curve, [point.phase for point in curve], [(point.step, point.phase) for point in curve])
    told = [_when(point, words) for point in curve]
    steps = _bands(curve, told, told)
    span = max(1, curve[-1].event - curve[0].event)
    for level, bands in enumerate((phases, steps)):
        bottom = 1.012 + level * _BAND_HEIGHT
        for index, band in enumerate(bands):
            _draw_band(axes, band, bottom, _BANDS[index % 2], span)
        for band in bands[1:]:
            axes.axvline(band.start, color=MUTED, linewidth=0.5 + 0.5 * level, alpha=0.5, zorder=3)
    axes.set_title(axes.get_title(loc="left"), pad=48)


def _when(point: CurvePoint, words: Words) -> str:
    if point.phase in EVALUATION_PHASES:
        return words("estimate.phases.after")
    return words("estimate.timeline.step", step=point.step) if point.step else words("estimate.timeline.before")


def _draw_band(axes: Axes, band: Band, bottom: float, colour: str, span: int) -> None:
    from matplotlib.patches import Rectangle

    place, width = axes.get_xaxis_transform(), band.end - band.start
    style: dict[str, Any] = {
        "facecolor": colour,
        "edgecolor": "white",
        "linewidth": 0.8,
        "clip_on": False,
    }
    axes.add_patch(Rectangle((band.start, bottom), width, _BAND_HEIGHT - 0.006, transform=place, **style))
    room = width / span * _WIDTH_IN / _LETTER_IN
    label = next((text for text in (band.label, band.label[:3] + ".") if _letters(text) <= room), None)
    if label is not None:
        middle, y = band.start + width / 2, bottom + _BAND_HEIGHT / 2 - 0.003
        axes.text(middle, y, label, transform=place, ha="center", va="center", fontsize=8, color=INK)


def _letters(text: str) -> int:
    """Width in Latin letters: others take two."""
    return sum(1 if letter.isascii() else 2 for letter in text)


def _bands(curve: Sequence[CurvePoint], labels: Sequence[str], keys: Sequence[object]) -> list[Band]:
    """One band for each run of equal keys; it lasts until the next begins, so that bands leave no gap."""
    runs = [list(run) for _, run in groupby(range(len(curve)), key=lambda index: keys[index])]
    starts = [curve[run[0]].event for run in runs]
    ends = [*starts[1:], curve[-1].event]
    return [Band(start, end, labels[run[0]]) for run, start, end in zip(runs, starts, ends, strict=True)]


def _legend_below(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=min(5, len(labels)))
