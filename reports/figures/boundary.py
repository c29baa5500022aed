"""The peak against the levels of the factor that decides, with the two neighbouring trials between which it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ilora_diag.schema.bisect import Bisect, Boundary, Factor, Step
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.units import format_bytes
from reports.figures.outcomes import MARKS, Ended, ended, is_test, peak_reserved, trials_by_id
from reports.figures.shares import Axis, axis_for
from reports.figures.style import INK, MUTED, VERMILION, cut_end, new_figure
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS = 26
# With more levels, only the pair has room for its ids and sizes.
_MAX_LABELLED = 8


@dataclass(frozen=True, slots=True)
class Point:
    """The trials of one level that came to the same: the first of them, and how many."""

    level: int
    size_bytes: int
    ended: Ended
    trial: str
    num_trials: int


def available(bisect: Bisect) -> bool:
    """Whether there is a boundary, and a peak measured on both sides of it."""
    found = points(bisect)
    pair = bisect.boundary
    if pair is None:
        return False
    levels = {point.level for point in found}
    return {pair.failing_level, pair.passing_level} <= levels


def points(bisect: Bisect) -> list[Point]:
    """Trials that differ from the failing one of the pair in this factor alone, by level."""
    pair = bisect.boundary
    if pair is None:
        return []
    trials = trials_by_id(bisect)
    failing = next((step for step in bisect.steps if step.trial == pair.fail), None)
    if failing is None:
        return []
    found: dict[tuple[int, int, Ended], list[str]] = {}
    for step in bisect.steps:
        peak, trial = peak_reserved(trials.get(step.trial)), trials.get(step.trial)
        same = is_test(step) and _others(step, pair) == _others(failing, pair)
        if not same or isinstance(peak, Unavailable):
            continue
        ids = found.setdefault((_level(step, pair), peak, ended(trial)), [])
        if step.trial not in ids:
            ids.append(step.trial)
    return [Point(level, size, kind, _named(ids, pair), len(ids)) for (level, size, kind), ids in sorted(found.items())]


def draw(bisect: Bisect, words: Words) -> Figure:
    """Points over the levels from the failing to the mildest, the pair joined, the card's end as a line."""
    pair, found = bisect.boundary, points(bisect)
    assert pair is not None, "available() says whether there is one"
    levels = _levels(bisect, pair, found)
    capacity = same_card_bytes(bisect)
    known_capacity = capacity if isinstance(capacity, int) else 0
    axis = axis_for(max(known_capacity, *(point.size_bytes for point in found)))
    figure, (axes,) = new_figure(words("figure.bisect.boundary.title", factor=pair.factor), height_in=3.7)
    _draw_pair(axes, axis, pair, found)
    for kind in Ended:
        some = [point for point in found if point.ended is kind]
        if some:
            mark = MARKS[kind]
            style: dict[str, Any] = {"color": mark.colour, "markeredgecolor": "white", "markersize": 9, "zorder": 4}
            label = words(f"figure.bisect.ended.{kind.value}")
            places = [point.level for point in some], [axis.of(point.size_bytes) for point in some]
            axes.plot(*places, mark.sign, linestyle="none", label=label, **style)
    crowded = len(levels) > _MAX_LABELLED
    for point in found:
        if crowded and point.level not in (pair.failing_level, pair.passing_level):
            continue
        _draw_label(axes, axis, point, words)
    top = max(axis.of(point.size_bytes) for point in found)
    if known_capacity:
        _draw_card(axes, axis, known_capacity, words)
        top = max(top, axis.of(known_capacity))
    axes.set_ylim(0, top * 1.2)
    axes.set_xlim(-0.6, len(levels) - 0.1)
    axes.set_xticks(range(len(levels)), [cut_end(name, _LETTERS) for name in levels])
    axes.set_xlabel(words("figure.bisect.boundary.axis", factor=pair.factor))
    axes.set_ylabel(words("figure.bisect.boundary.peak", unit=axis.unit))
    axes.set_title(axes.get_title(loc="left"), pad=28)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4)
    return figure


