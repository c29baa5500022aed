"""Simulated failures with a known cause, for the search: families of truths, an oracle over them, and rivals.

A truth says whether an assignment of levels passes. The families are those of the project's notes on bisection: one
factor with a threshold level; either of two factors mends it; both of two are needed; memory that adds up, with
Pareto-distributed weights that halve with every level and a capacity between the mildest and the failing demand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ilora_diag.bisect.oracle import Assignment, BudgetSpent, Observation, Verdict
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope, Level, Purpose
from ilora_diag.schema.known import Known, Unavailable

NUM_LEVELS = (6, 5, 2, 2, 3, 5, 2, 3, 2, 2, 2, 3, 2, 2)
FAMILIES = ("one", "either", "both", "additive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is really the matter.

    Attributes:
        passes: of an assignment.
        causes: factors of which a right answer names at least one.
        peak_bytes: of an assignment; None where the family has no memory.
    """

    passes: Callable[[Assignment], bool]
    causes: frozenset[str]
    peak_bytes: Callable[[Assignment], int] | None = None


def make_factors(num_levels: Sequence[int] = NUM_LEVELS) -> tuple[Factor, ...]:
    """Factors of equal prior, each mended at no cost: the order of trials is the registry's, and all proof is run."""
    return tuple(
        Factor(
            name=f"f{index}",
            kind=FactorKind.BINARY if num == 2 else FactorKind.ORDERED,
            scope=FactorScope.SETTING,
            levels=tuple(
                Level(
                    name=str(level),
                    changes=(("train.f" + str(index), level),) if level else (),
                    change=f"train.f{index}={level}" if level else "",
                    cost="none",
                )
                for level in range(num)
            ),
            expects_monotone=True,
            category="batch_too_large",
        )
        for index, num in enumerate(num_levels)
    )


def make_truth(family: str, factors: Sequence[Factor], rng: random.Random) -> Truth:
    """One random truth of a family."""
    if family == "additive":
        return _additive(factors, rng)
    chosen = rng.sample(list(factors), 1 if family == "one" else 2)
    needs = {factor.name: rng.randrange(1, len(factor.levels)) for factor in chosen}
    quantifier = any if family == "either" else all

    def passes(relaxed: Assignment) -> bool:
        return quantifier(relaxed.get(name, 0) >= level for name, level in needs.items())

    return Truth(passes=passes, causes=frozenset(needs))


def _additive(factors: Sequence[Factor], rng: random.Random) -> Truth:
    weights = {factor.name: rng.paretovariate(1.16) for factor in factors}

    def demand(relaxed: Assignment) -> float:
        return sum(weight * 0.5 ** relaxed.get(name, 0) for name, weight in weights.items())

    least = demand({factor.name: factor.mildest for factor in factors})
    capacity = rng.uniform(least, demand({}))
    return Truth(
        passes=lambda relaxed: demand(relaxed) <= capacity,
        causes=frozenset(weights),
        peak_bytes=lambda relaxed: int(min(demand(relaxed), capacity) * 2**30),
    )


@dataclass(slots=True, kw_only=True)
class SimulatedOracle:
    """Answers from a truth.

    Attributes:
        truth: what is the matter.
        rate: how often a failure shows; below 1 it comes and goes.
        rng: for that.
        others: assignments that fail in another way.
        budget: trials before BudgetSpent; None for no end.
        asked: purpose of every trial, in order.
        told: what was relaxed and what came of it, in order.
        stop: raised when the budget is spent.
    """

    truth: Truth
    rate: float = 1.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    others: Callable[[Mapping[str, int]], bool] | None = None
    budget: int | None = None
    stop: type[Exception] = BudgetSpent
    asked: list[Purpose] = field(default_factory=list)
    told: list[tuple[dict[str, int], Observation]] = field(default_factory=list)

    def observe(self, relaxed: Assignment, *, purpose: Purpose, fresh: bool) -> Observation:
        """One more trial."""
        del fresh
        if self.budget is not None and len(self.asked) >= self.budget:
            raise self.stop
        self.asked.append(purpose)
        verdict = Verdict.PASS
        if not self.truth.passes(relaxed) and self.rng.random() < self.rate:
            verdict = Verdict.SAME
        if self.others is not None and self.others(relaxed):
            verdict = Verdict.OTHER
        peak: Known[int] = Unavailable(reason="the truth has no memory")
        if self.truth.peak_bytes is not None:
            peak = self.truth.peak_bytes(relaxed)
        answer = Observation(
            trial=f"T-{len(self.asked):02d}",
            verdict=verdict,
            peak_reserved_bytes=peak,
            signature=None,
            text="another error" if verdict is Verdict.OTHER else "",
        )
        self.told.append((dict(relaxed), answer))
        return answer
