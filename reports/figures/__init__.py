"""The figures of reports and estimates. matplotlib is loaded when the first one is drawn, not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ilora_diag.schema import Estimate, Skipped, TrainRun
from reports.figures import icicle, loss, memory, metrics, recommender, throughput, timeline, waterfall
from reports.figures.style import house_style, save_svg
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FigureKind(Generic[R]):
    """One figure: whether a record has something to draw, and the drawing."""

    available: Callable[[R], bool]
    draw: Callable[[R, Words], Figure]


FIGURES: Mapping[str, FigureKind[TrainRun]] = {
    "recommender": FigureKind(recommender.available, recommender.draw),
    "loss": FigureKind(loss.available, loss.draw),
    "throughput": FigureKind(throughput.available, throughput.draw),
    "memory": FigureKind(memory.available, memory.draw),
    "metrics": FigureKind(metrics.available, metrics.draw),
}
ESTIMATE_FIGURES: Mapping[str, FigureKind[Estimate]] = {
    "waterfall": FigureKind(waterfall.available, waterfall.draw),
    "icicle": FigureKind(icicle.available, icicle.draw),
    "timeline": FigureKind(timeline.available, timeline.draw),
}


def drawn_path(name: str) -> str:
    """Where a figure stands, relative to the run folder."""
    return f"figures/{name}.svg"


def draw_figures(run: TrainRun, folder: Path, lang: str) -> tuple[Skipped, ...]:
    """Draw every figure a training has something for, as `draw_kinds`."""
    return draw_kinds(FIGURES, run, folder, lang)


def draw_estimate_figures(estimate: Estimate, folder: Path, lang: str) -> tuple[Skipped, ...]:
    """Draw every figure an estimate has something for, as `draw_kinds`."""
    return draw_kinds(ESTIMATE_FIGURES, estimate, folder, lang)


def draw_kinds(kinds: Mapping[str, FigureKind[R]], record: R, folder: Path, lang: str) -> tuple[Skipped, ...]:
    """Draw every figure a record has something for.

    Args:
        kinds: the figures by name.
        record: what they are drawn from.
        folder: the run folder.
        lang: "en" or "ja".

    Returns:
        The figures that could not be drawn, with the reason.
    """
    words = Words(lang)
    skipped = []
    for name, kind in kinds.items():
        if not kind.available(record):
            continue
        path = folder / drawn_path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with house_style(lang):
                save_svg(kind.draw(record, words), path)
        except (ImportError, OSError) as error:
            skipped.append(Skipped(what=drawn_path(name), reason=_reason(error)))
    return tuple(skipped)


def _reason(error: ImportError | OSError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    return f"{type(error).__name__}: {error}"
