"""What an intervention met: how often it had something to act on, with which value in force, and where."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Protocol

from ilora_diag.schema.known import Value
from ilora_diag.schema.trial_answer import Opportunity

_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_STDLIB = os.path.dirname(os.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class LetGo(Protocol):
    """What became of names that were to be let go (`probes.retention_release.Releases`)."""

    def check(self) -> None:
        """Raises if a name named nothing, or had nothing to let go."""

    def sentences(self) -> tuple[str, ...]:
        """What was done."""


class Tally:
    """Counts by name. Of several values the largest number stands, of others the first.

    Attributes:
        let_go: of the interventions that let something go; what they did is known at the end.
    """

    def __init__(self) -> None:
        self._met: dict[str, Opportunity] = {}
        self.let_go: list[LetGo] = []

    def add(self, name: str, value: Value, detail: str) -> None:
        """One more."""
        before = self._met.get(name)
        if before is None:
            self._met[name] = Opportunity(name=name, count=1, value=value, detail=detail)
            return
        larger = isinstance(value, (int, float)) and isinstance(before.value, (int, float)) and value > before.value
        self._met[name] = Opportunity(
            name=name,
            count=before.count + 1,
            value=value if larger else before.value,
            detail=detail if larger else before.detail,
        )

    def opportunities(self) -> tuple[Opportunity, ...]:
        """Those met so far, in the order in which they were first met."""
        return tuple(self._met.values())


def script_line() -> str:
    """File and line of the innermost frame that belongs to no package: `train.py:41`; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = os.path.abspath(frame.f_code.co_filename)
        if not (file.startswith((_OURS, _STDLIB, "<")) or any(part in file for part in _PACKAGES)):
            return f"{os.path.basename(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
