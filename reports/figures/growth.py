"""Live bytes after each step, with the line that fits them: whether something stays from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.trial_answer import Retention
from ilora_diag.units import format_bytes
from reports.figures.shares import axis_for
from reports.figures.style import BLUE, INK, VERMILION, legend_above, new_figure, note_at, whole_steps
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def available(bisect: Bisect) -> bool:
    """Whether live bytes were followed over steps."""
    return bisect.retention is not None and len(bisect.retention.live_bytes) > 2


def draw(bisect: Bisect, words: Words) -> Figure:
    """A point a step; the line has the slope of the record and goes through the middle of the fitted points."""
    found = _retention(bisect)
    live = found.live_bytes
    axis = axis_for(max(live))
    figure, (axes,) = new_figure(words("figure.bisect.growth.title"), height_in=3.2)
    steps = list(range(1, len(live) + 1))
    fitted = list(zip(steps, live, strict=True))[1:]
    middle_step = sum(step for step, _ in fitted) / len(fitted)
    middle = sum(size for _, size in fitted) / len(fitted)
    line = [(middle + (step - middle_step) * found.slope_bytes) / axis.unit_bytes for step in (2, steps[-1])]
    colour = VERMILION if found.is_growing else INK
    label = words("figure.bisect.growth.slope", slope=told_slope(found, words))
    axes.plot((2, steps[-1]), line, color=colour, linewidth=1.3, linestyle=(0, (4, 2)), label=label)
    heights = [axis.of(size) for size in live]
    axes.plot(steps, heights, "o", color=BLUE, markersize=6, label=words("figure.bisect.growth.live"))
    note_at(axes, steps[-1], heights[-1], format_bytes(live[-1]), fontsize=9, color=INK)
    axes.set_ylim(0, max(heights) * 1.15)
    axes.set_xlabel(words("figure.axis.step"))
    axes.set_ylabel(axis.unit)
    whole_steps(axes)
    legend_above(axes)
    return figure


def alt(bisect: Bisect, words: Words) -> str:
    """First and last step, and the slope."""
    found = _retention(bisect)
    return words(
        "figure.bisect.growth.alt",
        first=format_bytes(found.live_bytes[0]),
        last=format_bytes(found.live_bytes[-1]),
        num=len(found.live_bytes),
        slope=told_slope(found, words),
    )


def told_slope(found: Retention, words: Words) -> str:
    """The growth per step with its uncertainty."""
    sign = "-" if found.slope_bytes < 0 else "+"
    size, error = (format_bytes(round(abs(value))) for value in (found.slope_bytes, found.slope_error_bytes))
    return words("figure.bisect.growth.per_step", size=sign + size, error=error)


def _retention(bisect: Bisect) -> Retention:
    assert bisect.retention is not None, "available() says whether there is one"
    return bisect.retention
