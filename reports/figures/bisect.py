"""The figures of an investigation: where the memory was, what each factor does, every trial, and the boundary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.estimate import Estimate
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.timeline import ModuleShare
from ilora_diag.units import format_bytes
from reports.figures import (
    FigureKind,
    boundary,
    draw_kinds,
    drawn_path,
    effects,
    failure_peak,
    growth,
    icicle,
    timeline,
    trial_matrix,
)
from reports.messages import Words
from reports.module_tree import module_tree, partition

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_TOLD = 5


@dataclass(frozen=True, slots=True)
class Told(FigureKind[Bisect]):
    """A figure with the text that stands for it."""

    alt: Callable[[Bisect, Words], str]


def bisect_figures(bisect: Bisect) -> tuple[str, ...]:
    """Names of the figures that the record has something for, in the order of a report."""
    return tuple(name for name, kind in BISECT_FIGURES.items() if kind.available(bisect))


def draw_bisect_figures(bisect: Bisect, folder: Path, lang: str) -> tuple[tuple[str, ...], tuple[Skipped, ...]]:
    """Draw every figure an investigation has something for.

    Args:
        bisect: the record.
        folder: the run folder.
        lang: "en" or "ja".

    Returns:
        The files drawn, relative to the folder, and those that could not be, with the reason.
    """
    skipped = draw_kinds(BISECT_FIGURES, bisect, folder, lang)
    missing = {entry.what for entry in skipped}
    paths = (drawn_path(name) for name in bisect_figures(bisect))
    return tuple(path for path in paths if path not in missing), skipped


def figure_alt(name: str, bisect: Bisect, words: Words) -> str:
    """What a figure shows, in words, from the same record.

    Args:
        name: of `bisect_figures`.
        bisect: the record.
        words: the language.
    """
    return BISECT_FIGURES[name].alt(bisect, words)


def _modules(bisect: Bisect) -> tuple[ModuleShare, ...]:
    return () if isinstance(bisect.peak, Unavailable) else bisect.peak.by_module


def _has_modules(bisect: Bisect) -> bool:
    return any(share.module and share.size_bytes for share in _modules(bisect))


def _draw_modules(bisect: Bisect, words: Words) -> Figure:
    return icicle.draw_modules(_modules(bisect), words, title=words("figure.bisect.modules.title"))


def _modules_alt(bisect: Bisect, words: Words) -> str:
    ranked = partition(module_tree(_modules(bisect)), _MAX_TOLD)[:_MAX_TOLD]
    told = [
        words(
            "figure.bisect.peak.alt.row",
            label=row.branch.path or words("estimate.module.root"),
            size=format_bytes(row.size_bytes),
        )
        for row in ranked
    ]
    return words("figure.bisect.modules.alt", rows=words("separator").join(told))


def _estimate(bisect: Bisect) -> Estimate:
    assert not isinstance(bisect.estimate, Unavailable), "available() says whether there is one"
    return bisect.estimate


def _has_curve(bisect: Bisect) -> bool:
    return not isinstance(bisect.estimate, Unavailable) and timeline.available(bisect.estimate)


def _draw_timeline(bisect: Bisect, words: Words) -> Figure:
    return timeline.draw(_estimate(bisect), words)


def _timeline_alt(bisect: Bisect, words: Words) -> str:
    peak = _estimate(bisect).peak
    allocated, reserved = format_bytes(peak.allocated_bytes), format_bytes(peak.reserved_bytes)
    return words("figure.bisect.timeline.alt", allocated=allocated, reserved=reserved)


BISECT_FIGURES: Mapping[str, Told] = {
    "peak": Told(failure_peak.available, failure_peak.draw, failure_peak.alt),
    "modules": Told(_has_modules, _draw_modules, _modules_alt),
    "timeline": Told(_has_curve, _draw_timeline, _timeline_alt),
    "effects": Told(effects.available, effects.draw, effects.alt),
    "trials": Told(trial_matrix.available, trial_matrix.draw, trial_matrix.alt),
    "boundary": Told(boundary.available, boundary.draw, boundary.alt),
    "growth": Told(growth.available, growth.draw, growth.alt),
}
"""By the name of the file, in the order of a report."""
