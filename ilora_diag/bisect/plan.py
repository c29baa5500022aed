"""What a search would do, before anything runs: the order of factors, and how many trials that takes.

The numbers are those of the search itself, run against every cause of one factor that there can be: no formula that
could drift from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.oracle import Assignment, Observation, Verdict
from ilora_diag.bisect.order import ranked
from ilora_diag.bisect.search import search
from ilora_diag.schema.bisect import Factor, Purpose
from ilora_diag.schema.known import Unavailable


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
        trials: in order. In mode `fast` factors are asked of in groups, so that most of the lines REPAIR are never run
            alone; the order is that of preference.
        least, expected, most: trials in all, for one cause of one factor; expected weighs causes by their prior, levels
            alike.
        bound: trials that no search exceeds whose failure is steady and the same whatever is relaxed.
    """

    trials: tuple[PlannedTrial, ...]
    least: int
    expected: float
    most: int
    bound: int


def plan(factors: Sequence[Factor], options: SearchOptions) -> Plan:
    """The schedule of a search over these factors."""
    sizes = [(factor.prior / factor.mildest, _num_trials(factors, options, *one)) for factor, one in _causes(factors)]
    weight = sum(prior for prior, _ in sizes)
    unchanged = options.repeats + 1
    return Plan(
        trials=_schedule(factors, options),
        least=min((num for _, num in sizes), default=unchanged),
        expected=sum(prior * num for prior, num in sizes) / weight if weight else float(unchanged),
        most=max((num for _, num in sizes), default=unchanged),
        bound=_bound(factors, options),
    )


def _schedule(factors: Sequence[Factor], options: SearchOptions) -> tuple[PlannedTrial, ...]:
    alone = Purpose.EFFECT if options.mode == "full" else Purpose.REPAIR
    middle = options.controls // 2
    rows = [
        PlannedTrial(purpose=Purpose.PREFLIGHT_FAIL, num=options.repeats),
        PlannedTrial(purpose=Purpose.PREFLIGHT_MILD),
        *(PlannedTrial(purpose=alone, factor=factor.name, level=factor.mildest) for factor in ranked(factors)),
        PlannedTrial(purpose=Purpose.CONTROL, num=middle),
        PlannedTrial(purpose=Purpose.SUFFICIENT),
        PlannedTrial(purpose=Purpose.FINAL, num=options.final_repeats),
        PlannedTrial(purpose=Purpose.CONTROL, num=options.controls - middle),
    ]
    return tuple(row for row in rows if row.num > 0)


def _causes(factors: Sequence[Factor]) -> list[tuple[Factor, tuple[str, int]]]:
    return [(factor, (factor.name, level)) for factor in factors for level in range(1, len(factor.levels))]


def _num_trials(factors: Sequence[Factor], options: SearchOptions, name: str, level: int) -> int:
    return len(search(factors, _OneCause(name=name, level=level), options).steps)


def _bound(factors: Sequence[Factor], options: SearchOptions) -> int:
    """Repeats and controls; the mildest configuration; QuickXplain, the certificate and the levels at their worst.

    QuickXplain asks at most twice as many questions as it has candidates, and two more of what it found first; the
    certificate leaves out each factor once, and again each time one could be dropped.
    """
    n = len(factors)
    repeats = options.repeats + options.controls + options.final_repeats + 2
    alone = sum(factor.mildest for factor in factors) if options.mode == "full" else 0
    levels = sum(len(factor.levels) + 1 for factor in factors)
    return repeats + alone + 2 * n + 2 + n * (n + 1) // 2 + 2 * levels


class _OneCause:
    """Passes from one level of one factor on."""

    def __init__(self, name: str, level: int) -> None:
        self._name, self._level, self._ids = name, level, count(1)

    def observe(self, relaxed: Assignment, *, purpose: Purpose, fresh: bool) -> Observation:
        """One more trial, on paper."""
        del purpose, fresh
        passes = relaxed.get(self._name, 0) >= self._level
        return Observation(
            trial=f"P-{next(self._ids)}",
            verdict=Verdict.PASS if passes else Verdict.SAME,
            peak_reserved_bytes=Unavailable(reason="nothing was run"),
            signature=None,
        )
