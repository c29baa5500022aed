"""Every trial of an investigation: what was relaxed in it, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ilora_diag.schema.bisect import Bisect, Step
from reports.figures.outcomes import MARKS, Ended, step_ended, trials_by_id
from reports.figures.style import BLUE, INK, MUTED, RULE, SKY, cut_start, new_figure
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A page of them; the table in the report has all. The ends matter most: what failed at first, what passed at last.
MAX_ROWS = 60
_ROW_IN = 0.21
_FRAME_IN = 1.9
_LETTERS = 26


def available(bisect: Bisect) -> bool:
    """Whether trials were run over factors."""
    return bool(bisect.steps) and bool(bisect.factors)


def shown_steps(bisect: Bisect) -> tuple[Step, ...]:
    """The steps drawn: all of them, or the first and the last ones."""
    if len(bisect.steps) <= MAX_ROWS:
        return bisect.steps
    return (*bisect.steps[: MAX_ROWS // 2], *bisect.steps[-(MAX_ROWS // 2) :])


def draw(bisect: Bisect, words: Words) -> Figure:
    """A row a trial, a column a factor, the outcome in words at the right."""
    steps, trials = shown_steps(bisect), trials_by_id(bisect)
    names = [factor.name for factor in bisect.factors]
    num_hidden = len(bisect.steps) - len(steps)
    title = words("figure.bisect.trials.title_cut" if num_hidden else "figure.bisect.trials.title", num=num_hidden)
    figure, (axes,) = new_figure(title, height_in=_FRAME_IN + _ROW_IN * len(steps))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    mildest = {factor.name: factor.mildest for factor in bisect.factors}
    partly: list[tuple[int, int]] = []
    wholly: list[tuple[int, int]] = []
    for row, step in enumerate(steps):
        for name, level in step.relaxed:
            if name in mildest and level:
                (wholly if level >= mildest[name] else partly).append((names.index(name), row))
    _grid(axes, len(names), len(steps))
    _cells(axes, partly, SKY, label=words("figure.bisect.trials.partly"), hatch="//")
    _cells(axes, wholly, BLUE, label=words("figure.bisect.trials.wholly"))
    for row, step in enumerate(steps):
        _outcome(axes, row, step_ended(step, trials), words)
    if num_hidden:
        axes.axhline(MAX_ROWS // 2 - 0.5, color=INK, linewidth=1.2)
    labels = [_row_label(step, words) for step in steps]
    axes.set_yticks(range(len(steps)), labels, fontsize=8)
    axes.set_xticks(
        range(len(names)), [cut_start(name, _LETTERS) for name in names], rotation=40, ha="right", fontsize=8
    )
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(axes.get_title(loc="left"), pad=28)
    if partly or wholly:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return figure


def alt(bisect: Bisect, words: Words) -> str:
    """How many trials ended how."""
    trials = trials_by_id(bisect)
    found = [step_ended(step, trials) for step in bisect.steps]
    told = [
        words("figure.bisect.trials.alt.row", ended=words(f"figure.bisect.ended.{kind.value}"), num=found.count(kind))
        for kind in Ended
        if kind in found
    ]
    values = {"steps": len(bisect.steps), "factors": len(bisect.factors), "rows": words("separator").join(told)}
    return words("figure.bisect.trials.alt", **values)


def _grid(axes: Axes, num_columns: int, num_rows: int) -> None:
    """Lines between cells; frames around each would be most of the file."""
    style: dict[str, Any] = {"color": RULE, "linewidth": 0.6, "zorder": 0}
    axes.vlines([place - 0.5 for place in range(num_columns + 1)], -0.5, num_rows - 0.5, **style)
    axes.hlines([place - 0.5 for place in range(num_rows + 1)], -0.5, num_columns - 0.5, **style)


def _cells(axes: Axes, places: Iterable[tuple[int, int]], colour: str, **style: Any) -> None:
    """Rectangles of one look as one path: hundreds of them stay small in the file."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners = ((-0.46, -0.42), (0.46, -0.42), (0.46, 0.42), (-0.46, 0.42), (-0.46, -0.42))
    points = [(column + x, row + y) for column, row in places for x, y in corners]
    if not points:
        return
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * (len(points) // 5)
    patch = PathPatch(Path(points, codes), facecolor=colour, edgecolor="white", linewidth=0.6, **style)
    axes.add_patch(patch)


def _outcome(axes: Axes, row: int, kind: Ended, words: Words) -> None:
    mark, place = MARKS[kind], axes.get_yaxis_transform()
    style: dict[str, Any] = {"color": mark.colour, "markeredgecolor": "white", "markersize": 6.5, "clip_on": False}
    axes.plot([1.02], [row], mark.sign, transform=place, **style)
    axes.annotate(
        words(f"figure.bisect.ended.{kind.value}"),
        (1.02, row),
        xycoords=place,
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=MUTED if kind is Ended.NONE else INK,
    )


def _row_label(step: Step, words: Words) -> str:
    purpose = words.named(f"figure.bisect.purpose.{step.purpose.value}", step.purpose.value)
    key = "figure.bisect.trials.again" if step.reused else "figure.bisect.trials.row"
    return words(key, trial=step.trial, purpose=purpose)
