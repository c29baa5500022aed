"""How many trials the bisection takes, and how often it is wrong: `python -m benchmarks.bisection [TRUTHS]`.

Simulated random truths over 14 factors, the factors in random order. `search` counts what the promise counts: one run
of the failing configuration, the mildest one, the search and the levels; `whole` adds the repeats of the failure, the
certificate, sufficiency, controls and the repeats of the fix. About two minutes of one core for 2,000 truths a family;
half as many are used where failures come and go, a quarter where some fail in another way.

A conclusion is wrong where what is named (the cause at its passing levels, or every suspect at its mildest) would not
make the failure go away.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.bisection_rivals import ddmin, num_trials, one_by_one, plain_quickxplain
from benchmarks.bisection_truths import FAMILIES, SimulatedOracle, Truth, make_factors, make_truth
from ilora_diag.bisect.found import Found
from ilora_diag.bisect.search import SearchOptions, search
from ilora_diag.schema.bisect import Factor, Outcome, Purpose
from ilora_diag.schema.finding import Confidence

NUM_TRUTHS = 2000
RATES = (0.9, 0.7, 0.5, 0.3)
_PROOF = (Purpose.PREFLIGHT_FAIL, Purpose.CERTIFICATE, Purpose.SUFFICIENT, Purpose.CONTROL, Purpose.FINAL)


def spread(numbers: Sequence[int]) -> str:
    """Mean and 95th percentile."""
    ordered = sorted(numbers)
    return f"{sum(ordered) / len(ordered):5.1f} / {ordered[int(0.95 * (len(ordered) - 1))]:2d}"


def truths(family: str, num: int, seed: str) -> Sequence[tuple[Truth, tuple[Factor, ...], random.Random]]:
    """Random truths, each with the factors in an order of its own and a seeded generator."""
    made = []
    for index in range(num):
        rng = random.Random(f"{seed} {family} {index}")
        factors = list(make_factors())
        rng.shuffle(factors)
        made.append((make_truth(family, factors, rng), tuple(factors), rng))
    return made


def is_wrong(found: Found, truth: Truth, factors: Sequence[Factor]) -> bool:
    """Whether what is named would leave the failure where it is."""
    mildest = {factor.name: factor.mildest for factor in factors}
    if found.cause is not None:
        return not truth.passes({one.name: one.passing_level for one in found.cause.factors})
    return found.outcome is Outcome.SUSPECTS and not truth.passes({name: mildest[name] for name in found.suspects})


def steady(num: int) -> None:
    """Trials for a failure that comes every time."""
    print(f"trials, mean / p95, {num} truths a family")
    names = ("one by one", "ddmin", "QuickXplain", "search", "whole", "full table")
    print(f"{'truth':10} {' '.join(f'{name:>11}' for name in names)}  confirmed, wrong")
    for family in FAMILIES:
        columns: dict[str, list[int]] = {name: [] for name in names}
        confirmed = wrong = 0
        for truth, factors, _ in truths(family, num, "steady"):
            for name, rival in zip(names, (one_by_one, ddmin, plain_quickxplain), strict=False):
                columns[name].append(num_trials(truth, factors, rival))
            for mode, column in (("fast", "search"), ("full", "full table")):
                oracle = SimulatedOracle(truth=truth)
                found = search(factors, oracle, SearchOptions(mode=mode))  # type: ignore[arg-type]
                columns[column].append(1 + sum(purpose not in _PROOF for purpose in oracle.asked))
                wrong += is_wrong(found, truth, factors)
                if mode == "fast":
                    columns["whole"].append(len(oracle.asked))
                    confirmed += found.cause is not None and found.cause.confidence is Confidence.CONFIRMED
        cells = " ".join(f"{spread(columns[name]):>11}" for name in columns)
        print(f"{family:10} {cells}  {confirmed} of {num}, {wrong} of {2 * num}")


def flaky(num: int) -> None:
    """Conclusions and trials for a failure that comes and goes."""
    alpha = SearchOptions().alpha
    print(f"\nfailures that come and go, {num} truths a cell, error allowed {alpha:.0%}; percent of runs")
    print("rate truth  confirmed suspects  other   wrong  trials, mean / p95  suspects too many, mean")
    for rate in RATES:
        for family in ("one", "both"):
            outcomes: Counter[str] = Counter()
            sizes, wrong, extra = [], 0, 0
            for truth, factors, rng in truths(family, num, f"flaky {rate}"):
                oracle = SimulatedOracle(truth=truth, rate=rate, rng=rng)
                found = search(factors, oracle, SearchOptions())
                kind = {Outcome.CAUSE_FOUND: "cause", Outcome.SUSPECTS: "suspects"}.get(found.outcome, "other")
                outcomes[kind] += 1
                sizes.append(len(oracle.asked))
                wrong += is_wrong(found, truth, factors)
                extra += len(set(found.suspects) - truth.causes)
            shares = [100 * outcomes[kind] / num for kind in ("cause", "suspects", "other")]
            per = extra / max(1, outcomes["suspects"])
            row = " ".join(f"{share:8.1f}" for share in (*shares, 100 * wrong / num))
            print(f"{rate:4} {family:5} {row}  {spread(sizes):>18}  {per:.2f}")


def spoilt(num: int) -> None:
    """Relaxations that fail in another way: how often one of them is called a fix."""
    print(f"\na tenth of all combinations fails in another way, {num} truths a family")
    print("truth      cause named  confirmed  called a fix wrongly")
    for family in FAMILIES:
        named = confirmed = wrong = 0
        for index, (truth, factors, _) in enumerate(truths(family, num, "spoilt")):

            def others(relaxed: dict[str, int], at: int = index) -> bool:
                return bool(relaxed) and random.Random(f"{at}{sorted(relaxed.items())}").random() < 0.1

            found = search(factors, SimulatedOracle(truth=truth, others=others), SearchOptions())  # type: ignore[arg-type]
            cause = found.cause
            named += cause is not None
            confirmed += cause is not None and cause.confidence is Confidence.CONFIRMED
            repair = {} if cause is None else {one.name: one.passing_level for one in cause.factors}
            wrong += cause is not None and (is_wrong(found, truth, factors) or others(repair))
        print(f"{family:10} {named:11d} {confirmed:10d} {wrong:21d}")


def main(arguments: list[str]) -> None:
    num = int(arguments[0]) if arguments else NUM_TRUTHS
    steady(num)
    flaky(max(1, num // 2))
    spoilt(max(1, num // 4))


if __name__ == "__main__":
    main(sys.argv[1:])
