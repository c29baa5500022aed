"""Waiting for a child's end, and bringing it about: on a deadline, or because a person asks for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ilora_diag.engine.outcome import ChildSpec, ChildStatus
from ilora_diag.engine.processes import Family, Waiter

Poll = Callable[[], bool]
"""Called about every 0.2 s while the child runs; True asks it to stop. What it raises ends the child and goes on up."""

_POLL_S = 0.2


@dataclass(slots=True)
class Ladder:
    """The signals still to be sent, each with the seconds that follow it."""

    rungs: list[tuple[signal.Signals, float]]
    next_at: float


class Supervisor:
    """Waits for the child's end and brings it about when it is due."""

    def __init__(self, spec: ChildSpec, family: Family, waiter: Waiter, started: float) -> None:
        self._spec, self._family, self._waiter = spec, family, waiter
        self._deadline = inf if spec.deadline_s is None else started + spec.deadline_s
        self._ladder: Ladder | None = None
        self.ending: ChildStatus | None = None  # STOPPED or TIMED_OUT once the end was brought about

    def watch(self, poll: Poll | None) -> None:
        """Return when the child has ended, or has outlived the last signal."""
        next_poll = time.monotonic()
        while not self._waiter.ended.is_set():
            try:
                now = time.monotonic()
                if poll is not None and now >= next_poll:
                    next_poll = now + _POLL_S
                    if poll():
                        self._begin(ChildStatus.STOPPED)
                if now >= self._deadline:
                    self._begin(ChildStatus.TIMED_OUT)
                if not self._climb(now):
                    return
                due = min(self._deadline, self._ladder.next_at if self._ladder else inf, now + _POLL_S)
                self._waiter.ended.wait(max(due - now, 0.0))
            except KeyboardInterrupt:
                self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        """A person is waiting: begin to stop, or hurry on to the next signal."""
        if self._ladder is None:
            self._begin(ChildStatus.STOPPED)
        else:
            self._ladder.next_at = time.monotonic()

    def _begin(self, ending: ChildStatus) -> None:
        """Set out to end the child; only the first reason counts."""
        if self._ladder is None:
            self.ending, self._deadline = ending, inf
            grace = self._spec.grace
            rungs = [(signal.SIGTERM, grace.terminate_s), (signal.SIGKILL, grace.kill_s)]
            if ending is ChildStatus.STOPPED:
                rungs.insert(0, (signal.SIGINT, grace.interrupt_s))
            self._ladder = Ladder(rungs, next_at=time.monotonic())

    def _climb(self, now: float) -> bool:
        """Send the next signal if it is due; False when there is none left to send."""
        if self._ladder is None or now < self._ladder.next_at:
            return True
        if not self._ladder.rungs:
            return False
        number, seconds = self._ladder.rungs.pop(0)
        self._family.signal(number)
        self._ladder.next_at = now + seconds
        return True
