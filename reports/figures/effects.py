"""What each factor alone does to the peak: bars from the failing configuration, the largest relief on top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ilora_diag.schema.bisect import Bisect, Effect, Factor
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.units import format_bytes
from reports.figures.outcomes import MARKS, Ended, ended, trials_by_id
from reports.figures.shares import Axis, axis_for
from reports.figures.style import INK, MUTED, RULE, cut_end, cut_start, new_figure
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS, _NAME_LETTERS, _LEVEL_LETTERS = 42, 24, 14
_MAX_TOLD = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One bar: the factor and the level it was relaxed to, what that changed, and how the trial ended.

    Attributes:
        label: `batch_size: 32 -> 8`, or the factor alone where it was not tried.
        short: the same, where there is little room.
        delta_bytes: of the peak; None where the factor was not relaxed alone.
        ended: None likewise.
    """

    label: str
    short: str
    delta_bytes: Known[int] | None
    ended: Ended | None

    @property
    def size_bytes(self) -> int:
        """The length of the bar, with its sign; none where the change is not known."""
        return self.delta_bytes if isinstance(self.delta_bytes, int) else 0


def available(bisect: Bisect) -> bool:
    """Whether any factor's effect on the peak is known."""
    return any(not isinstance(effect.delta_bytes, Unavailable) for effect in bisect.effects)


def rows(bisect: Bisect) -> list[Row]:
    """Tried ones by what they save, then those whose effect is not known, then the factors not tried alone."""
    trials, factors = trials_by_id(bisect), {factor.name: factor for factor in bisect.factors}
    tried = [
        Row(*_labels(factors.get(effect.factor), effect), effect.delta_bytes, ended(trials.get(effect.trial)))
        for effect in bisect.effects
    ]
    known = sorted((row for row in tried if isinstance(row.delta_bytes, int)), key=lambda row: row.size_bytes)
    unknown = [row for row in tried if not isinstance(row.delta_bytes, int)]
    named = {effect.factor for effect in bisect.effects}
    untried = (factor.name for factor in bisect.factors if factor.name not in named)
    return [*known, *unknown, *(Row(name, cut_start(name, _LETTERS), None, None) for name in untried)]


def draw(bisect: Bisect, words: Words) -> Figure:
    """Horizontal bars left of zero for what was saved, right of it for what more was needed."""
    lines = rows(bisect)
    axis = axis_for(max(abs(line.size_bytes) for line in lines))
    figure, (axes,) = new_figure(words("figure.bisect.effects.title"), height_in=1.5 + 0.29 * len(lines))
    sizes = [axis.of(line.size_bytes) for line in lines]
    span = (max(*sizes, 0.0) - min(*sizes, 0.0)) or 1.0
    axes.set_xlim(min(*sizes, 0.0) - 0.04 * span, max(*sizes, 0.0) + 0.04 * span)
    seen: set[Ended] = set()
    for place, line in enumerate(lines):
        _draw_row(axes, axis, place, line, words, first=line.ended is not None and line.ended not in seen)
        if line.ended is not None:
            seen.add(line.ended)
    axes.axvline(0, color=INK, linewidth=1.0, zorder=3)
    axes.set_yticks(range(len(lines)), [line.short for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_xlabel(words("figure.bisect.effects.axis", unit=axis.unit))
    axes.set_title(axes.get_title(loc="left"), pad=28)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4)
    return figure


def alt(bisect: Bisect, words: Words) -> str:
    """The bars in words, the largest first."""
    told = [
        words("figure.bisect.effects.alt.row", label=line.label, note=_note(line, words))
        for line in rows(bisect)
        if line.ended is not None
    ]
    more = words("figure.bisect.alt.more", num=len(told) - _MAX_TOLD) if len(told) > _MAX_TOLD else ""
    return words("figure.bisect.effects.alt", rows=words("separator").join(told[:_MAX_TOLD]) + more)


def _draw_row(axes: Axes, axis: Axis, place: int, line: Row, words: Words, *, first: bool) -> None:
    from matplotlib.patches import Rectangle

    if line.ended is None:
        band = Rectangle((0, place - 0.3), 1, 0.6, transform=axes.get_yaxis_transform(), zorder=0)
        band.set(facecolor="white", edgecolor=RULE, hatch="//", linewidth=0.0)
        axes.add_patch(band)
    else:
        mark = MARKS[line.ended]
        end = axis.of(line.size_bytes)
        axes.barh(place, end, height=0.62, color=mark.colour, hatch=mark.hatch, edgecolor="white", linewidth=0)
        label = words(f"figure.bisect.ended.{line.ended.value}") if first else None
        style: dict[str, Any] = {
            "color": mark.colour,
            "markeredgecolor": "white",
            "markersize": 7,
            "linestyle": "none",
            "zorder": 4,
        }
        axes.plot([end], [place], mark.sign, label=label, **style)
    where: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    colour = MUTED if line.ended is None else INK
    axes.annotate(_note(line, words), (1.0, place), xytext=(6, 0), fontsize=8.5, color=colour, **where)


def _note(line: Row, words: Words) -> str:
    if line.ended is None:
        return words("figure.bisect.effects.untested")
    how = words(f"figure.bisect.ended.{line.ended.value}")
    if not isinstance(line.delta_bytes, int):
        return words("figure.bisect.effects.unknown", ended=how)
    sign = "-" if line.delta_bytes < 0 else "+" if line.delta_bytes > 0 else ""
    return words("figure.bisect.effects.note", delta=sign + format_bytes(abs(line.delta_bytes)), ended=how)


def _labels(factor: Factor | None, effect: Effect) -> tuple[str, str]:
    """The label in full, and as there is room for it beside a bar."""
    if factor is None or effect.level >= len(factor.levels):
        return effect.factor, cut_start(effect.factor, _LETTERS)
    failing, relaxed = factor.levels[0].name, factor.levels[effect.level].name
    whole = f"{effect.factor}: {failing} -> {relaxed}"
    if len(whole) <= _LETTERS:
        return whole, whole
    return whole, f"{cut_start(effect.factor, _NAME_LETTERS)} -> {cut_end(relaxed, _LEVEL_LETTERS)}"
