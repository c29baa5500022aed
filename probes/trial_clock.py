"""Which stage a trial is in, how long each took, and when it has done enough."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ilora_diag.schema.trial_request import STAGES, Stage
from probes.run_enough import Enough

_STDERR_FD = 2
ANNOUNCED = "[ilora-diag] stage "
"""Begins the line on stderr that tells each stage; the observer reads the last one of a process that said no more."""


@dataclass(slots=True)
class Span:
    """A stage between two moments; a stage that comes back has several.

    Attributes:
        stage: which.
        begin_s, end_s: of `time.perf_counter()`.
        first_event, end_event: of the ledger, the last exclusive.
    """

    stage: Stage
    begin_s: float
    first_event: int
    end_s: float | None = None
    end_event: int = 0


def _nowhere() -> int:
    return 0


class StageClock:
    """Is told of every stage as it begins.

    Args:
        begin: `time.perf_counter()` when the first stage began.
        stop_after: the last stage to be run; entering one that comes later raises `Enough`.
        rec_first: the recommender is placed before the language model.

    Attributes:
        now: the stage that runs.
        position: asks how many events the ledger has; set once there is one.
        stopped: `Enough` was raised.
    """

    def __init__(self, begin: float, stop_after: Stage = Stage.DONE, *, rec_first: bool = False) -> None:
        order: Sequence[Stage] = STAGES
        if rec_first:
            swapped = {Stage.PLACE_LLM: Stage.PLACE_REC, Stage.PLACE_REC: Stage.PLACE_LLM}
            order = [swapped.get(stage, stage) for stage in STAGES]
        self._place = {stage: place for place, stage in enumerate(order)}
        self._stop_after = stop_after
        self.position: Callable[[], int] = _nowhere
        self.stopped = False
        self.now = Stage.IMPORT
        self.spans = [Span(self.now, begin, 0)]
        _announce(self.now)

    def enter(self, stage: Stage) -> None:
        """Another stage begins; the same one again goes on.

        Raises:
            Enough: the last stage asked for is over.
        """
        if stage is self.now and self.spans[-1].end_s is None:
            return
        self.close()
        if self._place[stage] > self._place[self._stop_after]:
            self.stopped = True
            raise Enough
        self.now = stage
        self.spans.append(Span(stage, time.perf_counter(), self.position()))
        _announce(stage)

    def close(self) -> None:
        """The stage that runs is over."""
        span = self.spans[-1]
        if span.end_s is None:
            span.end_s, span.end_event = time.perf_counter(), self.position()


def _announce(stage: Stage) -> None:
    with suppress(OSError):
        os.write(_STDERR_FD, f"{ANNOUNCED}{stage.value}\n".encode())
