"""The certificate: everything that a record claims, worked out again from its factors, steps and trials alone.

What it expects of a trial beside its status: `requested` holds the changes of the levels that its step names, and no
change of a level that the step does not name; `metrics` holds `peak_reserved_bytes` where it was measured; `effective`
holds what was in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ilora_diag.bisect.assemble import SEARCHED, STOPPED
from ilora_diag.bisect.confidence import assess, of_the_machine, sufficiency
from ilora_diag.bisect.confound import other_differences, tells_nothing
from ilora_diag.bisect.evidence import (
    Pair,
    Seen,
    adjacent_pair,
    evidence_of_record,
    first,
    is_steady,
    needed,
    num_untested,
    runs_of,
    smallest_pass,
)
from ilora_diag.bisect.guarantees import guarantees
from ilora_diag.bisect.learned import change_of, effects, fixes, ruled_out, side_effects, still_open
from ilora_diag.bisect.ledger import without
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.steps import check_steps
from ilora_diag.schema.bisect import Bisect, CauseFactor, Effect, Factor, Outcome
from ilora_diag.schema.known import Unavailable, value_or
from ilora_diag.schema.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A record with what follows from it."""

    result: Bisect
    seen: tuple[Seen, ...]
    factors: Mapping[str, Factor]
    trials: Mapping[str, Trial]
    repair: Mapping[str, int]


def verify(result: Bisect) -> tuple[str, ...]:
    """What is wrong with a record, in words; empty if everything it claims holds."""
    if result.outcome is Outcome.CANNOT_RUN:
        return ()
    problems = tuple(check_steps(result))
    if problems or not (result.factors or result.cause):
        # Claims about trials that are not there, or are not what they are said to be, mean nothing; and without factors
        # nothing was searched.
        return problems
    case = _Case(
        result=result,
        seen=evidence_of_record(result),
        factors={factor.name: factor for factor in result.factors},
        trials={trial.id: trial for trial in result.trials},
        repair={} if result.cause is None else {one.name: one.passing_level for one in result.cause.factors},
    )
    problems = (*_reproduction(case), *_cause_levels(case))
    problems += tuple(f"{name} is a suspect, but no factor" for name in result.suspects if name not in case.factors)
    if problems:
        return problems
    return (*_cause(case), *_boundary(case), *_learned(case), *_fixes(case), *_words(case), *_confounds(case))


def _reproduction(case: _Case) -> Iterator[str]:
    told, base = case.result.reproduction, runs_of(case.seen, {})
    failed = sum(one.verdict is Verdict.SAME for one in base)
    if (told.num_runs, told.num_failed) != (len(base), failed):
        said = f"{told.num_failed} of {told.num_runs}"
        yield f"the unchanged configuration failed in {failed} of {len(base)} runs, not {said}"
    if not 0 < told.alpha < 1 or told.pass_repeats < 0:
        yield f"an error probability of {told.alpha} and {told.pass_repeats} passes in a row mean nothing"
    outcome = case.result.outcome
    if outcome is Outcome.NOT_REPRODUCED and failed:
        yield f"it is said not to be reproduced, and failed in {failed} runs"
    if outcome is Outcome.CAUSE_FOUND and not failed:
        yield "a cause is named for a failure that no trial shows"
    untested = num_untested(case.seen, case.result.factors)
    if not isinstance(case.result.num_untested, Unavailable) and case.result.num_untested != untested:
        yield f"{untested} combinations were not run, not {case.result.num_untested}"


def _cause_levels(case: _Case) -> Iterator[str]:
    cause = case.result.cause
    for one in cause.factors if cause is not None else ():
        yield from _level_problems(one, case.factors.get(one.name))
    if cause is not None and not cause.factors:
        yield "the cause names no factor"


def _level_problems(one: CauseFactor, factor: Factor | None) -> Iterator[str]:
    if factor is None:
        yield f"{one.name} is a cause, but no factor of the search"
        return
    if one.failing_level != 0 or not 1 <= one.passing_level <= factor.mildest:
        yield f"{one.name} has no levels {one.failing_level} (failing) and {one.passing_level} (passing)"
        return
    for value, level in ((one.failing, one.failing_level), (one.passing, one.passing_level)):
        if value != factor.levels[level].name:
            yield f"{one.name} at level {level} is {factor.levels[level].name}, not {value}"


