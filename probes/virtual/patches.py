"""Attributes replaced for a while and put back, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


class Patches:
    """A context manager that remembers what it replaced."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Patches:
        return self

    def __exit__(self, *error: object) -> None:
        for owner, name, before in reversed(self._saved):
            _put(owner, name, before)
        self._saved.clear()

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute until the block ends; one that was only inherited is removed again."""
        self._saved.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, value)

    def replace_all(self, owner: Any, values: Mapping[str, Any], *, only_present: bool = False) -> None:
        """Several at once; `only_present` leaves out names the owner does not have."""
        for name, value in values.items():
            if not only_present or name in vars(owner):
                self.replace(owner, name, value)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Everything as it was, for a while: what is imported meanwhile must not keep our replacements."""
        ours = [(owner, name, vars(owner).get(name, _ABSENT)) for owner, name, _ in self._saved]
        for owner, name, before in reversed(self._saved):
            _put(owner, name, before)
        try:
            yield
        finally:
            for owner, name, value in ours:
                _put(owner, name, value)


def _put(owner: Any, name: str, value: Any) -> None:
    if value is not _ABSENT:
        setattr(owner, name, value)
    elif name in vars(owner):
        delattr(owner, name)
