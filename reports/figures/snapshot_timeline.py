"""Allocated bytes over the events of a recorded snapshot, by the lines that made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilora_diag.schema.snapshot import SnapshotDevice
from ilora_diag.units import format_bytes
from reports.figures.shares import axis_for
from reports.figures.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RULE,
    SKY,
    VERMILION,
    house_style,
    new_figure,
    save_svg,
)
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What was there before the window lies at the bottom, in grey: it is the ground the rest stands on.
_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, "#F0E442")
_LABEL_LETTERS = 60


def available(device: SnapshotDevice) -> bool:
    """Whether there is a course to draw."""
    return device.num_events > 1 and device.peak.allocated_bytes > 0


def write(device: SnapshotDevice, path: Path, lang: str) -> None:
    """Draw into an SVG file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with house_style(lang):
        save_svg(draw(device, Words(lang)), path)


def draw(device: SnapshotDevice, words: Words) -> Figure:
    """Stacked areas, reserved bytes as a line above them, and the peak; inside `house_style`."""
    points, series = device.timeline.points, device.timeline.series
    axis = axis_for(max(point.reserved_bytes for point in points))
    figure, (axes,) = new_figure(words("snapshot.timeline.title", device=device.index), height_in=4.6)
    events = [point.event for point in points]
    before, other = len(series), len(series) + 1
    areas = [(before, words("snapshot.part.before"), RULE)]
    areas += [(index, _short(name), _COLOURS[index % len(_COLOURS)]) for index, name in enumerate(series)]
    areas.append((other, words("snapshot.timeline.other"), MUTED))
    base = [0.0] * len(points)
    for index, label, colour in areas:
        if not any(point.sizes[index] for point in points):
            continue
        upper = [low + axis.of(point.sizes[index]) for low, point in zip(base, points, strict=True)]
        style: dict[str, Any] = {"facecolor": colour, "linewidth": 0.0}
        axes.fill_between(events, base, upper, label=label, **style)
        base = upper
    reserved = [axis.of(point.reserved_bytes) for point in points]
    label = words("snapshot.timeline.reserved")
    axes.plot(events, reserved, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), drawstyle="steps-post", label=label)
    axes.set_xlim(events[0], events[-1])
    axes.set_ylim(0, max(reserved) * 1.08)
    axes.set_xlabel(words("snapshot.timeline.axis"))
    axes.set_ylabel(axis.unit)
    _mark_peak(axes, device, axis.of(device.peak.allocated_bytes), words)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return figure


def _mark_peak(axes: Axes, device: SnapshotDevice, height: float, words: Words) -> None:
    event = device.peak.allocated_event
    on_left = event <= device.num_events / 2
    axes.plot(event, height, "o", color=INK, markersize=5, zorder=5, clip_on=False)
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axes.annotate(
        words("snapshot.timeline.peak", size=format_bytes(device.peak.allocated_bytes)),
        (event, height),
        xytext=(8 if on_left else -8, -3),
        textcoords="offset points",
        ha="left" if on_left else "right",
        va="top",
        fontsize=9,
        color=INK,
        bbox=box,
    )


def _short(name: str) -> str:
    return name if len(name) <= _LABEL_LETTERS else f"...{name[3 - _LABEL_LETTERS :]}"