def alt(bisect: Bisect, words: Words) -> str:
    """The pair in words."""
    pair = bisect.boundary
    assert pair is not None, "available() says whether there is one"
    found, levels = points(bisect), _levels(bisect, pair, points(bisect))
    failing = next(point for point in found if point.level == pair.failing_level)
    passing = next(point for point in found if point.level == pair.passing_level)
    return words(
        "figure.bisect.boundary.alt",
        factor=pair.factor,
        failing=levels[pair.failing_level],
        fail_trial=pair.fail,
        fail_peak=format_bytes(failing.size_bytes),
        passing=levels[pair.passing_level],
        pass_trial=pair.pass_,
        pass_peak=format_bytes(passing.size_bytes),
    )


def card_bytes(bisect: Bisect) -> Known[int]:
    """The memory of the card that failed: the failed request tells it, or the estimate."""
    if bisect.failed_request is not None and isinstance(bisect.failed_request.capacity_bytes, int):
        return bisect.failed_request.capacity_bytes
    if not isinstance(bisect.estimate, Unavailable):
        return bisect.estimate.cards[0].memory_bytes
    return Unavailable(reason="no trial told the card's memory", source="record:failed_request")


def same_card_bytes(bisect: Bisect) -> Known[int]:
    """The card's memory, where all levels of the boundary's factor have the same card."""
    pair = bisect.boundary
    factor = next((one for one in bisect.factors if pair is not None and one.name == pair.factor), None)
    changed = () if factor is None else (key for level in factor.levels for key, _ in level.changes)
    if any(key == "device.memory_bytes" for key in changed):
        return Unavailable(reason="the factor is the card itself", source="record:factors")
    return card_bytes(bisect)


def _draw_pair(axes: Axes, axis: Axis, pair: Boundary, found: Sequence[Point]) -> None:
    """A band over the two levels and a line between their points."""
    low, high = sorted((pair.failing_level, pair.passing_level))
    axes.axvspan(low - 0.35, high + 0.35, color="#EAEEF2", zorder=0, linewidth=0)
    ends = [
        next(point for point in found if point.level == level and point.ended is kind)
        for level, kind in ((pair.failing_level, Ended.SAME), (pair.passing_level, Ended.PASS))
        if any(point.level == level and point.ended is kind for point in found)
    ]
    if len(ends) == 2:
        axes.plot(
            [point.level for point in ends],
            [axis.of(point.size_bytes) for point in ends],
            color=INK,
            linewidth=1.2,
            linestyle=(0, (4, 2)),
            zorder=2,
        )


def _draw_label(axes: Axes, axis: Axis, point: Point, words: Words) -> None:
    key = "figure.bisect.boundary.trials" if point.num_trials > 1 else "figure.bisect.boundary.trial"
    text = words(key, trial=point.trial, num=point.num_trials - 1, size=format_bytes(point.size_bytes))
    # To the right, where the next level is milder and so lower; the axis leaves room behind the last one.
    axes.annotate(
        text,
        (point.level, axis.of(point.size_bytes)),
        xytext=(9, 5),
        textcoords="offset points",
        va="bottom",
        fontsize=8.5,
        color=MUTED,
        zorder=5,
    )


def _draw_card(axes: Axes, axis: Axis, memory_bytes: int, words: Words) -> None:
    axes.axhline(axis.of(memory_bytes), color=VERMILION, linewidth=1.6, linestyle=(0, (5, 2)))
    text = words("estimate.waterfall.card", memory=format_bytes(memory_bytes))
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "color": VERMILION, "fontsize": 9}
    where: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(text, (0.995, axis.of(memory_bytes)), xytext=(0, 3), **where, **style)


def _levels(bisect: Bisect, pair: Boundary, found: Sequence[Point]) -> list[str]:
    factor: Factor | None = next((one for one in bisect.factors if one.name == pair.factor), None)
    if factor is not None:
        return [level.name for level in factor.levels]
    return [str(level) for level in range(1 + max(point.level for point in found))]


def _level(step: Step, pair: Boundary) -> int:
    return dict(step.relaxed).get(pair.factor, 0)


def _others(step: Step, pair: Boundary) -> tuple[tuple[str, int], ...]:
    return tuple((name, level) for name, level in step.relaxed if name != pair.factor and level)


def _named(ids: Sequence[str], pair: Boundary) -> str:
    """The trial of the pair if it is among them, else the first."""
    return next((name for name in (pair.fail, pair.pass_) if name in ids), ids[0])
