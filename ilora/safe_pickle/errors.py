"""What can be wrong with a pickle: it asks for too much, or it is damaged."""

from __future__ import annotations

GlobalName = tuple[str, str]
"""`(module, name)` as the pickle spells it; old and new spellings (`__builtin__`, `builtins`) are different names."""


class PickleRefusedError(ValueError):
    """The pickle asks for something that is not allowed; that part of it did not run.

    Attributes:
        source: the file, as the caller names it.
        name: the refused global; None where an opcode or a size is refused.
    """

    def __init__(self, source: str, what: str, accepted: str, name: GlobalName | None = None) -> None:
        self.source, self.name = source, name
        super().__init__(f"{source}: the pickle {what}, which is refused. Accepted: {accepted}")


class BrokenPickleError(ValueError):
    """The pickle is truncated, damaged, or does not fit the objects it claims to hold."""
