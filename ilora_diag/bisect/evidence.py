"""Trials as evidence: what was relaxed, what came of it. From a search under way, or from a finished record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from ilora_diag.bisect.ledger import Ledger, without
from ilora_diag.bisect.oracle import Verdict, verdict_of
from ilora_diag.schema.bisect import Bisect, Factor, FactorKind, Purpose, Step
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial import FailureSignature, Trial

PEAK = "peak_reserved_bytes"

BESIDE = (Purpose.FIRST_TOUCH, Purpose.GROWTH)
"""Trials beside the search, which change what is asked for: no evidence on factors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One executed trial.

    Attributes:
        trial, purpose, is_fresh: as in its Step.
        relaxed: factor -> level of everything away from its failing level.
        verdict: what it says.
        peak_reserved_bytes, signature, text: as in an Observation.
    """

    trial: str
    purpose: Purpose
    is_fresh: bool
    relaxed: Mapping[str, int]
    verdict: Verdict
    peak_reserved_bytes: Known[int]
    signature: FailureSignature | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two trials that differ in one factor: its failing level, and the one that passes."""

    fail: str
    pass_: str
    failing_level: int


def evidence_of_ledger(ledger: Ledger) -> tuple[Seen, ...]:
    """What a search has seen so far."""
    found = []
    for step in ledger.steps:
        answer = ledger.observation(step)
        peak, text = answer.peak_reserved_bytes, answer.text
        found.append(_seen(step, answer.verdict, peak, answer.signature, text))
    return tuple(found)


def evidence_of_record(result: Bisect) -> tuple[Seen, ...]:
    """What a finished record shows on factors; steps without a trial are left out."""
    trials = {trial.id: trial for trial in result.trials}
    known = [(step, trials[step.trial]) for step in result.steps if step.trial in trials and step.purpose not in BESIDE]
    return tuple(_seen(step, verdict_of(one.status), _peak(one), one.signature, one.reason) for step, one in known)


def _seen(step: Step, verdict: Verdict, peak: Known[int], signature: FailureSignature | None, text: str) -> Seen:
    return Seen(
        trial=step.trial,
        purpose=step.purpose,
        is_fresh=step.is_fresh,
        relaxed=dict(step.relaxed),
        verdict=verdict,
        peak_reserved_bytes=peak,
        signature=signature,
        text=text,
    )


def _peak(trial: Trial) -> Known[int]:
    value = next((metric.value for metric in trial.metrics if metric.name == PEAK), None)
    return value if isinstance(value, int) else Unavailable(reason="the trial measured no peak", source=trial.id)


def runs_of(seen: Sequence[Seen], relaxed: Mapping[str, int]) -> tuple[Seen, ...]:
    """Every run of exactly these settings."""
    return tuple(one for one in seen if one.relaxed == relaxed)


def first(seen: Sequence[Seen], relaxed: Mapping[str, int], verdict: Verdict) -> Seen | None:
    """The first run of exactly these settings with this verdict."""
    return next((one for one in runs_of(seen, relaxed) if one.verdict is verdict), None)


def tried_alone(seen: Sequence[Seen], name: str) -> tuple[Seen, ...]:
    """Every run with this factor relaxed and nothing else."""
    return tuple(one for one in seen if set(one.relaxed) == {name})


def levels_to_rule_out(factor: Factor) -> frozenset[int]:
    """Levels that have to change nothing, each alone, before a factor is ruled out."""
    if factor.kind is FactorKind.UNORDERED or not factor.expects_monotone:
        return frozenset(range(1, len(factor.levels)))
    return frozenset({factor.mildest})


def needed(seen: Sequence[Seen], factors: Mapping[str, Factor], repair: Mapping[str, int], name: str) -> Seen | None:
    """The trial that shows that a repair fails without one of its factors, the others at or beyond their levels."""
    rest = without(repair, name)
    if any(one.verdict is Verdict.PASS and _at_or_beyond(one.relaxed, rest, factors) for one in seen):
        return None
    same = (one for one in seen if one.verdict is Verdict.SAME)
    return next((one for one in same if _at_or_beyond(one.relaxed, rest, factors)), None)


