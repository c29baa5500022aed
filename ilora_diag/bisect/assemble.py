"""From trials to the parts of the record: everything that can be computed from them is, nothing is carried along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ilora_diag.bisect.confidence import assess, sufficiency
from ilora_diag.bisect.evidence import Seen, adjacent_pair, is_steady, num_untested, runs_of, smallest_pass
from ilora_diag.bisect.found import Found, SearchOptions, State
from ilora_diag.bisect.guarantees import guarantees
from ilora_diag.bisect.learned import effects, fixes, ruled_out, side_effects, still_open
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.schema.bisect import Boundary, Cause, CauseFactor, Factor, Outcome, Reproduction, Step
from ilora_diag.schema.finding import Confidence

SEARCHED = (
    Outcome.CAUSE_FOUND,
    Outcome.SUSPECTS,
    Outcome.OUTSIDE_FACTORS,
    Outcome.BUDGET_SPENT,
    Outcome.INTERRUPTED,
)
"""Outcomes after which something can be said of the factors."""

STOPPED = (Outcome.BUDGET_SPENT, Outcome.INTERRUPTED)
"""Outcomes whose best so far is what passed with the fewest factors relaxed."""


def assemble(
    seen: Sequence[Seen], steps: tuple[Step, ...], factors: tuple[Factor, ...], state: State, options: SearchOptions
) -> Found:
    """What a search found, or had found when it was stopped."""
    by_name = {factor.name: factor for factor in factors}
    outcome = _outcome(seen, by_name, state)
    is_found = outcome is Outcome.CAUSE_FOUND
    repair = smallest_pass(seen) if outcome in STOPPED else state.repair
    cause = _cause(seen, factors, repair) if is_found else None
    settled = set(repair) if is_found else set(state.suspects)
    by_groups = outcome is Outcome.SUSPECTS
    excluded = ruled_out(seen, factors, settled, by_groups=by_groups) if outcome in SEARCHED else ()
    settled = {one.factor for one in excluded} | (settled if is_found else set())
    open_ = still_open(seen, factors, settled, passing=repair, suspects=state.suspects) if outcome in SEARCHED else ()
    boundary = _boundary(seen, by_name, repair, state.last) if is_found else None
    base = runs_of(seen, {})
    return Found(
        outcome=outcome,
        cause=cause,
        boundary=boundary,
        ruled_out=excluded,
        side_effects=side_effects(seen),
        effects=effects(seen, factors),
        unsure=open_,
        suspects=state.suspects,
        fixes=fixes(seen, factors, repair, num_passes=1 if is_steady(seen) else state.pass_repeats),
        reproduction=Reproduction(
            num_runs=len(base),
            num_failed=sum(one.verdict is Verdict.SAME for one in base),
            alpha=options.alpha,
            pass_repeats=state.pass_repeats,
        ),
        guarantees=guarantees(
            outcome,
            seen,
            factors,
            repair=repair if is_found else {},
            last="" if boundary is None else boundary.factor,
            alpha=options.alpha,
            pass_repeats=state.pass_repeats,
            num_suspects=len(state.suspects),
        ),
        num_untested=num_untested(seen, factors),
        steps=steps,
    )


def _outcome(seen: Sequence[Seen], factors: Mapping[str, Factor], state: State) -> Outcome:
    """A search that was stopped has found the cause if all that was missing are repeats."""
    outcome = state.outcome or state.stopped
    assert outcome is not None, "a search ends by an outcome or by being stopped"
    if state.stopped is None or outcome is not Outcome.CAUSE_FOUND:
        return outcome
    is_proven = assess(seen, factors, state.repair).confidence is not Confidence.HYPOTHESIS
    return outcome if is_proven and state.stopped is Outcome.BUDGET_SPENT else state.stopped


def _cause(seen: Sequence[Seen], factors: Sequence[Factor], repair: Mapping[str, int]) -> Cause:
    by_name = {factor.name: factor for factor in factors}
    judged = assess(seen, by_name, repair)
    members = tuple(
        CauseFactor(
            name=name,
            failing=by_name[name].levels[0].name,
            passing=by_name[name].levels[level].name,
            failing_level=0,
            passing_level=level,
        )
        for name, level in repair.items()
    )
    return Cause(
        factors=members,
        category=by_name[members[0].name].category,
        confidence=judged.confidence,
        reasons=judged.reasons,
        is_sufficient=sufficiency(seen, factors, repair),
    )


def _boundary(
    seen: Sequence[Seen], factors: Mapping[str, Factor], repair: Mapping[str, int], last: str
) -> Boundary | None:
    pair = adjacent_pair(seen, factors, repair, last, exact=True)
    if pair is None:
        return None
    return Boundary(
        factor=last, fail=pair.fail, pass_=pair.pass_, failing_level=pair.failing_level, passing_level=repair[last]
    )
