"""Compare: what two runs or documents have in common and in what they differ."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Value
from ilora_diag.schema.report import Skipped


class Group(StrEnum):
    """What is compared, in the order it is told."""

    OUTCOME = "outcome"
    REQUESTED = "requested"  # settings as typed
    EFFECTIVE = "effective"  # settings in force
    VERSIONS = "versions"
    MEMORY = "memory"  # peaks and the chain from requested to card memory
    CATEGORY = "category"
    MODULE = "module"
    OPERATOR = "operator"
    METRIC = "metric"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two.

    Attributes:
        path: as typed.
        kind: `train`, `estimate`, `run`, `bisect`, `snapshot`.
        name: of what was run, in words.
    """

    path: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same in both.

    Attributes:
        group, name: what.
        a, b: unknown with the reason where one side does not tell.
        unit: `bytes`, `s`, `1` or another of a metric; empty for what is no number.
        delta: b minus a; unknown where not both are numbers.
        matters: decides the exit code: beyond the tolerance, and not a matter of time or of the host's memory.
    """

    group: Group
    name: str
    a: Known[Value]
    b: Known[Value]
    unit: str
    delta: Known[float]
    matters: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """Both sides and their differences.

    Attributes:
        a, b: the sides.
        tolerance: part of the larger value by which numbers may differ without mattering.
        num_same: by group, how many values are the same in both.
        differences: by group, those that matter first, the largest first.
        not_compared: groups that only one side tells, with the reason.
        is_equal: no difference matters.
    """

    SCHEMA: ClassVar[str] = "compare"

    a: Side
    b: Side
    tolerance: float
    num_same: tuple[tuple[Group, int], ...]
    differences: tuple[Difference, ...]
    not_compared: tuple[Skipped, ...]
    is_equal: bool

    def __post_init__(self) -> None:
        require(0 <= self.tolerance < 1, f"0 <= tolerance < 1, got {self.tolerance}")
        matters = any(one.matters for one in self.differences)
        require(self.is_equal != matters, "equal is what has no difference that matters")
