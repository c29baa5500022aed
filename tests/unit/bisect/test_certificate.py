"""The audit of a finished record: silent on honest ones, and never silent on one that was tampered with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import pytest

from benchmarks.bisection_truths import SimulatedOracle, Truth
from ilora_diag.bisect.certificate import verify
from ilora_diag.bisect.oracle import Assignment, BudgetSpent
from ilora_diag.bisect.search import SearchOptions, search
from ilora_diag.schema import Confidence, Status, Trial, Unavailable
from ilora_diag.schema.bisect import Bisect, Factor, FactorKind, Guarantee, Outcome, Purpose
from tests.simulated import OTHER, SIGNATURE, factor, record

FACTORS = (
    factor("batch", 5),
    factor("seq", 4),
    factor("attention", cost="none"),
    factor("conf", 3, kind=FactorKind.UNORDERED, expects_monotone=False, cost="none"),
    factor("optimizer"),
    factor("cache", cost="none", prior=3.0),
)


def investigated(
    passes: Callable[[Assignment], bool],
    *,
    mode: str = "fast",
    others: Callable[[Assignment], bool] | None = None,
    rate: float = 1.0,
    budget: int | None = None,
    factors: tuple[Factor, ...] = FACTORS,
) -> Bisect:
    truth = Truth(passes=passes, causes=frozenset(), peak_bytes=lambda relaxed: 100 - sum(relaxed.values()))
    oracle = SimulatedOracle(truth=truth, others=others, rate=rate, rng=random.Random(5), budget=budget)
    found = search(factors, oracle, SearchOptions(mode=mode))  # type: ignore[arg-type]
    return record(found, factors, oracle)


def one_cause() -> Bisect:
    return investigated(lambda relaxed: relaxed.get("batch", 0) >= 3, mode="full")


def two_causes() -> Bisect:
    return investigated(lambda relaxed: relaxed.get("batch", 0) >= 2 and relaxed.get("attention", 0) >= 1)


def with_side_effects() -> Bisect:
    return investigated(lambda relaxed: relaxed.get("seq", 0) >= 2, mode="full", others=lambda r: set(r) == {"cache"})


def suspects() -> Bisect:
    return investigated(lambda relaxed: relaxed.get("seq", 0) >= 1, rate=0.7)


def stopped() -> Bisect:
    return investigated(lambda relaxed: relaxed.get("batch", 0) >= 3, budget=9)


def outside() -> Bisect:
    return investigated(lambda relaxed: False)


RECORDS = {make.__name__: make() for make in (one_cause, two_causes, with_side_effects, suspects, stopped, outside)}


@pytest.fixture(params=RECORDS)
def honest(request: pytest.FixtureRequest) -> Bisect:
    return RECORDS[request.param]


def test_an_honest_record_holds(honest: Bisect) -> None:
    assert verify(honest) == ()


def test_the_records_are_what_their_names_say() -> None:
    outcomes = {name: made.outcome for name, made in RECORDS.items()}
    assert outcomes == {
        "one_cause": Outcome.CAUSE_FOUND,
        "two_causes": Outcome.CAUSE_FOUND,
        "with_side_effects": Outcome.CAUSE_FOUND,
        "suspects": Outcome.SUSPECTS,
        "stopped": Outcome.BUDGET_SPENT,
        "outside": Outcome.OUTSIDE_FACTORS,
    }
    assert RECORDS["with_side_effects"].side_effects
    two = RECORDS["two_causes"].cause
    assert two is not None
    assert {one.name: one.passing_level for one in two.factors} == {"batch": 2, "attention": 1}


# -- trials and steps --------------------------------------------------------------------------------------------------


def with_trial(result: Bisect, index: int, trial: Trial) -> Bisect:
    return replace(result, trials=(*result.trials[:index], trial, *result.trials[index + 1 :]))


def as_status(trial: Trial, status: Status) -> Trial:
    signature = {Status.OK: None, Status.SAME: SIGNATURE, Status.OTHER: OTHER}[status]
    return replace(trial, status=status, signature=signature)


def test_a_changed_verdict_is_noticed(honest: Bisect) -> None:
    for index, trial in enumerate(honest.trials):
        for status in (Status.OK, Status.SAME, Status.OTHER):
            if status is not trial.status:
                assert verify(with_trial(honest, index, as_status(trial, status))), (trial.id, status)


def test_a_dropped_trial_is_noticed(honest: Bisect) -> None:
    for trial in honest.trials:
        kept = tuple(one for one in honest.trials if one is not trial)
        without = replace(honest, trials=kept, num_trials=len(kept))
        assert verify(without), trial.id
        steps = tuple(step for step in honest.steps if step.trial != trial.id)
        assert verify(replace(without, steps=steps)), trial.id


def test_a_step_without_its_trial_or_a_trial_without_its_step_is_noticed(honest: Bisect) -> None:
    for index in range(len(honest.steps)):
        steps = (*honest.steps[:index], *honest.steps[index + 1 :])
        alone = verify(replace(honest, steps=steps))
        assert alone or honest.trials[index].status is Status.OTHER


def test_swapped_trials_are_noticed(honest: Bisect) -> None:
    relaxed = {step.trial: step.relaxed for step in honest.steps}
    for one, two in combinations(range(len(honest.trials)), 2):
        first, second = honest.trials[one], honest.trials[two]
        if relaxed[first.id] == relaxed[second.id]:
            continue
        trials = list(honest.trials)
        trials[one], trials[two] = replace(first, id=second.id), replace(second, id=first.id)
        assert verify(replace(honest, trials=tuple(trials))), (first.id, second.id)


def test_swapped_steps_are_noticed(honest: Bisect) -> None:
    for one, two in combinations(range(len(honest.steps)), 2):
        steps = list(honest.steps)
        if steps[one].relaxed == steps[two].relaxed:
            continue
        first, second = steps[one], steps[two]
        steps[one], steps[two] = replace(first, trial=second.trial), replace(second, trial=first.trial)
        assert verify(replace(honest, steps=tuple(steps)))


def test_a_changed_level_is_noticed(honest: Bisect) -> None:
    for index, step in enumerate(honest.steps):
        for at, (name, level) in enumerate(step.relaxed):
            relaxed = (*step.relaxed[:at], (name, level + 1), *step.relaxed[at + 1 :])
            shorter = (*step.relaxed[:at], *step.relaxed[at + 1 :])
            for changed in (relaxed, shorter):
                steps = (*honest.steps[:index], replace(step, relaxed=changed), *honest.steps[index + 1 :])
                assert verify(replace(honest, steps=steps)), (step, changed)


def test_a_trial_that_stands_twice_is_noticed(honest: Bisect) -> None:
    assert verify(replace(honest, steps=(*honest.steps, honest.steps[-1])))


# -- the cause ---------------------------------------------------------------------------------------------------------

CAUSES = [name for name, made in RECORDS.items() if made.cause is not None]


def changed_causes(result: Bisect) -> Iterator[Bisect]:
    cause, boundary = result.cause, result.boundary
    assert cause is not None
    assert boundary is not None
    for confidence in Confidence:
        if confidence is not cause.confidence:
            yield replace(result, cause=replace(cause, confidence=confidence))
    yield replace(result, cause=replace(cause, reasons=cause.reasons[1:]))
    told = not cause.is_sufficient
    yield replace(result, cause=replace(cause, is_sufficient=told))
    yield replace(result, cause=replace(cause, is_sufficient=Unavailable(reason="lost")))
    yield replace(result, cause=replace(cause, factors=()))
    for index, one in enumerate(cause.factors):
        for changed in (
            replace(one, passing_level=one.passing_level + 1),
            replace(one, passing_level=one.passing_level - 1),
            replace(one, failing_level=1),
            replace(one, passing="other"),
            replace(one, failing="other"),
            replace(one, name="optimizer"),
            replace(one, name="unheard-of"),
        ):
            members = (*cause.factors[:index], changed, *cause.factors[index + 1 :])
            yield replace(result, cause=replace(cause, factors=members))
        level = one.passing_level + 1
        names = {factor.name: factor for factor in result.factors}
        if level <= names[one.name].mildest:  # passes just as well, but is not the least that does
            changed = replace(one, passing_level=level, passing=names[one.name].levels[level].name)
            members = (*cause.factors[:index], changed, *cause.factors[index + 1 :])
            yield replace(result, cause=replace(cause, factors=members))
    yield replace(result, boundary=None)
    yield replace(result, boundary=replace(boundary, fail=boundary.pass_, pass_=boundary.fail))
    yield replace(result, boundary=replace(boundary, failing_level=boundary.failing_level + 1))
    yield replace(result, boundary=replace(boundary, passing_level=boundary.passing_level + 1))
    yield replace(result, boundary=replace(boundary, factor="optimizer"))
    for trial in result.trials:
        if trial.id != boundary.fail and trial.status is not Status.SAME:
            yield replace(result, boundary=replace(boundary, fail=trial.id))
        if trial.id != boundary.pass_ and trial.status is not Status.OK:
            yield replace(result, boundary=replace(boundary, pass_=trial.id))


@pytest.mark.parametrize("name", CAUSES)
def test_a_changed_cause_is_noticed(name: str) -> None:
    for number, changed in enumerate(changed_causes(RECORDS[name])):
        assert verify(changed), number


@pytest.mark.parametrize("name", CAUSES)
def test_finals_and_controls_have_to_be_what_they_are_said_to_be(name: str) -> None:
    honest = RECORDS[name]
    for index, step in enumerate(honest.steps):
        if step.purpose in (Purpose.FINAL, Purpose.CONTROL):
            changed = replace(step, purpose=Purpose.LEVEL)
            assert verify(replace(honest, steps=(*honest.steps[:index], changed, *honest.steps[index + 1 :])))
    stale = tuple(replace(step, is_fresh=False) if step.purpose is Purpose.FINAL else step for step in honest.steps)
    assert verify(replace(honest, steps=stale)), "one of them at least has an interpreter of its own"


# -- counts and what was learned ---------------------------------------------------------------------------------------


def test_changed_counts_are_noticed(honest: Bisect) -> None:
    told = honest.reproduction
    assert isinstance(honest.num_untested, int)
    for changed in (
        replace(honest, num_untested=honest.num_untested + 1),
        replace(honest, num_untested=honest.num_untested - 1),
        replace(honest, reproduction=replace(told, num_runs=told.num_runs + 1)),
        replace(honest, reproduction=replace(told, num_failed=told.num_failed - 1)),
    ):
        assert verify(changed)


def test_a_changed_guarantee_is_noticed(honest: Bisect) -> None:
    for index, one in enumerate(honest.guarantees):
        before, after = honest.guarantees[:index], honest.guarantees[index + 1 :]
        assert verify(replace(honest, guarantees=(*before, *after))), one.code
        assert verify(replace(honest, guarantees=(*before, replace(one, text="It holds."), *after))), one.code
        for at, (key, value) in enumerate(one.parameters):
            other = value + 1 if isinstance(value, int | float) else "other"
            parameters = (*one.parameters[:at], (key, other), *one.parameters[at + 1 :])
            assert verify(replace(honest, guarantees=(*before, replace(one, parameters=parameters), *after)))
    promise = Guarantee(code="smallest", text="There is no smaller one.")
    assert verify(replace(honest, guarantees=(*honest.guarantees, promise)))


@pytest.mark.parametrize("part", ["ruled_out", "side_effects", "effects", "unsure", "fixes", "suspects"])
def test_a_part_that_lacks_an_entry_is_noticed(honest: Bisect, part: str) -> None:
    entries = getattr(honest, part)
    for index in range(len(entries)):
        assert verify(replace(honest, **{part: (*entries[:index], *entries[index + 1 :])}))


def test_what_is_ruled_out_names_trials_that_show_it(honest: Bisect) -> None:
    passed = next(trial.id for trial in honest.trials if trial.status is Status.OK) if honest.fixes else "T-01"
    for index, one in enumerate(honest.ruled_out):
        for changed in (replace(one, trials=(passed,)), replace(one, factor="batch"), replace(one, trials=())):
            if changed != one:
                entries = (*honest.ruled_out[:index], changed, *honest.ruled_out[index + 1 :])
                assert verify(replace(honest, ruled_out=entries))


def test_a_fix_names_trials_that_passed_with_it(honest: Bisect) -> None:
    failed = next(trial.id for trial in honest.trials if trial.status is not Status.OK)
    for index, fix in enumerate(honest.fixes):
        for changed in (
            replace(fix, verified_by=()),
            replace(fix, verified_by=(failed,)),
            replace(fix, verified_by=fix.verified_by[1:]),
            replace(fix, cost="no_validation"),
            replace(fix, change="pip install magic"),
        ):
            entries = (*honest.fixes[:index], changed, *honest.fixes[index + 1 :])
            assert verify(replace(honest, fixes=entries))


# -- confounded comparisons --------------------------------------------------------------------------------------------


def with_setting(trial: Trial, key: str, value: object) -> Trial:
    assert not isinstance(trial.effective, Unavailable)
    return replace(trial, effective=tuple({**dict(trial.effective), key: value}.items()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value"),
    [("version.torch", "2.1.2"), ("allocator.expandable_segments", True), ("train.optimizer", 1)],
)
@pytest.mark.parametrize("name", CAUSES)
def test_a_pair_that_differs_in_a_second_setting_is_noticed(name: str, key: str, value: object) -> None:
    honest = RECORDS[name]
    assert honest.boundary is not None
    for trial_id in (honest.boundary.fail, honest.boundary.pass_):
        index = next(at for at, trial in enumerate(honest.trials) if trial.id == trial_id)
        found = verify(with_trial(honest, index, with_setting(honest.trials[index], key, value)))
        assert any(key in problem and "prove nothing" in problem for problem in found)


def test_a_trial_that_does_not_say_what_was_in_force_proves_nothing() -> None:
    honest = RECORDS["one_cause"]
    assert honest.boundary is not None
    index = next(at for at, trial in enumerate(honest.trials) if trial.id == honest.boundary.fail)
    silent = replace(honest.trials[index], effective=Unavailable(reason="no answer"))
    assert verify(with_trial(honest, index, silent))
    assert verify(with_trial(honest, index, replace(silent, signal="SIGSEGV"))) == ()


def test_trials_beside_the_search_are_no_evidence() -> None:
    honest = RECORDS["one_cause"]
    roomy = replace(
        honest.trials[0], id="T-90", status=Status.OK, signature=None, requested=(("device.memory_bytes", 1),)
    )
    step = replace(honest.steps[0], trial="T-90", purpose=Purpose.GROWTH)
    more = replace(
        honest, trials=(*honest.trials, roomy), steps=(*honest.steps, step), num_trials=len(honest.trials) + 1
    )
    assert verify(more) == ()


def test_a_run_stopped_before_the_first_trial_is_an_honest_record_too() -> None:
    truth = Truth(passes=lambda relaxed: False, causes=frozenset())
    oracle = SimulatedOracle(truth=truth, budget=0, stop=BudgetSpent)
    found = search(FACTORS, oracle, SearchOptions())
    assert found.outcome is Outcome.BUDGET_SPENT
    assert verify(record(found, FACTORS, oracle)) == ()