def _cause(case: _Case) -> Iterator[str]:
    cause = case.result.cause
    if cause is None:
        return
    result = case.result
    judged = of_the_machine(assess(case.seen, case.factors, case.repair), result.device, result.signature)
    if cause.confidence is not judged.confidence:
        yield f"the trials make the cause {judged.confidence}, not {cause.confidence}"
    if cause.reasons != judged.reasons:
        yield f"the grounds are {', '.join(judged.reasons)}, not {', '.join(cause.reasons)}"
    if first(case.seen, case.repair, Verdict.PASS) is None:
        yield f"no trial passed with {change_of(case.factors, case.repair)}"
    sufficient = sufficiency(case.seen, case.result.factors, case.repair)
    told = cause.is_sufficient
    if (isinstance(told, Unavailable), told is True) != (isinstance(sufficient, Unavailable), sufficient is True):
        yield "whether the cause is sufficient is not what the trials say"
    for name in case.repair:
        if "certificate_complete" in cause.reasons and needed(case.seen, case.factors, case.repair, name) is None:
            yield f"no trial shows that {name} is needed"
        if "boundary_executed" in cause.reasons and _pair(case, name) is None:
            yield f"no failing and passing trial differ in {name} alone, by adjacent levels"


def _pair(case: _Case, name: str) -> Pair | None:
    return adjacent_pair(case.seen, case.factors, case.repair, name, exact=False)


def _boundary(case: _Case) -> Iterator[str]:
    cause, told = case.result.cause, case.result.boundary
    if told is None:
        if cause is not None and "boundary_executed" in cause.reasons:
            yield "the cause has no boundary"
        return
    if cause is None or told.factor not in case.repair:
        yield f"the boundary is that of {told.factor}, which is no part of the cause"
        return
    by_trial = {one.trial: one for one in case.seen}
    fail, passed = by_trial.get(told.fail), by_trial.get(told.pass_)
    if fail is None or fail.verdict is not Verdict.SAME:
        yield f"{told.fail}, the failing side of the boundary, did not fail in that way"
    if passed is None or passed.verdict is not Verdict.PASS:
        yield f"{told.pass_}, the passing side of the boundary, did not pass"
    if fail is None or passed is None:
        return
    levels = (fail.relaxed.get(told.factor, 0), passed.relaxed.get(told.factor, 0))
    if levels != (told.failing_level, told.passing_level):
        yield f"{told.fail} and {told.pass_} stand at levels {levels[0]} and {levels[1]} of {told.factor}"
    if without(fail.relaxed, told.factor) != without(passed.relaxed, told.factor):
        yield f"{told.fail} and {told.pass_} differ in more than {told.factor}"
    pair = adjacent_pair(case.seen, case.factors, case.repair, told.factor, exact=True)
    if pair is None or (told.passing_level, told.failing_level) != (case.repair[told.factor], pair.failing_level):
        yield f"the boundary of {told.factor} is not between adjacent levels"


def _learned(case: _Case) -> Iterator[str]:
    result, seen, factors = case.result, case.seen, case.result.factors
    searched = result.outcome in SEARCHED
    settled = set(case.repair) | set(result.suspects)
    by_groups = result.outcome is Outcome.SUSPECTS
    excluded = ruled_out(seen, factors, settled, by_groups=by_groups) if searched else ()
    for one in result.ruled_out:
        if one not in excluded:
            yield f"{', '.join(one.trials)} do not rule out {one.factor}"
    for one in excluded:
        if one not in result.ruled_out:
            yield f"{one.factor} is ruled out by {', '.join(one.trials)}, and not listed"
    told = {(effect.factor, effect.trial, effect.text) for effect in result.side_effects}
    if told != {(effect.factor, effect.trial, effect.text) for effect in side_effects(seen)}:
        yield "the side effects are not the trials that failed in another way"
    if [_plain(one) for one in result.effects] != [_plain(one) for one in effects(seen, factors)]:
        yield "the effects of single factors are not those of the trials"
    closed = {one.factor for one in excluded} | set(case.repair)
    passing = _best(case)
    expected = still_open(seen, factors, closed, passing=passing, suspects=result.suspects) if searched else ()
    for skipped in result.unsure:
        if skipped not in expected:
            yield f"it does not follow from the trials that {skipped.what} is open: {skipped.reason}"
    for skipped in expected:
        if skipped not in result.unsure:
            yield f"{skipped.what} is neither cause nor ruled out, and not listed: {skipped.reason}"


