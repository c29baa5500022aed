"""Facts: what is true of a machine, before judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Unavailable, Value, require_unique


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One leaf.

    Attributes:
        path: dotted name, such as `driver.kmod` or `gpu[0].memory_total_bytes`.
        value: what was read, or why it could not be.
        source: how it was read: a file, a library call, an importer.
    """

    path: str
    value: Known[Value]
    source: str

    def __post_init__(self) -> None:
        require(bool(self.path), "a fact has a path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All leaves of one machine at one time.

    Attributes:
        captured_at: seconds since the epoch.
        facts: the leaves, each path once.
    """

    SCHEMA: ClassVar[str] = "facts"

    captured_at: Known[float]
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        require_unique("fact", tuple(fact.path for fact in self.facts))

    def get(self, path: str) -> Known[Value]:
        """The value of a leaf; of one that was never collected, Unavailable saying so."""
        for fact in self.facts:
            if fact.path == path:
                return fact.value
        return Unavailable(reason="not collected", source=path)
