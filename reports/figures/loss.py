"""Loss against optimizer steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.train_run import TrainRun
from reports.figures.style import BLUE, SKY, VERMILION, label_end, legend_above, new_figure, whole_steps
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL_SHARE = 0.07  # of the height: closer labels would overlap
_WINDOW_SHARE = 10  # the thick line averages a tenth of the run


def available(run: TrainRun) -> bool:
    """Whether there is a line to draw."""
    return len(_train_points(run)) >= 2


def draw(run: TrainRun, words: Words) -> Figure:
    """Every step's loss, its trailing mean, and the validation loss where it was measured."""
    points = _train_points(run)
    figure, (axes,) = new_figure(words("figure.loss.title"), height_in=3.4)
    window = max(1, len(points) // _WINDOW_SHARE)
    axes.set_xlabel(words("figure.axis.step"))
    axes.set_ylabel(words("figure.loss.axis"))
    steps, losses = zip(*points, strict=True)
    smooth = trailing_mean(losses, window)
    if window == 1:
        axes.plot(steps, losses, color=BLUE, marker=".", label=words("figure.loss.steps"))
    else:
        axes.plot(steps, losses, color=SKY, linewidth=1.0, label=words("figure.loss.steps"))
        axes.plot(steps, smooth, color=BLUE, linewidth=2.2, label=words("figure.loss.mean", window=window))
    label_end(axes, steps[-1], smooth[-1], f"{smooth[-1]:.2f}", BLUE)
    _draw_validation(axes, run, words, beside=smooth[-1])
    whole_steps(axes)
    legend_above(axes)
    return figure


def trailing_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and of those before it, `window` in all; fewer at the beginning."""
    return [sum(part) / len(part) for part in (values[max(0, i + 1 - window) : i + 1] for i in range(len(values)))]


def _draw_validation(axes: Axes, run: TrainRun, words: Words, *, beside: float) -> None:
    """The validation losses; the label of the last gives way to the training loss's, which ends at `beside`."""
    points = [(val.step, val.loss) for val in run.val_losses if not isinstance(val.loss, Unavailable)]
    if points:
        steps, losses = zip(*points, strict=True)
        axes.plot(steps, losses, color=VERMILION, marker="o", markersize=4.5, label=words("figure.loss.validation"))
        low, high = axes.get_ylim()
        gap = (losses[-1] - beside) / (high - low)
        up_pt = 0.0 if abs(gap) > _LABEL_SHARE else 13.0 if gap >= 0 else -13.0
        label_end(axes, steps[-1], losses[-1], f"{losses[-1]:.2f}", VERMILION, up_pt=up_pt)


def _train_points(run: TrainRun) -> list[tuple[int, float]]:
    if isinstance(run.steps, Unavailable):
        return []
    return [(step.step, step.loss) for step in run.steps if not isinstance(step.loss, Unavailable)]