def adjacent_pair(
    seen: Sequence[Seen], factors: Mapping[str, Factor], repair: Mapping[str, int], name: str, *, exact: bool
) -> Pair | None:
    """Executed trials that show the boundary of one factor of a repair.

    They differ in that factor alone, by adjacent levels; levels in between may only be ones that failed in another way.

    Args:
        seen: the trials.
        factors: by name.
        repair: factor -> level that passes.
        name: of the factor in question.
        exact: the other factors stand exactly at the repair's levels; otherwise they may be relaxed further.
    """
    rest = without(repair, name)
    for passing in seen:
        others = without(passing.relaxed, name)
        fits = others == rest if exact else _at_or_beyond(others, rest, factors)
        if passing.verdict is Verdict.PASS and passing.relaxed.get(name) == repair[name] and fits:
            found = _failing_side(seen, factors[name], repair[name], others)
            if found is not None:
                level, trial = found
                return Pair(fail=trial, pass_=passing.trial, failing_level=level)
    return None


def _failing_side(
    seen: Sequence[Seen], factor: Factor, level: int, others: Mapping[str, int]
) -> tuple[int, str] | None:
    below = (0,) if factor.kind is FactorKind.UNORDERED else range(level - 1, -1, -1)
    for at in below:
        runs = runs_of(seen, {**others, factor.name: at} if at else others)
        same = next((one for one in runs if one.verdict is Verdict.SAME), None)
        if same is not None:
            return at, same.trial
        if not runs or any(one.verdict is Verdict.PASS for one in runs):
            return None
    return None


def _at_or_beyond(relaxed: Mapping[str, int], levels: Mapping[str, int], factors: Mapping[str, Factor]) -> bool:
    if set(relaxed) != set(levels):
        return False
    for name, level in levels.items():
        has_order = factors[name].kind is not FactorKind.UNORDERED
        if relaxed[name] != level and not (has_order and relaxed[name] > level):
            return False
    return True


def num_untested(seen: Sequence[Seen], factors: Sequence[Factor]) -> int:
    """Combinations of levels that were not run."""
    return prod(len(factor.levels) for factor in factors) - len({frozenset(one.relaxed.items()) for one in seen})


def smallest_pass(seen: Sequence[Seen]) -> dict[str, int]:
    """The settings with the fewest factors relaxed that passed and never failed; empty if there are none."""
    failed = [one.relaxed for one in seen if one.verdict is Verdict.SAME]
    passed = [one.relaxed for one in seen if one.verdict is Verdict.PASS and one.relaxed and one.relaxed not in failed]
    least: Mapping[str, int] = min(passed, key=len, default={})
    return dict(least)


def is_steady(seen: Sequence[Seen]) -> bool:
    """Whether no settings passed and failed."""
    passed = [one.relaxed for one in seen if one.verdict is Verdict.PASS]
    return not any(one.verdict is Verdict.SAME and one.relaxed in passed for one in seen)


def fails_with(seen: Sequence[Seen], name: str) -> Iterator[Seen]:
    """Trials that failed the same although this factor was relaxed, alone or with others."""
    return (one for one in seen if one.verdict is Verdict.SAME and name in one.relaxed)


def order_holds(seen: Sequence[Seen], factor: Factor, repair: Mapping[str, int]) -> tuple[bool, int] | None:
    """Whether, with everything else as in a repair, all levels from the repair's on passed and all below failed.

    Comes with the number of levels that told; None for a factor without an order, or with two levels.
    """
    if factor.kind is FactorKind.UNORDERED or len(factor.levels) == 2:
        return None
    rest = without(repair, factor.name)
    told: dict[int, Verdict] = {}
    for level in range(len(factor.levels)):
        verdicts = {one.verdict for one in runs_of(seen, {**rest, factor.name: level} if level else rest)}
        verdict = next((one for one in (Verdict.SAME, Verdict.PASS) if one in verdicts), None)
        if verdict is not None:
            told[level] = verdict
    holds = all((verdict is Verdict.PASS) == (level >= repair[factor.name]) for level, verdict in told.items())
    return holds, len(told)
