"""The search over any truth: what it returns passes, cannot be reduced, was executed, and survives its own audit."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.bisection_truths import SimulatedOracle, Truth
from ilora_diag.bisect.certificate import verify
from ilora_diag.bisect.found import Found, SearchOptions
from ilora_diag.bisect.oracle import BudgetSpent, Interrupted
from ilora_diag.bisect.search import search
from ilora_diag.schema import from_data, from_json, to_data, to_json
from ilora_diag.schema.bisect import Bisect, Factor, FactorKind, Outcome, Purpose
from ilora_diag.schema.finding import Confidence
from tests.simulated import factor, record

SIZES = st.lists(st.integers(2, 6), min_size=1, max_size=9)
MODES = st.sampled_from(["fast", "full"])


@dataclass(frozen=True)
class World:
    """Factors and what is really the matter with them."""

    factors: tuple[Factor, ...]
    clauses: tuple[dict[str, int], ...]

    def passes(self, relaxed: Mapping[str, int]) -> bool:
        """Any clause is met: a positive normal form, as every monotone truth has one."""
        return any(all(relaxed.get(name, 0) >= level for name, level in clause.items()) for clause in self.clauses)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any monotone truth, over factors of any size and prior."""
    priors = st.sampled_from([0.5, 1.0, 4.0, 20.0])
    factors = tuple(factor(f"f{at}", size, prior=draw(priors)) for at, size in enumerate(draw(SIZES)))
    clause = st.sets(st.sampled_from(factors), min_size=1, max_size=4)
    drawn = [sorted(chosen, key=lambda one: one.name) for chosen in draw(st.lists(clause, min_size=1, max_size=3))]
    clauses = tuple({one.name: draw(st.integers(1, one.mildest)) for one in chosen} for chosen in drawn)
    return World(factors=factors, clauses=clauses)


def run(world: World, mode: str = "fast", **oracle: object) -> tuple[Found, SimulatedOracle]:
    told = SimulatedOracle(truth=Truth(passes=world.passes, causes=frozenset()), **oracle)  # type: ignore[arg-type]
    return search(world.factors, told, SearchOptions(mode=mode)), told  # type: ignore[arg-type]


@given(worlds(), MODES)
@settings(max_examples=60, deadline=None)
def test_any_monotone_truth_is_found_confirmed_and_cannot_be_reduced(world: World, mode: str) -> None:
    found, oracle = run(world, mode)
    assert found.outcome is Outcome.CAUSE_FOUND
    assert found.cause is not None
    repair = {one.name: one.passing_level for one in found.cause.factors}
    assert world.passes(repair)
    for name, level in repair.items():
        assert not world.passes({**repair, name: level - 1})
    assert found.cause.confidence is Confidence.CONFIRMED
    executed = [relaxed for relaxed, _ in oracle.told]
    assert found.boundary is not None
    assert repair in executed
    below = {**repair, found.boundary.factor: repair[found.boundary.factor] - 1}
    assert {name: level for name, level in below.items() if level} in executed
    assert verify(record(found, world.factors, oracle)) == ()


@given(worlds(), st.sets(st.tuples(st.integers(0, 8), st.integers(1, 5)), min_size=1, max_size=4), MODES)
@settings(max_examples=60, deadline=None)
def test_a_failure_of_another_kind_is_never_called_a_fix(world: World, spoilt: set[tuple[int, int]], mode: str) -> None:
    names = {(f"f{at}", level) for at, level in spoilt}

    def others(relaxed: Mapping[str, int]) -> bool:
        return any((name, level) in names for name, level in relaxed.items())

    check_others(world, others, mode)


@given(worlds(), st.integers(0, 2**32), st.sampled_from([0.1, 0.4]), MODES)
@settings(max_examples=60, deadline=None)
def test_nor_where_combinations_fail_in_another_way_without_any_order(
    world: World, seed: int, share: float, mode: str
) -> None:
    def others(relaxed: Mapping[str, int]) -> bool:
        return bool(relaxed) and random.Random(f"{seed}{sorted(relaxed.items())}").random() < share

    check_others(world, others, mode)


def check_others(world: World, others: Callable[[Mapping[str, int]], bool], mode: str) -> None:
    found, oracle = run(world, mode, others=others)
    bad = {answer.trial for relaxed, answer in oracle.told if others(relaxed)}
    verified = {trial for fix in found.fixes for trial in fix.verified_by}
    assert not bad & verified
    assert {effect.trial for effect in found.side_effects} <= bad
    ruled_out = {trial for one in found.ruled_out for trial in one.trials}
    assert not bad & ruled_out
    if found.cause is not None:
        repair = {one.name: one.passing_level for one in found.cause.factors}
        assert world.passes(repair)
        assert not others(repair)
        if found.cause.confidence is Confidence.CONFIRMED:
            for name in repair:
                rest = {key: level for key, level in repair.items() if key != name}
                assert not world.passes(rest)
    assert verify(record(found, world.factors, oracle)) == ()


