"""Plan: what a bisection would do, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.bisect import Factor, Purpose
from ilora_diag.schema.report import Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """One line of a schedule.

    Attributes:
        purpose: why it is run.
        factor: that it is about; empty for the unchanged configuration, the mildest one and the fix.
        level: index of the level, the mildest one; 0 where no factor is named.
        num: how often, at the least.
    """

    purpose: Purpose
    factor: str = ""
    level: int = 0
    num: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A schedule.

    Attributes:
        factors: that would be searched.
        not_applicable: those that have nothing to act on, or of which only a first trial can tell, with the reason.
        trials: in order. In mode `fast` factors are asked of in groups, so that most of the lines REPAIR are never run
            alone; the order is that of preference.
        least, expected, most: trials in all where one factor is the cause; expected weighs factors by their prior and
            their levels alike. Several factors that are needed together take more.
    """

    SCHEMA: ClassVar[str] = "bisect-plan"

    factors: tuple[Factor, ...]
    not_applicable: tuple[Skipped, ...] = ()
    trials: tuple[PlannedTrial, ...]
    least: int
    expected: float
    most: int
