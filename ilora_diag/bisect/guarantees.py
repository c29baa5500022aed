"""What a result holds for, in words: computed from trials alone, so that a finished record can be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ilora_diag.bisect.evidence import Seen, needed, num_untested, order_holds, runs_of
from ilora_diag.bisect.flaky import chance_of_looking_steady, runs_needed
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.schema.bisect import Factor, Guarantee, Outcome, Purpose
from ilora_diag.schema.known import Scalar

TEXTS: dict[str, str] = {
    "one_minimal": "No factor of the cause can be left out, with respect to the {num_factors} factors and "
    "{num_levels} levels that were searched.",
    "one_minimal_open": "Whether a factor of the cause can be left out was not shown for: {factors}.",
    "not_smallest": "A different set with fewer factors may exist; the search finds one that cannot be reduced.",
    "order_holds": "Relaxing {factor} further never brought the failure back, at the {num_levels} levels tried.",
    "order_fails": "{factor} has no order: it failed again where it was relaxed further. Every level was tried.",
    "this_fingerprint": "It holds for this code and this environment, as the fingerprint has them.",
    "error_probability": "A failure that comes and goes would fail {num_failed} times of {num_failed} and then pass "
    "{num_passed} times of {num_passed} by chance with a probability of at most {bound}; allowed is {alpha}.",
    "suspects": "The failure was observed with no more than the {num_suspects} suspects at their failing values.",
    "pass_repeats": "Of a failure in {num_failed} of {num_runs} runs, a pass counted after {pass_repeats} passes in a "
    "row; the probability that chance hid a further suspect is at most {alpha}.",
    "flaky_needs": "It failed in {num_failed} of {num_runs} runs. About {num_needed} trials would settle it.",
    "outside": "It fails with every one of the {num_factors} factors relaxed as far as they go together.",
    "stopped": "The search was stopped before its end; what it lists was run, and nothing else is claimed.",
    "untested": "{num_untested} combinations of levels were not run. Of {num_run} trials, {num_passed} passed, "
    "{num_same} failed in the same way and {num_other} otherwise.",
}
"""Code -> English. The parameters are those of the Guarantee."""

_SEARCHED = (Outcome.CAUSE_FOUND, Outcome.SUSPECTS, Outcome.BUDGET_SPENT, Outcome.INTERRUPTED)


def guarantee(code: str, **parameters: Scalar) -> Guarantee:
    """One guarantee of TEXTS."""
    return Guarantee(code=code, text=TEXTS[code].format(**parameters), parameters=tuple(parameters.items()))


def guarantees(
    outcome: Outcome,
    seen: Sequence[Seen],
    factors: Sequence[Factor],
    *,
    repair: Mapping[str, int],
    last: str,
    alpha: float,
    pass_repeats: int,
    num_suspects: int,
) -> tuple[Guarantee, ...]:
    """Everything that holds.

    Args:
        outcome: of the investigation.
        seen: its trials.
        factors: in the registry's order.
        repair: factor -> level of the cause; empty without one.
        last: the factor whose boundary is reported; empty without one.
        alpha: as in Reproduction.
        pass_repeats: as there.
        num_suspects: of the outcome SUSPECTS.
    """
    base = runs_of(seen, {})
    failed = sum(one.verdict is Verdict.SAME for one in base)
    found: list[Guarantee] = []
    if outcome is Outcome.CAUSE_FOUND:
        found += _of_cause(seen, factors, repair, last, alpha)
    if outcome is Outcome.SUSPECTS:
        found.append(guarantee("suspects", num_suspects=num_suspects))
        numbers = {"num_failed": failed, "num_runs": len(base), "pass_repeats": pass_repeats}
        found.append(guarantee("pass_repeats", **numbers, alpha=alpha))
    if outcome is Outcome.FLAKY:
        needs = runs_needed(len(base), failed, len(factors), alpha)
        found.append(guarantee("flaky_needs", num_failed=failed, num_runs=len(base), num_needed=needs))
    if outcome is Outcome.OUTSIDE_FACTORS:
        found.append(guarantee("outside", num_factors=len(factors)))
    if outcome in (Outcome.BUDGET_SPENT, Outcome.INTERRUPTED):
        found.append(guarantee("stopped"))
    if outcome in _SEARCHED:
        found.append(guarantee("this_fingerprint"))
    found.append(_untested(seen, factors))
    return tuple(found)


def _untested(seen: Sequence[Seen], factors: Sequence[Factor]) -> Guarantee:
    num = Counter(one.verdict for one in seen)
    return guarantee(
        "untested",
        num_untested=num_untested(seen, factors),
        num_run=len(seen),
        num_passed=num[Verdict.PASS],
        num_same=num[Verdict.SAME],
        num_other=num[Verdict.OTHER],
    )


def _of_cause(
    seen: Sequence[Seen], factors: Sequence[Factor], repair: Mapping[str, int], last: str, alpha: float
) -> list[Guarantee]:
    by_name = {factor.name: factor for factor in factors}
    num_levels = sum(len(factor.levels) for factor in factors)
    still_open = [name for name in repair if needed(seen, by_name, repair, name) is None]
    found = [
        guarantee("one_minimal_open", factors=", ".join(still_open))
        if still_open
        else guarantee("one_minimal", num_factors=len(factors), num_levels=num_levels),
        guarantee("not_smallest"),
    ]
    order = order_holds(seen, by_name[last], repair) if last else None
    if order is not None:
        holds, num_tried = order
        found.append(
            guarantee("order_holds", factor=last, num_levels=num_tried)
            if holds
            else guarantee("order_fails", factor=last)
        )
    failed = sum(one.verdict is Verdict.SAME for one in runs_of(seen, {}))
    passed = sum(one.verdict is Verdict.PASS and one.purpose is Purpose.FINAL for one in runs_of(seen, repair))
    if failed and passed:
        bound = round(chance_of_looking_steady(failed, passed), 6)
        found.append(guarantee("error_probability", num_failed=failed, num_passed=passed, bound=bound, alpha=alpha))
    return found