def _plain(effect: Effect) -> tuple[str, int, str, int | None, int | None]:
    peak, delta = (value_or(value, None) for value in (effect.peak_reserved_bytes, effect.delta_bytes))
    return effect.factor, effect.level, effect.trial, peak, delta


def _best(case: _Case) -> Mapping[str, int]:
    """Settings that the record offers as a fix, beside factors that pass alone."""
    if case.result.outcome in STOPPED:
        return smallest_pass(case.seen)
    return case.repair or {name: case.factors[name].mildest for name in case.result.suspects}


def _fixes(case: _Case) -> Iterator[str]:
    result = case.result
    passed = {one.trial for one in case.seen if one.verdict is Verdict.PASS}
    for fix in result.fixes:
        not_passed = [trial for trial in fix.verified_by if trial not in passed]
        if not_passed or not fix.verified_by:
            yield f"{', '.join(not_passed) or 'no trial'} did not pass: {fix.change!r} is no fix"
    num_passes = 1 if is_steady(case.seen) else result.reproduction.pass_repeats
    expected = fixes(case.seen, result.factors, _best(case), num_passes=num_passes)
    told = [(fix.change, fix.cost, fix.verified_by) for fix in result.fixes]
    if told != [(fix.change, fix.cost, fix.verified_by) for fix in expected]:
        yield "the fixes, their costs or the trials that verify them are not those of the trials"


def _boundary_factor(case: _Case) -> str:
    boundary = case.result.boundary
    return boundary.factor if boundary is not None and boundary.factor in case.repair else ""


def _words(case: _Case) -> Iterator[str]:
    result = case.result
    expected = guarantees(
        result.outcome,
        case.seen,
        result.factors,
        repair=case.repair,
        last=_boundary_factor(case),
        alpha=result.reproduction.alpha,
        pass_repeats=result.reproduction.pass_repeats,
        num_suspects=len(result.suspects),
    )
    for one in expected:
        if one not in result.guarantees:
            yield f"the guarantee {one.code} is missing or says something else than the trials"
    for one in result.guarantees:
        if one not in expected:
            yield f"the guarantee {one.code} does not follow from the trials"


def _confounds(case: _Case) -> Iterator[str]:
    """Every comparison that carries a claim: the boundary of each factor, and each factor alone against no change."""
    pairs = [(name, pair.fail, pair.pass_) for name in case.repair if (pair := _pair(case, name)) is not None]
    boundary = case.result.boundary
    if boundary is not None:
        pairs.append((boundary.factor, boundary.fail, boundary.pass_))
    base = first(case.seen, {}, Verdict.SAME)
    alone = [one for one in case.seen if len(one.relaxed) == 1 and one.verdict is not Verdict.OTHER]
    if base is not None:
        pairs += [(next(iter(one.relaxed)), base.trial, one.trial) for one in alone]
    for name, fail, passed in dict.fromkeys(pairs):
        if name not in case.factors or not {fail, passed} <= set(case.trials):
            continue  # told by the check of the boundary
        yield from _confounded(case, name, case.trials[fail], case.trials[passed])


def _confounded(case: _Case, name: str, fail: Trial, passed: Trial) -> Iterator[str]:
    for trial in (fail, passed):
        if tells_nothing(trial):
            yield f"{trial.id} does not say what was in force, so nothing can be concluded from it"
            return
    changed = {key for level in case.factors[name].levels for key, _ in level.changes}
    others = other_differences(fail, passed, changed)
    if others:
        yield f"{fail.id} and {passed.id} differ in {', '.join(others)} as well as in {name}: they prove nothing"
