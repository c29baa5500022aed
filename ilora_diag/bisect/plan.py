"""What a search would do, before anything runs: the order of factors, and how many trials that takes.

The numbers are those of the search itself, run against every cause of one factor that there can be: no formula that
could drift from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from ilora_diag.bisect.evidence import levels_to_rule_out
from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.oracle import Assignment, Observation, Verdict
from ilora_diag.bisect.order import ranked
from ilora_diag.bisect.search import search
from ilora_diag.schema.bisect import Factor, Purpose
from ilora_diag.schema.bisect_plan import Plan, PlannedTrial
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.report import Skipped


def plan(factors: Sequence[Factor], options: SearchOptions, not_applicable: tuple[Skipped, ...] = ()) -> Plan:
    """The schedule of a search over these factors."""
    sizes = [(factor.prior / factor.mildest, _num_trials(factors, options, *one)) for factor, one in _causes(factors)]
    weight = sum(prior for prior, _ in sizes)
    unchanged = options.repeats + 1
    return Plan(
        factors=tuple(factors),
        not_applicable=not_applicable,
        trials=_schedule(factors, options),
        least=min((num for _, num in sizes), default=unchanged),
        expected=sum(prior * num for prior, num in sizes) / weight if weight else float(unchanged),
        most=max((num for _, num in sizes), default=unchanged),
    )


def _schedule(factors: Sequence[Factor], options: SearchOptions) -> tuple[PlannedTrial, ...]:
    middle = options.controls // 2
    rows = [
        PlannedTrial(purpose=Purpose.PREFLIGHT_FAIL, num=options.repeats),
        PlannedTrial(purpose=Purpose.PREFLIGHT_MILD),
        *(row for factor in ranked(factors) for row in _alone(factor, options)),
        PlannedTrial(purpose=Purpose.CONTROL, num=middle),
        PlannedTrial(purpose=Purpose.SUFFICIENT),
        PlannedTrial(purpose=Purpose.FINAL, num=options.final_repeats),
        PlannedTrial(purpose=Purpose.CONTROL, num=options.controls - middle),
    ]
    return tuple(row for row in rows if row.num > 0)


def _alone(factor: Factor, options: SearchOptions) -> list[PlannedTrial]:
    if options.mode == "fast":
        return [PlannedTrial(purpose=Purpose.REPAIR, factor=factor.name, level=factor.mildest)]
    levels = sorted(levels_to_rule_out(factor))
    return [PlannedTrial(purpose=Purpose.EFFECT, factor=factor.name, level=level) for level in levels]


def _causes(factors: Sequence[Factor]) -> list[tuple[Factor, tuple[str, int]]]:
    return [(factor, (factor.name, level)) for factor in factors for level in range(1, len(factor.levels))]


def _num_trials(factors: Sequence[Factor], options: SearchOptions, name: str, level: int) -> int:
    return len(search(factors, _OneCause(name=name, level=level), options).steps)


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
