"""The recommender's own training: loss and validation HR@1 against epochs, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ilora_diag.schema import Known, TrainRun, Unavailable
from reports.figures.style import BLUE, GREEN, label_end, new_figure, whole_steps
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[int, float]]


def available(run: TrainRun) -> bool:
    """Whether there is a line to draw."""
    return len(_points([(epoch.epoch, epoch.loss) for epoch in run.rec_epochs])) >= 2


def draw(run: TrainRun, words: Words) -> Figure:
    """Two panels, for the two quantities share no axis."""
    losses = _points([(epoch.epoch, epoch.loss) for epoch in run.rec_epochs])
    rates = _points([(epoch.epoch, epoch.val_hr1) for epoch in run.rec_epochs])
    titles = (words("figure.recommender.loss"), words("figure.recommender.val_hr1"))
    figure, (left, right) = new_figure(*titles, height_in=2.7)
    _line(left, losses, BLUE, words)
    _line(right, rates, GREEN, words)
    right.set_ylim(bottom=0)
    return figure


def _line(axes: Axes, points: Points, colour: str, words: Words) -> None:
    axes.set_xlabel(words("figure.axis.epoch"))
    if points:
        axes.plot(*zip(*points, strict=True), color=colour, marker=".", markersize=4)
        label_end(axes, *points[-1], f"{points[-1][1]:.3f}", colour)
    whole_steps(axes)


def _points(pairs: list[tuple[int, Known[float]]]) -> Points:
    return [(epoch, value) for epoch, value in pairs if not isinstance(value, Unavailable)]
