"""What is wrong with a record, or with a file that should hold one."""

from __future__ import annotations

from typing import Self

_SHOWN = 80  # characters of a refused value that a message repeats


class LawError(ValueError):
    """Values that contradict each other, such as more bytes allocated than reserved. Raised where records are built."""


class SchemaError(ValueError):
    """A document that does not hold the record it should.

    Attributes:
        path: the field, as `trials[3].status`; empty for the document itself.
        value: what was found there.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, path: str, value: object, allowed: str) -> None:
        self.path, self.value, self.allowed = path, value, allowed
        super().__init__(f"{path or 'document'} is {_shorten(value)}: allowed is {allowed}")

    def under(self, step: str) -> Self:
        """The same error seen from one level up; `step` is a field name or `[index]`."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return type(self)(f"{step}{joint}{self.path}", self.value, self.allowed)


class Missing:
    """Stands for a key that is not there, in messages only."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def require(holds: bool, law: str) -> None:
    """Raise LawError naming the law unless it holds.

    Not `assert`: records are also built from files, whose content is not ours, and under `python -O`.
    """
    if not holds:
        raise LawError(law)


def _shorten(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int too long to print, a list too deep to walk
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
