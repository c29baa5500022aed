"""Tokens a second against optimizer steps."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.train_run import TrainRun
from reports.figures.style import GREEN, INK, label_end, new_figure, whole_steps
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def available(run: TrainRun) -> bool:
    """Whether there is a line to draw."""
    return len(_points(run)) >= 2


def draw(run: TrainRun, words: Words) -> Figure:
    """Throughput of every step, and the median of the run as a line of its own."""
    steps, rates = zip(*_points(run), strict=True)
    middle = median(rates[1:])  # the first step pays for warming up, as in the report's median
    figure, (axes,) = new_figure(words("figure.throughput.title"), height_in=2.4)
    axes.set_xlabel(words("figure.axis.step"))
    axes.set_ylabel(words("figure.throughput.axis"))
    axes.plot(steps, rates, color=GREEN, linewidth=1.2, marker=".", markersize=3)
    axes.plot((steps[0], steps[-1]), (middle, middle), color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    label_end(axes, steps[-1], middle, words("figure.throughput.median", value=f"{middle:,.0f}"), INK)
    # From zero: a truncated axis would make every jitter look like a stall.
    axes.set_ylim(bottom=0)
    whole_steps(axes)
    return figure


def _points(run: TrainRun) -> list[tuple[int, float]]:
    if isinstance(run.steps, Unavailable):
        return []
    return [(step.step, step.tokens_per_s) for step in run.steps if not isinstance(step.tokens_per_s, Unavailable)]
