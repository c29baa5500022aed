"""Ways in which an investigation ends, and the order in which it asks."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log

import pytest

from benchmarks.bisection_truths import SimulatedOracle, Truth
from ilora_diag.bisect.certificate import verify
from ilora_diag.bisect.flaky import chance_of_looking_steady, repeats_for
from ilora_diag.bisect.found import Found
from ilora_diag.bisect.oracle import Assignment, Observation, Verdict, verdict_of
from ilora_diag.bisect.order import ranked
from ilora_diag.bisect.plan import plan
from ilora_diag.bisect.quickxplain import quickxplain
from ilora_diag.bisect.search import SearchOptions, search
from ilora_diag.schema import Status, Unavailable
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope, Outcome, Purpose
from ilora_diag.schema.errors import LawError
from ilora_diag.schema.finding import Confidence
from tests.simulated import factor, record

FACTORS = (factor("batch", 6, prior=1.0), factor("seq", 5), factor("gc"), factor("attention"), factor("conf"))


def find(
    passes: Callable[[Assignment], bool], factors: Sequence[Factor] = FACTORS, *, mode: str = "fast", **more: object
) -> tuple[Found, SimulatedOracle]:
    oracle = SimulatedOracle(truth=Truth(passes=passes, causes=frozenset()), **more)  # type: ignore[arg-type]
    found = search(factors, oracle, SearchOptions(mode=mode))  # type: ignore[arg-type]
    assert verify(record(found, factors, oracle)) == ()
    return found, oracle


class Scripted(SimulatedOracle):
    """Says of the unchanged configuration what a script says, and PASS when it is used up."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        super().__init__(truth=Truth(passes=lambda relaxed: True, causes=frozenset()))
        self.verdicts = list(verdicts)

    def observe(self, relaxed: Assignment, *, purpose: Purpose, fresh: bool) -> Observation:
        answer = super().observe(relaxed, purpose=purpose, fresh=fresh)
        if not relaxed and self.verdicts:
            answer = replace(answer, verdict=self.verdicts.pop(0))
            self.told[-1] = (dict(relaxed), answer)
        return answer


PASS, SAME, OTHER = Verdict.PASS, Verdict.SAME, Verdict.OTHER


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([PASS, PASS, PASS], Outcome.NOT_REPRODUCED),
        ([PASS, OTHER, PASS], Outcome.NOT_REPRODUCED),
        ([SAME, OTHER, OTHER], Outcome.FAILS_DIFFERENTLY),
        ([OTHER, OTHER, OTHER], Outcome.FAILS_DIFFERENTLY),
        ([SAME, PASS, PASS, *[PASS] * 7], Outcome.FLAKY),
    ],
)
def test_a_failure_that_does_not_come_back_is_not_searched(verdicts: list[Verdict], outcome: Outcome) -> None:
    oracle = Scripted(verdicts)
    found = search(FACTORS, oracle, SearchOptions())
    assert found.outcome is outcome
    assert found.cause is None
    assert not found.fixes
    assert {step.purpose for step in found.steps} == {Purpose.PREFLIGHT_FAIL}
    assert verify(record(found, FACTORS, oracle)) == ()


def test_a_flaky_failure_is_told_how_many_trials_it_would_take() -> None:
    found = search(FACTORS, Scripted([SAME, *[PASS] * 9]), SearchOptions())
    needs = next(one for one in found.guarantees if one.code == "flaky_needs")
    numbers = dict(needs.parameters)
    assert numbers["num_failed"] == 1
    assert numbers["num_runs"] == 10
    assert numbers["num_needed"] == 10 + 8 * repeats_for(0.05, 2 / 12)


def test_where_nothing_helps_the_cause_is_outside() -> None:
    found, oracle = find(lambda relaxed: False)
    assert found.outcome is Outcome.OUTSIDE_FACTORS
    assert len(oracle.asked) == 4
    assert all("relaxed together with others it failed the same: T-04" in one.reason for one in found.unsure)
    assert len(found.unsure) == len(FACTORS)


def test_without_factors_the_cause_is_outside_too() -> None:
    assert find(lambda relaxed: False, ())[0].outcome is Outcome.OUTSIDE_FACTORS


def test_one_cause_with_levels_is_an_executed_adjacent_pair() -> None:
    found, oracle = find(lambda relaxed: relaxed.get("batch", 0) >= 3)
    assert found.cause is not None
    assert found.boundary is not None
    told = {answer.trial: (relaxed, answer.verdict) for relaxed, answer in oracle.told}
    assert told[found.boundary.fail] == ({"batch": 2}, SAME)
    assert told[found.boundary.pass_] == ({"batch": 3}, PASS)
    assert [(one.failing, one.passing) for one in found.cause.factors] == [("batch-0", "batch-3")]
    assert found.cause.confidence is Confidence.CONFIRMED
    assert found.cause.is_sufficient is True
    assert found.cause.category == "cause_of_batch"
    assert [fix.change for fix in found.fixes] == ["train.batch=3"]
    assert len(found.fixes[0].verified_by) == 4


