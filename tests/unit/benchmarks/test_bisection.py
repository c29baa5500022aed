"""The simulation behind the promised numbers of trials."""

from __future__ import annotations

import random

import pytest

from benchmarks.bisection import is_wrong, truths
from benchmarks.bisection_rivals import Counter, ddmin, num_trials, one_by_one, plain_quickxplain
from benchmarks.bisection_truths import FAMILIES, SimulatedOracle, make_factors, make_truth
from ilora_diag.bisect.search import SearchOptions, search
from ilora_diag.schema.bisect import Purpose

_PROOF = (Purpose.PREFLIGHT_FAIL, Purpose.CERTIFICATE, Purpose.SUFFICIENT, Purpose.CONTROL, Purpose.FINAL)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_truth_fails_as_given_and_passes_at_its_mildest(family: str) -> None:
    factors = make_factors()
    for seed in range(20):
        truth = make_truth(family, factors, random.Random(seed))
        assert not truth.passes({})
        assert truth.passes({factor.name: factor.mildest for factor in factors})


@pytest.mark.parametrize("rival", [one_by_one, ddmin, plain_quickxplain])
def test_a_rival_finds_a_set_that_passes_too(rival) -> None:  # type: ignore[no-untyped-def]
    factors = make_factors()
    for family in FAMILIES:
        truth = make_truth(family, factors, random.Random(7))
        counter = Counter(truth, factors)
        assert counter.passes_with(rival(counter))
        assert num_trials(truth, factors, rival) >= len(counter.known)


@pytest.mark.parametrize(("family", "most"), [("one", 10.0), ("both", 16.0)])
def test_the_promised_number_of_trials_holds_on_a_sample(family: str, most: float) -> None:
    numbers = []
    for truth, factors, _ in truths(family, 100, "sample"):
        oracle = SimulatedOracle(truth=truth)
        assert not is_wrong(search(factors, oracle, SearchOptions()), truth, factors)
        numbers.append(1 + sum(purpose not in _PROOF for purpose in oracle.asked))
    assert sum(numbers) / len(numbers) <= most
