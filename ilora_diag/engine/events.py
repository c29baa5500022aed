"""The lines of a run log as events whose fields may be anything: each reading is a value or the reason for none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeGuard, TypeVar

from ilora_diag.schema.codec import parse
from ilora_diag.schema.errors import LawError, SchemaError
from ilora_diag.schema.known import Known, Unavailable

RUNLOG_NAME = "runlog.jsonl"
UNREADABLE = "unreadable"
"""Name of the event that stands for a line which is no event; its `reason` says why."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line.

    Attributes:
        name: what happened.
        line: its number in the log, from 1.
        fields: everything else, as JSON has it.
    """

    name: str
    line: int
    fields: Mapping[str, object]

    @property
    def source(self) -> str:
        """Where it stands."""
        return f"{RUNLOG_NAME}:{self.line}"

    def count(self, key: str) -> Known[int]:
        """A whole number, not negative."""
        value = self.fields.get(key)
        return value if type(value) is int and value >= 0 else self._unavailable(key, "a count")

    def number(self, key: str) -> Known[float]:
        """A number. The trainer writes null for one that is not finite."""
        value = self.fields.get(key)
        return float(value) if _is_finite(value) else self._unavailable(key, "a number")

    def text(self, key: str) -> Known[str]:
        """A string."""
        value = self.fields.get(key)
        return value if isinstance(value, str) else self._unavailable(key, "a text")

    def text_or_none(self, key: str) -> Known[str | None]:
        """A string, or the knowledge that there is none."""
        return None if key in self.fields and self.fields[key] is None else self.text(key)

    def counts(self, key: str) -> Known[tuple[tuple[str, int], ...]]:
        """Counts by name."""
        part = self.part(key)
        if isinstance(part, Unavailable):
            return part
        found = [(name, part.count(name)) for name in part.fields]
        known = tuple((name, count) for name, count in found if not isinstance(count, Unavailable))
        return known if len(known) == len(found) else self._unavailable(key, "counts by name")

    def part(self, key: str) -> Known[Event]:
        """An object inside the event, read like an event of its own."""
        value = self.fields.get(key)
        if not isinstance(value, dict):
            return self._unavailable(key, "an object")
        return Event(name=f"{self.name}.{key}", line=self.line, fields=value)

    def parts(self, key: str) -> tuple[Event, ...]:
        """The objects of a list inside the event; what is no object is left out."""
        value = self.fields.get(key)
        items = value if isinstance(value, list) else []
        name = f"{self.name}.{key}"
        return tuple(Event(name=name, line=self.line, fields=item) for item in items if isinstance(item, dict))

    def record(self, make: Callable[[], R]) -> Known[R]:
        """What `make` builds from this event, unless the values contradict each other."""
        try:
            return make()
        except LawError as error:
            return Unavailable(reason=f"the {self.name} event contradicts itself: {error}", source=self.source)

    def _unavailable(self, key: str, wanted: str) -> Unavailable:
        if key not in self.fields:
            reason = f"the {self.name} event has no {key}"
        elif self.fields[key] is None:
            reason = f"{key} of the {self.name} event is null"
        else:
            reason = f"{key} of the {self.name} event is not {wanted}"
        return Unavailable(reason=reason, source=self.source)


def parse_event(line: bytes, number: int) -> Event:
    """The event on a line. Never raises: the log is written by the process under observation."""
    try:
        data = parse(line)
    except SchemaError as error:
        return Event(name=UNREADABLE, line=number, fields={"reason": f"the line is not {error.allowed}"})
    name = data.get("event") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(name, str):
        return Event(name=UNREADABLE, line=number, fields={"reason": "the line names no event"})
    return Event(name=name, line=number, fields={key: value for key, value in data.items() if key != "event"})


def _is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, and one that a float can hold."""
    if type(value) not in (int, float):
        return False
    assert isinstance(value, (int, float))
    try:
        return isfinite(float(value))
    except OverflowError:
        return False