def test_two_that_are_needed_together_are_both_named() -> None:
    found, _ = find(lambda relaxed: relaxed.get("seq", 0) >= 2 and relaxed.get("gc", 0) >= 1)
    assert found.cause is not None
    assert {one.name: one.passing_level for one in found.cause.factors} == {"seq": 2, "gc": 1}
    assert found.fixes[0].change == "train.seq=2 and train.gc=1"
    assert found.cause.confidence is Confidence.CONFIRMED


def test_mending_a_defect_is_preferred_over_turning_a_knob() -> None:
    factors = (factor("batch", 4, cost="fewer_samples_a_step"), factor("copy", cost="none"))
    found, _ = find(lambda relaxed: bool(relaxed), factors)
    assert found.cause is not None
    assert [one.name for one in found.cause.factors] == ["copy"]


def test_what_surrounds_the_program_comes_first_and_a_likely_factor_is_asked_of_alone() -> None:
    conf = factor("alloc", cost="none", scope=FactorScope.ENVIRONMENT, seconds=4.0, prior=0.5)
    assert next(one.name for one in ranked((*FACTORS, conf))) == "alloc"
    likely = replace(conf, prior=20.0)
    found, oracle = find(lambda relaxed: "alloc" in relaxed, (*FACTORS, likely))
    assert found.cause is not None
    relaxed = [relaxed for relaxed, _ in oracle.told]
    assert relaxed[4] == {"alloc": 1}
    assert [step.is_fresh for step in found.steps if "alloc" in dict(step.relaxed)] == [True] * sum(
        "alloc" in one for one in relaxed
    )


def test_full_tries_every_factor_alone_and_knows_all_fixes() -> None:
    found, oracle = find(lambda relaxed: relaxed.get("batch", 0) >= 2 or "gc" in relaxed, mode="full")
    alone = {next(iter(relaxed)) for relaxed, _ in oracle.told if len(relaxed) == 1}
    assert alone == {one.name for one in FACTORS}
    assert {one.factor for one in found.ruled_out} == {"seq", "attention", "conf"}
    assert {fix.change for fix in found.fixes} >= {"train.batch=2", "train.gc=1"}
    assert {one.what: one.reason for one in found.unsure} == {"gc": "relaxed alone it passes, too: T-07"}


def test_in_mode_fast_what_was_not_tried_is_not_claimed() -> None:
    found, oracle = find(lambda relaxed: "conf" in relaxed)
    alone = {next(iter(relaxed)) for relaxed, _ in oracle.told if len(relaxed) == 1}
    assert {one.factor for one in found.ruled_out} == alone - {"conf"}
    named = {one.factor for one in found.ruled_out} | {one.what for one in found.unsure} | {"conf"}
    assert named == {one.name for one in FACTORS}


def test_a_relaxation_that_fails_otherwise_is_a_side_effect() -> None:
    found, _ = find(lambda relaxed: "conf" in relaxed, mode="full", others=lambda relaxed: set(relaxed) == {"gc"})
    assert found.cause is not None
    assert [one.name for one in found.cause.factors] == ["conf"]
    assert [(one.factor, one.text) for one in found.side_effects] == [("gc", "another error")]
    assert {one.what: one.reason for one in found.unsure} == {"gc": "relaxed alone it failed in another way: T-07"}


def test_a_mildest_configuration_that_cannot_be_does_not_end_the_search() -> None:
    found, _ = find(lambda relaxed: "conf" in relaxed, others=lambda relaxed: "gc" in relaxed)
    assert found.outcome is Outcome.CAUSE_FOUND
    found, _ = find(
        lambda relaxed: "conf" in relaxed and relaxed.get("seq", 0) > 1,
        others=lambda relaxed: {"gc", "attention"} <= set(relaxed),
    )
    assert found.cause is not None
    assert {one.name for one in found.cause.factors} == {"conf", "seq"}


def test_an_unordered_factor_whose_last_level_is_not_the_mildest_is_found_all_the_same() -> None:
    part = factor("part", 3, kind=FactorKind.UNORDERED, expects_monotone=False)
    found, _ = find(lambda relaxed: relaxed.get("part") == 1, (*FACTORS, part))
    assert found.cause is not None
    assert [(one.name, one.passing_level) for one in found.cause.factors] == [("part", 1)]


def test_levels_without_an_order_are_all_tried_and_the_word_is_withdrawn() -> None:
    found, oracle = find(lambda relaxed: relaxed.get("batch", 0) in (1, 3, 5))
    codes = {one.code for one in found.guarantees}
    assert "order_fails" in codes
    assert "order_holds" not in codes
    assert {relaxed["batch"] for relaxed, _ in oracle.told if set(relaxed) == {"batch"}} == {1, 2, 3, 4, 5}
    found, _ = find(lambda relaxed: relaxed.get("batch", 0) >= 3)
    assert "order_holds" in {one.code for one in found.guarantees}


def test_a_level_that_fails_otherwise_is_passed_over() -> None:
    found, _ = find(
        lambda relaxed: relaxed.get("batch", 0) >= 3, others=lambda relaxed: relaxed.get("batch", 0) in (2, 3)
    )
    assert found.boundary is not None
    assert (found.boundary.failing_level, found.boundary.passing_level) == (1, 4)


