"""What a card refused in a trial, with where that was: a script that catches the error must not hide it."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsIndex

from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial_answer import FailedRequest
from ilora_diag.schema.trial_request import Stage
from probes.run_station import Station
from probes.trial_measure import failed_request
from probes.virtual.machine import Refused

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_OUT_OF_MEMORY = "torch.OutOfMemoryError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One request that the card could not meet.

    Attributes:
        refused: as the card notes it.
        stage: of the trial, then.
        steps_done: before it.
        error: as it would have read, had nobody caught it.
        request: the numbers; None where the message has none.
    """

    refused: Refused
    stage: Stage
    steps_done: int
    error: ScriptError
    request: FailedRequest | None


class Refusals(list[Refused]):
    """In place of a station's list of refusals; keeps more of each.

    Args:
        station: whose list it takes over.
        where: asks for the stage, and the steps done.
    """

    def __init__(self, station: Station, where: Callable[[], tuple[Stage, int]]) -> None:
        super().__init__()
        self.kept: list[Refusal] = []
        self._station = station
        self._where = where
        books: Any = station.watch.machine
        books.refused = self
        station.refused = self

    def append(self, refused: Refused, /) -> None:
        """Note it; called while the error is being handled."""
        super().append(refused)
        stage, steps_done = self._where()
        met = sys.exc_info()[1]
        self.kept.append(
            Refusal(
                refused=refused,
                stage=stage,
                steps_done=steps_done,
                error=ScriptError(type=_OUT_OF_MEMORY, message=refused.message, traceback=_traceback(refused.message)),
                request=None if met is None else failed_request(met, self._station),
            )
        )

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> Any:
        return list, (list(self),)


def _traceback(message: str) -> str:
    """The frames that run now, from the script's own on, as a traceback would show them."""
    stack = traceback.extract_stack()
    own = [frame for frame in stack if not _is_ours(frame.filename)]
    begin = 1 + max((place for place, frame in enumerate(stack) if frame.filename == runpy.__file__), default=-1)
    kept = [frame for frame in own if frame in stack[begin:]]
    lines = traceback.StackSummary.from_list(kept).format()
    return "".join(["Traceback (most recent call last):\n", *lines, f"{_OUT_OF_MEMORY}: {message}"])


def _is_ours(file: str) -> bool:
    return os.path.abspath(file).startswith(_OURS) or file.startswith("<frozen runpy")
