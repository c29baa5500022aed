"""The figures of a training report. matplotlib is loaded when the first one is drawn, not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ilora_diag.schema import Skipped, TrainRun
from reports.figures import loss, memory, metrics, recommender, throughput
from reports.figures.style import house_style, save_svg
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class FigureKind:
    """One figure: whether a run has something to draw, and the drawing."""

    available: Callable[[TrainRun], bool]
    draw: Callable[[TrainRun, Words], Figure]


FIGURES = {
    "recommender": FigureKind(recommender.available, recommender.draw),
    "loss": FigureKind(loss.available, loss.draw),
    "throughput": FigureKind(throughput.available, throughput.draw),
    "memory": FigureKind(memory.available, memory.draw),
    "metrics": FigureKind(metrics.available, metrics.draw),
}


def drawn_path(name: str) -> str:
    """Where a figure stands, relative to the run folder."""
    return f"figures/{name}.svg"


def draw_figures(run: TrainRun, folder: Path, lang: str) -> tuple[Skipped, ...]:
    """Draw every figure the run has something for.

    Args:
        run: the records.
        folder: the run folder.
        lang: "en" or "ja".

    Returns:
        The figures that could not be drawn, with the reason.
    """
    words = Words(lang)
    skipped = []
    for name, kind in FIGURES.items():
        if not kind.available(run):
            continue
        path = folder / drawn_path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with house_style(lang):
                save_svg(kind.draw(run, words), path)
        except (ImportError, OSError) as error:
            skipped.append(Skipped(what=drawn_path(name), reason=_reason(error)))
    return tuple(skipped)


def _reason(error: ImportError | OSError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    return f"{type(error).__name__}: {error}"