def test_a_control_that_passes_turns_the_search_to_what_chance_cannot_mislead() -> None:
    oracle = Scripted([SAME] * 3)  # and passes from the first control on
    found = search(FACTORS, oracle, SearchOptions())
    assert found.outcome in (Outcome.FLAKY, Outcome.SUSPECTS)
    assert found.cause is None


def test_a_failure_that_comes_and_goes_leaves_suspects_that_contain_the_cause() -> None:
    runs = [find(lambda relaxed: relaxed.get("seq", 0) >= 2, rate=0.7, rng=random.Random(seed)) for seed in range(8)]
    with_suspects = [(found, oracle) for found, oracle in runs if found.outcome is Outcome.SUSPECTS]
    assert with_suspects
    for found, oracle in with_suspects:
        assert "seq" in found.suspects
        assert any(one.what == "seq" and one.reason == "the cause is among these factors" for one in found.unsure)
        same = [set(relaxed) for relaxed, answer in oracle.told if answer.verdict is SAME]
        assert all(any(one.factor in relaxed for relaxed in same) for one in found.ruled_out)
        assert all(len(fix.verified_by) >= found.reproduction.pass_repeats for fix in found.fixes)


def test_a_budget_that_ends_in_the_repeats_still_names_the_cause_with_less_confidence() -> None:
    whole, complete = find(lambda relaxed: relaxed.get("batch", 0) >= 3)
    found, _ = find(lambda relaxed: relaxed.get("batch", 0) >= 3, budget=len(complete.asked) - 1)
    assert whole.cause is not None
    assert found.cause is not None
    assert found.cause.factors == whole.cause.factors
    assert found.cause.confidence is Confidence.STRONGLY_SUGGESTED
    assert "controls_missing" in found.cause.reasons


def test_repeats_follow_from_the_error_that_is_allowed() -> None:
    assert [repeats_for(0.05, rate) for rate in (0.9, 0.7, 0.5, 0.3, 0.2)] == [2, 3, 5, 9, 14]
    assert chance_of_looking_steady(5, 3) == pytest.approx(
        max((p / 1e3) ** 5 * (1 - p / 1e3) ** 3 for p in range(1001))
    )
    assert chance_of_looking_steady(0, 3) == 1.0
    assert log(chance_of_looking_steady(5, 3)) < log(0.05)


def test_only_what_passed_is_a_pass_and_only_the_same_failure_is_that_failure() -> None:
    assert verdict_of(Status.OK) is PASS
    assert verdict_of(Status.SAME) is SAME
    others = [status for status in Status if status not in (Status.OK, Status.SAME)]
    assert {verdict_of(status) for status in others} == {OTHER}


def test_quickxplain_prefers_what_comes_first_and_halves_by_prior() -> None:
    asked: list[tuple[str, ...]] = []

    def is_enough(names: Sequence[str]) -> bool:
        asked.append(tuple(names))
        return "a" in names or "h" in names

    assert quickxplain("abcdefgh", is_enough, lambda one: 1.0) == ("a",)
    assert asked[0] == ("a", "b", "c", "d")
    asked.clear()
    assert quickxplain("abcdefgh", is_enough, lambda one: 50.0 if one == "a" else 1.0) == ("a",)
    assert asked[0] == ("a",)


def test_a_plan_is_what_the_search_does() -> None:
    made = plan(FACTORS, SearchOptions())
    assert made.least <= made.expected <= made.most
    for one in FACTORS:
        for level in range(1, len(one.levels)):
            name = one.name
            _, oracle = find(lambda relaxed, n=name, at=level: relaxed.get(n, 0) >= at)  # type: ignore[misc]
            assert made.least <= len(oracle.asked) <= made.most
    purposes = [row.purpose for row in made.trials]
    assert purposes[0] is Purpose.PREFLIGHT_FAIL
    assert {row.factor for row in made.trials if row.factor} == {one.name for one in FACTORS}
    assert plan((), SearchOptions()).most == 4
    part = factor("part", 3, kind=FactorKind.UNORDERED, expects_monotone=False)
    full = plan((*FACTORS, part), SearchOptions(mode="full"))
    assert [row.level for row in full.trials if row.factor == "part"] == [1, 2]


@pytest.mark.parametrize(
    "wrong", [{"mode": "slow"}, {"alpha": 0.0}, {"repeats": 0}, {"final_repeats": -1}, {"lowest_rate": 1.0}]
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(LawError):
        SearchOptions(**wrong)  # type: ignore[arg-type]


def test_effects_are_told_against_what_the_failing_run_had_reserved() -> None:
    oracle = SimulatedOracle(
        truth=Truth(
            passes=lambda relaxed: "gc" in relaxed, causes=frozenset(), peak_bytes=lambda r: 40 if "gc" in r else 100
        )
    )
    found = search(FACTORS, oracle, SearchOptions(mode="full"))
    deltas = {one.factor: one.delta_bytes for one in found.effects}
    assert deltas["gc"] == -60
    assert isinstance(deltas["seq"], Unavailable)
