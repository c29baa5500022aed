"""Memory by phase: what the process held in host memory, and the caching allocator on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.train_run import Phase, TrainRun
from ilora_diag.units import format_bytes
from reports.figures.style import BLUE, GREEN, MUTED, ORANGE, legend_above, new_figure, note_at
from reports.messages import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a phase: which quantity, how many bytes, which colour."""

    key: str
    size_bytes: int
    colour: str


def available(run: TrainRun) -> bool:
    """Whether any phase says what it held."""
    return any(_bars(phase) for phase in run.phases)


def draw(run: TrainRun, words: Words) -> Figure:
    """Horizontal bars, phase by phase in order of time, each with its size written beside it."""
    rows = [(phase, _bars(phase)) for phase in run.phases]
    rows = [(phase, bars) for phase, bars in rows if bars]
    num_bars = sum(len(bars) for _, bars in rows)
    height_in = 1.3 + 0.26 * num_bars + 0.16 * len(rows)
    figure, (axes,) = new_figure(words("figure.memory.title"), height_in=height_in)
    position, ticks, seen = 0.0, [], set()
    for phase, bars in rows:
        ticks.append((position + (len(bars) - 1) / 2, _name(phase)))
        for bar in bars:
            label = words(f"figure.memory.{bar.key}") if bar.key not in seen else None
            axes.barh(position, bar.size_bytes / GIB, height=0.82, color=bar.colour, label=label)
            note_at(axes, bar.size_bytes / GIB, position, format_bytes(bar.size_bytes), fontsize=8.5, color=MUTED)
            seen.add(bar.key)
            position += 1
        position += 0.6
    axes.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_xlabel(words("figure.memory.axis"))
    axes.margins(x=0.12)
    legend_above(axes)
    return figure


def _name(phase: Phase) -> str:
    return phase.name if phase.attempt == 1 else f"{phase.name} ({phase.attempt})"


def _bars(phase: Phase) -> list[Bar]:
    bars = []
    if not isinstance(phase.rss_bytes, Unavailable):
        bars.append(Bar("rss", phase.rss_bytes, BLUE))
    if not isinstance(phase.device, Unavailable):
        bars.append(Bar("allocated", phase.device.peak_allocated_bytes, GREEN))
        bars.append(Bar("reserved", phase.device.peak_reserved_bytes, ORANGE))
    return bars
