"""What trials say beside the cause: effects of factors, what they rule out, side effects, fixes, what is left."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ilora_diag.bisect.evidence import Seen, fails_with, first, levels_to_rule_out, runs_of, tried_alone
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.order import cost_weight
from ilora_diag.bisect.words import unsure
from ilora_diag.schema.bisect import Effect, Factor, Fix, RuledOut, SideEffect
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.report import Skipped

TOGETHER = " + "
"""Between the names of factors that were relaxed together."""
_SHOWN = 3  # trials that a reason names


def effects(seen: Sequence[Seen], factors: Sequence[Factor]) -> tuple[Effect, ...]:
    """Every factor that was relaxed alone, at each level that was tried, in the registry's order."""
    base = first(seen, {}, Verdict.SAME)
    found = []
    for factor in factors:
        for level in range(1, len(factor.levels)):
            runs = runs_of(seen, {factor.name: level})
            if runs:
                one = runs[0]
                peak, delta = one.peak_reserved_bytes, _delta(one, base)
                found.append(
                    Effect(
                        factor=factor.name, level=level, trial=one.trial, peak_reserved_bytes=peak, delta_bytes=delta
                    )
                )
    return tuple(found)


def _delta(one: Seen, base: Seen | None) -> Known[int]:
    """Against what the failing run had reserved when it failed, so that a fall is at least as large as told."""
    if one.verdict is not Verdict.PASS:
        return Unavailable(reason="it failed before its peak", source=one.trial)
    if base is None:
        return Unavailable(reason="the unchanged configuration did not fail")
    for run in (one, base):
        if isinstance(run.peak_reserved_bytes, Unavailable):
            return run.peak_reserved_bytes
    assert not isinstance(one.peak_reserved_bytes, Unavailable)
    assert not isinstance(base.peak_reserved_bytes, Unavailable)
    return one.peak_reserved_bytes - base.peak_reserved_bytes


def ruled_out(
    seen: Sequence[Seen], factors: Sequence[Factor], cause: Collection[str], *, by_groups: bool = False
) -> tuple[RuledOut, ...]:
    """Factors that changed nothing: relaxed alone, at every level that counts.

    Args:
        seen: the trials.
        factors: in the registry's order.
        cause: factors that are part of it, or suspects.
        by_groups: a failure with the factor and others relaxed counts as well: the search minimised what stands at
            its failing level.
    """
    found = []
    for factor in factors:
        if factor.name in cause:
            continue
        same = [one for one in tried_alone(seen, factor.name) if one.verdict is Verdict.SAME]
        levels = {one.relaxed[factor.name] for one in same}
        passed = any(one.verdict is Verdict.PASS for one in tried_alone(seen, factor.name))
        if levels >= levels_to_rule_out(factor) and not passed:
            found.append(RuledOut(factor=factor.name, trials=tuple(one.trial for one in same)))
        elif by_groups:
            most = max(fails_with(seen, factor.name), key=lambda one: len(one.relaxed), default=None)
            if most is not None:
                found.append(RuledOut(factor=factor.name, trials=(most.trial,)))
    return tuple(found)


def side_effects(seen: Sequence[Seen]) -> tuple[SideEffect, ...]:
    """Relaxations that failed in another way, each set of settings once."""
    found: dict[tuple[tuple[str, int], ...], SideEffect] = {}
    for one in seen:
        if one.verdict is Verdict.OTHER and one.relaxed:
            names = TOGETHER.join(one.relaxed)
            effect = SideEffect(factor=names, trial=one.trial, signature=one.signature, text=one.text)
            found.setdefault(tuple(one.relaxed.items()), effect)
    return tuple(found.values())


def still_open(
    seen: Sequence[Seen],
    factors: Sequence[Factor],
    settled: Collection[str],
    *,
    passing: Collection[str],
    suspects: Collection[str],
) -> tuple[Skipped, ...]:
    """Factors that are neither cause nor ruled out, and why.

    Args:
        seen: the trials.
        factors: in the registry's order.
        settled: cause and what is ruled out.
        passing: factors of a set that passed and was not reduced to the end.
        suspects: of the outcome SUSPECTS.
    """
    found = []
    for factor in factors:
        if factor.name in suspects:
            found.append(Skipped(what=factor.name, reason=unsure("suspect")))
        elif factor.name not in settled:
            found.append(Skipped(what=factor.name, reason=_why_open(seen, factor, factor.name in passing)))
    return tuple(found)


def _why_open(seen: Sequence[Seen], factor: Factor, in_passing_set: bool) -> str:
    alone = tried_alone(seen, factor.name)
    for word, verdict in (("also_passes", Verdict.PASS), ("other_failure", Verdict.OTHER)):
        trials = tuple(one.trial for one in alone if one.verdict is verdict)
        if trials:
            return unsure(word, trials[:_SHOWN])
    if alone:
        return unsure("not_every_level", tuple(one.trial for one in alone)[:_SHOWN])
    if in_passing_set:
        return unsure("in_passing_set")
    together = sorted(fails_with(seen, factor.name), key=lambda one: len(one.relaxed))
    if together:
        return unsure("no_help_with_others", tuple(one.trial for one in together)[:_SHOWN])
    return unsure("not_tried_alone")


def fixes(
    seen: Sequence[Seen], factors: Sequence[Factor], repair: Mapping[str, int], *, num_passes: int
) -> tuple[Fix, ...]:
    """The repair, and each other factor that passes alone, at the least level that does; cheapest first.

    Args:
        seen: the trials.
        factors: in the registry's order.
        repair: factor -> level that passed, as the search left it; may be empty.
        num_passes: so many runs have to have passed, and none failed.
    """
    by_name = {factor.name: factor for factor in factors}
    settings = [dict(repair)] if repair else []
    for factor in factors:
        passing = [one.relaxed for one in tried_alone(seen, factor.name) if one.verdict is Verdict.PASS]
        if passing and set(repair) != {factor.name}:
            settings.append(dict(min(passing, key=lambda levels: levels[factor.name])))
    made = [(cost_of(by_name, levels), _fix(seen, by_name, levels)) for levels in settings]
    return tuple(
        fix for _, fix in sorted(made, key=lambda pair: cost_weight(pair[0])) if len(fix.verified_by) >= num_passes
    )


def cost_of(factors: Mapping[str, Factor], levels: Mapping[str, int]) -> str:
    """The dearest word among what several levels cost."""
    return max((factors[name].levels[level].cost for name, level in levels.items()), key=cost_weight)


def change_of(factors: Mapping[str, Factor], levels: Mapping[str, int]) -> str:
    """What one types or does for several levels."""
    return " and ".join(factors[name].levels[level].change for name, level in levels.items())


def _fix(seen: Sequence[Seen], factors: Mapping[str, Factor], levels: Mapping[str, int]) -> Fix:
    runs = runs_of(seen, levels)
    failed = any(one.verdict is Verdict.SAME for one in runs)
    passed = tuple(one.trial for one in runs if one.verdict is Verdict.PASS)
    return Fix(
        change=change_of(factors, levels),
        cost=cost_of(factors, levels),
        verified_by=() if failed else passed,
        headroom_bytes=Unavailable(reason="the search does not know the card"),
    )