@given(worlds(), st.integers(0, 40), st.sampled_from([BudgetSpent, Interrupted]), MODES)
@settings(max_examples=60, deadline=None)
def test_stopped_anywhere_it_comes_back_with_what_it_has(
    world: World, budget: int, stop: type[Exception], mode: str
) -> None:
    found, oracle = run(world, mode, budget=budget, stop=stop)
    whole, complete = run(world, mode)
    assert len(found.steps) == min(budget, len(complete.asked))
    if len(complete.asked) <= budget:
        assert found == whole
    elif stop is Interrupted:
        assert found.outcome is Outcome.INTERRUPTED
    else:
        assert found.outcome in (Outcome.BUDGET_SPENT, Outcome.CAUSE_FOUND)
        if found.cause is not None:
            assert found.cause.confidence is Confidence.STRONGLY_SUGGESTED
            assert whole.cause is not None
            assert found.cause.factors == whole.cause.factors
    if Purpose.PREFLIGHT_MILD in complete.asked[:budget] and found.outcome is not Outcome.CAUSE_FOUND:
        assert found.fixes or not any(world.passes(relaxed) for relaxed, _ in oracle.told)
    assert verify(record(found, world.factors, oracle)) == ()


@given(worlds(), st.integers(0, 2**32), st.sampled_from([0.5, 0.7, 0.9]))
@settings(max_examples=40, deadline=None)
def test_a_failure_that_comes_and_goes_ends_in_an_honest_record(world: World, seed: int, rate: float) -> None:
    found, oracle = run(world, rate=rate, rng=random.Random(seed))
    assert verify(record(found, world.factors, oracle)) == ()
    if found.outcome is Outcome.SUSPECTS:
        assert found.suspects
        failed = [set(relaxed) for relaxed, answer in oracle.told if answer.verdict.value == "same"]
        for one in found.ruled_out:
            assert any(one.factor in relaxed for relaxed in failed)


@given(worlds(), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_unordered_factors_end_at_the_cheapest_level_that_passes(world: World, size: int) -> None:
    extra = factor("any", size + 1, kind=FactorKind.UNORDERED, expects_monotone=False, prior=20.0)
    factors = (extra, *world.factors)
    truth = Truth(passes=lambda relaxed: relaxed.get("any", 0) in (size, max(1, size - 1)), causes=frozenset())
    oracle = SimulatedOracle(truth=truth)
    found = search(factors, oracle, SearchOptions())
    assert found.cause is not None
    assert [(one.name, one.passing_level) for one in found.cause.factors] == [("any", max(1, size - 1))]
    assert verify(record(found, factors, oracle)) == ()


@given(worlds())
@settings(max_examples=20, deadline=None)
def test_a_record_keeps_its_certificate_through_a_file(world: World) -> None:
    found, oracle = run(world)
    written = to_json(record(found, world.factors, oracle))
    assert verify(from_json(Bisect, written)) == ()


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_same_search_asks_the_same_questions(world: World, rng: random.Random) -> None:
    assume(len(world.factors) > 1)
    rng.random()
    assert run(world)[1].told == run(world)[1].told


@given(SIZES, st.integers(0, 2**32), st.sampled_from([0.2, 0.5, 0.8]), MODES)
@settings(max_examples=50, deadline=None)
def test_without_any_order_what_is_returned_was_run_and_passed(
    sizes: list[int], seed: int, share: float, mode: str
) -> None:
    factors = tuple(factor(f"f{at}", size) for at, size in enumerate(sizes))
    mildest = {one.name: one.mildest for one in factors}

    def passes(relaxed: Mapping[str, int]) -> bool:
        chance = random.Random(f"{seed}{sorted(relaxed.items())}").random() < share
        return bool(relaxed) and (chance or relaxed == mildest)

    oracle = SimulatedOracle(truth=Truth(passes=passes, causes=frozenset()))
    found = search(factors, oracle, SearchOptions(mode=mode))  # type: ignore[arg-type]
    assert found.cause is not None
    repair = {one.name: one.passing_level for one in found.cause.factors}
    assert passes(repair)
    assert repair in [relaxed for relaxed, _ in oracle.told]
    assert verify(record(found, factors, oracle)) == ()


@given(worlds(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_audit_answers_whatever_a_record_says(world: World, data: st.DataObject) -> None:
    found, oracle = run(world)
    document = to_data(record(found, world.factors, oracle))
    where, key = data.draw(
        st.sampled_from([one for one in _leaves(document) if one[1] not in ("schema", "schema_version")])
    )
    old = where[key]
    kinds = {bool: st.booleans(), int: st.integers(-3, 9), str: st.sampled_from(["f0", "f1", "T-02", "x", "confirmed"])}
    where[key] = data.draw(kinds.get(type(old), st.none()))
    try:
        changed = from_data(Bisect, document)
    except ValueError:
        return
    assert isinstance(verify(changed), tuple)


def _leaves(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, one in items:
        found += _leaves(one) if isinstance(one, dict | list) else [(value, key)]
    return found
