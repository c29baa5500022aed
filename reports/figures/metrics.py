"""Evaluation metrics with their intervals, against chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.train_run import EvalMetric, TrainRun
from reports.figures.style import BLUE, INK, MUTED, VERMILION, legend_above, new_figure, note_at
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def available(run: TrainRun) -> bool:
    """Whether any metric has a value."""
    return bool(_known(run))


def draw(run: TrainRun, words: Words) -> Figure:
    """One row a metric: the value as a dot, the 95 % interval as a bar, chance as a tick across it."""
    metrics = _known(run)
    figure, (axes,) = new_figure(words("figure.metrics.title"), height_in=1.45 + 0.42 * len(metrics))
    for row, metric in enumerate(metrics):
        assert not isinstance(metric.value, Unavailable)
        if not isinstance(metric.low, Unavailable) and not isinstance(metric.high, Unavailable):
            axes.plot((metric.low, metric.high), (row, row), color=BLUE, linewidth=5, alpha=0.35)
        axes.plot(metric.value, row, "o", color=BLUE, markersize=7)
        if not isinstance(metric.chance, Unavailable):
            axes.plot((metric.chance, metric.chance), (row - 0.28, row + 0.28), color=VERMILION, linewidth=2)
        right = metric.value if isinstance(metric.high, Unavailable) else metric.high
        note_at(axes, right, row, _label(metric), fontsize=9, color=INK)
    axes.plot([], [], "o", color=BLUE, label=words("figure.metrics.value"))
    axes.plot([], [], color=BLUE, alpha=0.35, linewidth=5, label=words("figure.metrics.interval"))
    axes.plot([], [], color=VERMILION, linewidth=2, label=words("figure.metrics.chance"))
    axes.set_yticks(range(len(metrics)), [words.metric(metric.name) for metric in metrics])
    axes.set_ylim(len(metrics) - 0.4, -0.6)
    axes.set_xlim(0, 1.0)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.tick_params(axis="x", colors=MUTED)
    legend_above(axes)
    return figure


def _label(metric: EvalMetric) -> str:
    text = f"{metric.value:.3f}"
    if isinstance(metric.low, Unavailable) or isinstance(metric.high, Unavailable):
        return text
    return f"{text} [{metric.low:.3f}, {metric.high:.3f}]"


def _known(run: TrainRun) -> list[EvalMetric]:
    if isinstance(run.metrics, Unavailable):
        return []
    return [metric for metric in run.metrics if not isinstance(metric.value, Unavailable)]
