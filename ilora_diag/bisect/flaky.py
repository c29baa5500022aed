"""Failures that come and go.

A matching failure is proof, a pass is not: with a rate p of failures, r passes of settings that can fail have a
probability of (1 - p)^r. So what is minimised is the set of factors at their failing levels, where every step that
is accepted is an observed failure; chance can only leave a suspect too many, never lose the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log, log2

from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.ledger import Ledger, without
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.order import ranked
from ilora_diag.bisect.preflight import BASE
from ilora_diag.bisect.quickxplain import quickxplain
from ilora_diag.schema.bisect import Outcome, Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often the unchanged configuration fails: (failed + 1) / (runs + 2), so a few in a row do not make 1."""

    num_runs: int
    num_failed: int

    @property
    def value(self) -> float:
        """Estimate, never 0 and never 1."""
        return (self.num_failed + 1) / (self.num_runs + 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """What can be said of a failure that comes and goes.

    Attributes:
        outcome: FLAKY, OUTSIDE_FACTORS or SUSPECTS.
        names: the cause is among them.
        repair: their mildest levels, if it passed with them as often as was asked for.
        pass_repeats: passes that counted as "gone".
    """

    outcome: Outcome
    names: tuple[str, ...] = ()
    repair: dict[str, int] = field(default_factory=dict)
    pass_repeats: int = 0


def repeats_for(alpha: float, rate: float) -> int:
    """Passes in a row that a failure of this rate survives with a probability of at most `alpha`."""
    return max(1, ceil(log(alpha) / log(1.0 - rate)))


def runs_needed(num_runs: int, num_failed: int, num_factors: int, alpha: float) -> int:
    """About how many trials a search would take with this rate of failures, those that estimate it included.

    QuickXplain asks about 2 log2(n) + 2 questions for one cause, and every one that ends in a pass takes all repeats.
    """
    repeats = repeats_for(alpha, Rate(num_runs=num_runs, num_failed=num_failed).value)
    return num_runs + (2 * ceil(log2(max(2, num_factors))) + 2) * repeats


def chance_of_looking_steady(num_failed: int, num_passed: int) -> float:
    """The highest probability, over every rate p, that one configuration failed and a useless fix passed this often.

    p^a (1 - p)^b has its maximum at p = a / (a + b).
    """
    a, b = num_failed, num_passed
    if a == 0 or b == 0:
        return 1.0
    return float((a / (a + b)) ** a * (b / (a + b)) ** b)


def find_suspects(ledger: Ledger, options: SearchOptions) -> Suspects:
    """Estimate the rate, then minimise what stands at its failing level, again until nothing fails any more."""
    ledger.is_steady = False
    while len(ledger.runs(BASE)) < options.flaky_repeats:
        ledger.run(BASE, Purpose.PREFLIGHT_FAIL)
    rate = Rate(num_runs=len(ledger.runs(BASE)), num_failed=ledger.count(BASE, Verdict.SAME))
    repeats = repeats_for(options.alpha, rate.value)
    if rate.num_failed < options.lowest_rate * rate.num_runs or repeats > options.max_pass_repeats:
        return Suspects(outcome=Outcome.FLAKY, pass_repeats=repeats)
    mildest = {factor.name: factor.mildest for factor in ranked(tuple(ledger.factors.values()))}
    if ask_often(ledger, mildest, Purpose.PREFLIGHT_MILD, repeats) is not Verdict.PASS:
        return Suspects(outcome=Outcome.OUTSIDE_FACTORS, pass_repeats=repeats)
    relaxed: dict[str, int] = {}
    alpha, outcome = options.alpha, Outcome.SUSPECTS
    while len(relaxed) < len(mildest):
        rest = {name: level for name, level in mildest.items() if name not in relaxed}
        for name in _failing_set(ledger, relaxed, rest, repeats):
            relaxed[name] = mildest[name]
        alpha /= 2  # halved for every further question of the kind, so that all of them together keep to it
        repeats_now = min(repeats_for(alpha, rate.value), options.max_pass_repeats)
        verdict = ask_often(ledger, relaxed, Purpose.REPAIR, repeats_now)
        if verdict is not Verdict.SAME:
            repair = relaxed if verdict is Verdict.PASS else {}
            return Suspects(outcome=outcome, names=tuple(relaxed), repair=repair, pass_repeats=repeats_now)
    return Suspects(outcome=outcome, names=tuple(relaxed), pass_repeats=repeats)


def ask_often(ledger: Ledger, relaxed: dict[str, int], purpose: Purpose, repeats: int) -> Verdict:
    """SAME as soon as it was seen once; PASS after so many passes; OTHER where it passed less often in as many runs."""
    if not ledger.runs(relaxed):
        ledger.run(relaxed, purpose)
    while ledger.verdict(relaxed) is not Verdict.SAME and len(ledger.runs(relaxed)) < repeats:
        ledger.run(relaxed, purpose)
    if ledger.verdict(relaxed) is Verdict.SAME:
        return Verdict.SAME
    return Verdict.PASS if ledger.count(relaxed, Verdict.PASS) >= repeats else Verdict.OTHER


def _failing_set(ledger: Ledger, relaxed: dict[str, int], rest: dict[str, int], repeats: int) -> tuple[str, ...]:
    """Factors of `rest` that fail by themselves, at their failing levels, with everything else relaxed."""

    def fails(kept: Sequence[str]) -> bool:
        others = rest
        for name in kept:
            others = without(others, name)
        return ask_often(ledger, {**relaxed, **others}, Purpose.REPAIR, repeats) is Verdict.SAME

    return quickxplain(tuple(rest), fails, lambda name: ledger.factors[name].prior)
