"""What a training's events amount to right now: the figures that a progress display shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ilora_diag.engine.events import Event
from ilora_diag.engine.readings import read_device
from ilora_diag.schema import DeviceMemory, Unavailable, value_or
from ilora_diag.units import format_bytes, format_duration

_RECENT = 20  # steps whose mean duration the remaining time is computed from


@dataclass(slots=True)
class ProgressState:
    """The newest of everything.

    Attributes:
        phase: that runs now; empty before the first.
        ended: name and seconds of the phase that the last event ended; None where it ended none.
        done, total: steps of the phase, or samples of an evaluation; a total of 0 is unknown.
        loss, tokens_per_s: of the last logged step.
        memory: what is held, in words.
    """

    phase: str = ""
    ended: tuple[str, float] | None = None
    done: int = 0
    total: int = 0
    what: str = ""
    loss: float | None = None
    tokens_per_s: float | None = None
    memory: str = ""
    _open: list[str] = field(default_factory=list)
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def take(self, event: Event) -> None:
        """Bring the state up to one event."""
        self.ended = None
        if event.name == "phase":
            self._take_phase(event)
        elif event.name == "train_begin":
            self.total, self.done = value_or(event.count("max_steps"), 0), value_or(event.count("start_step"), 0)
        elif event.name == "step":
            self._take_step(event)
        elif event.name == "rec_epoch":
            self.what, self.done = "epoch", value_or(event.count("epoch"), self.done)
            self.loss = value_or(event.number("loss"), None)
        elif event.name == "eval_progress":
            self.what = value_or(event.text("metric"), "")
            self.done, self.total = value_or(event.count("done"), self.done), value_or(event.count("total"), 0)
        self._take_memory(event)

    @property
    def eta(self) -> str:
        """The time the remaining steps will take at the pace of the last ones; empty where nothing is known of it."""
        if self.phase != "train" or not self._seconds or not self.total:
            return ""
        left = max(self.total - self.done, 0)
        return format_duration(left * sum(self._seconds) / len(self._seconds))

    def _take_phase(self, event: Event) -> None:
        name = value_or(event.text("phase"), "?")
        if event.fields.get("status") == "begin":
            self._open.append(name)
        else:
            self.ended = (name, value_or(event.number("seconds"), 0.0))
            if name in self._open:
                self._open.remove(name)
        self.phase = self._open[-1] if self._open else ""
        self.done = self.total = 0
        self.what, self.loss, self.tokens_per_s = "", None, None
        self._seconds.clear()

    def _take_step(self, event: Event) -> None:
        self.done = value_or(event.count("step"), self.done)
        self.loss = value_or(event.number("loss"), None)
        self.tokens_per_s = value_or(event.number("tokens_per_s"), None)
        seconds = event.number("seconds")
        if not isinstance(seconds, Unavailable):
            self._seconds.append(seconds)

    def _take_memory(self, event: Event) -> None:
        rss, device = event.count("rss_bytes"), read_device(event)
        if isinstance(device, DeviceMemory):
            allocated, reserved = format_bytes(device.allocated_bytes), format_bytes(device.reserved_bytes)
            self.memory = f"{allocated} allocated, {reserved} reserved"
        elif not isinstance(rss, Unavailable):
            self.memory = f"{format_bytes(rss)} resident"
