"""Live progress on stderr: a moving display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ilora_diag.cli.progress_state import ProgressState
from ilora_diag.cli.streams import note
from ilora_diag.engine.events import Event
from ilora_diag.schema import value_or
from ilora_diag.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

STEP_EVERY_S = 10.0
HEARTBEAT_EVERY_S = 30.0
_STOPPING = "stopping: waiting for the trainer to save a checkpoint (again to stop at once)"


class Display(Protocol):
    """A listener that is shown inside a `with` block."""

    def take(self, events: Iterable[Event]) -> None:
        """New events, often none."""

    def stopping(self) -> None:
        """A stop was asked for."""


class PlainProgress:
    """One line a phase, one about every ten seconds of steps, and a sign of life every thirty.

    Args:
        write: receives each line.
        clock: monotonic seconds.
    """

    def __init__(self, write: Callable[[str], None] = note, clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._state = ProgressState()
        self._phase_began = self._last_line = clock()

    def take(self, events: Iterable[Event]) -> None:
        """Print what the events are worth; with none, at most a sign of life."""
        for event in events:
            before = self._state.phase
            self._state.take(event)
            if self._state.ended:
                name, seconds = self._state.ended
                self._line(f"{name}: done in {format_duration(seconds)}{_memory(self._state)}")
            elif self._state.phase != before:
                self._phase_began = self._clock()
                self._line(f"{self._state.phase} ...")
            elif event.name == "warning":
                self._line(f"warning: {value_or(event.text('text'), '')}")
            elif event.name in ("step", "rec_epoch", "eval_progress") and self._is_due(STEP_EVERY_S):
                self._line(step_line(self._state))
        if self._is_due(HEARTBEAT_EVERY_S):
            waited = format_duration(self._clock() - self._phase_began)
            self._line(f"{self._state.phase or 'starting'}: still running after {waited}")

    def stopping(self) -> None:
        """Say that the stop was heard."""
        self._line(_STOPPING)

    def _line(self, text: str) -> None:
        self._write(text)
        self._last_line = self._clock()

    def _is_due(self, seconds: float) -> bool:
        return self._clock() - self._last_line >= seconds


class RichProgress:
    """A bar that moves, with finished phases standing above it.

    Args:
        console: of stderr.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._state = ProgressState()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None, figures="")

    @contextmanager
    def shown(self) -> Iterator[RichProgress]:
        """The display, on the terminal for as long as the block lasts."""
        with self._progress:
            yield self

    def take(self, events: Iterable[Event]) -> None:
        """Move the display."""
        news = list(events)
        for event in news:
            before = self._state.phase
            self._state.take(event)
            if self._state.ended:
                name, seconds = self._state.ended
                self._progress.console.print(
                    f"{name}: done in {format_duration(seconds)}{_memory(self._state)}", markup=False, highlight=False
                )
            if self._state.phase != before:
                self._progress.reset(self._task, description=self._state.phase or "...", total=None, figures="")
            if event.name == "warning":
                self._progress.console.print(f"warning: {value_or(event.text('text'), '')}", markup=False)
        self._progress.update(
            self._task,
            completed=self._state.done,
            total=self._state.total or None,
            figures=figures_line(self._state),
            refresh=bool(news),
        )

    def stopping(self) -> None:
        """Say that the stop was heard."""
        self._progress.console.print(_STOPPING, style="yellow")


@contextmanager
def live_progress(*, on_terminal: bool) -> Iterator[Display]:
    """The progress display for this stderr."""
    if not on_terminal:
        yield PlainProgress()
        return
    from rich.console import Console

    with RichProgress(Console(file=sys.stderr)).shown() as display:
        yield display


def step_line(state: ProgressState) -> str:
    """A plain line of a phase under way."""
    return f"{state.phase}: {figures_line(state)}"


def figures_line(state: ProgressState) -> str:
    """The figures of the moment; what is not known is left out."""
    count = f"{state.done}/{state.total}" if state.total else str(state.done) if state.done else ""
    parts = (
        f"{state.what} {count}".strip(),
        f"loss {state.loss:.3f}" if state.loss is not None else "",
        f"{state.tokens_per_s:,.0f} tokens/s" if state.tokens_per_s is not None else "",
        f"ETA {state.eta}" if state.eta else "",
        state.memory,
    )
    return ", ".join(part for part in parts if part)


def _memory(state: ProgressState) -> str:
    return f", {state.memory}" if state.memory else ""
