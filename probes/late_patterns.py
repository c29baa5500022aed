"""Regular expressions compiled when they are used: transformers has 862 to rename weights by, random ones need none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class LatePattern:
    """Stands for a compiled pattern until something of it is asked for."""

    __slots__ = ("_flags", "_source")

    def __init__(self, source: str, flags: int = 0) -> None:
        self._source, self._flags = source, flags

    def __getattr__(self, name: str) -> Any:
        # `re` remembers what it compiled.
        return getattr(re.compile(self._source, self._flags), name)

    def __deepcopy__(self, memo: dict[int, Any]) -> LatePattern:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return LatePattern, (self._source, self._flags)


class _LateRe:
    """The module `re`, but for `compile`."""

    compile = LatePattern

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)


@contextmanager
def patterns_compiled_late(module: ModuleType) -> Iterator[None]:
    """Let a module that says `re.compile` get late patterns inside the block."""
    members: dict[str, Any] = vars(module)
    plain, members["re"] = members["re"], _LateRe()
    try:
        yield
    finally:
        members["re"] = plain
