"""In which order factors are tried: what mends a defect before what turns a capacity knob, likely before unlikely."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ilora_diag.bisect.costs import COSTS
from ilora_diag.schema.bisect import Factor, FactorScope

_OUTSIDE = (FactorScope.ENVIRONMENT, FactorScope.DEVICE)
_ORDINARY_S = 10.0  # a trial; what a factor costs on top counts in proportion


def cost_weight(word: str) -> float:
    """Weight of a word of costs; one that is unknown counts as the dearest."""
    return COSTS.get(word, max(COSTS.values()))


def ranked(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """Factors in the order of trials.

    What surrounds the program (environment, card, other processes) comes first where its relaxation costs the training
    nothing: it invalidates everything else, and it is quickly tried. Within the two groups: prior by cost of the
    mildest level, a dear trial last. Ties keep the registry's order.
    """
    return tuple(sorted(factors, key=_key))


def _key(factor: Factor) -> tuple[bool, float]:
    weight = cost_weight(factor.levels[-1].cost)
    comes_first = factor.scope in _OUTSIDE and weight <= COSTS["somebody_elses"]
    return not comes_first, -factor.prior / (weight * (1.0 + factor.seconds / _ORDINARY_S))


def levels_by_cost(factor: Factor) -> tuple[int, ...]:
    """Levels of a factor but the failing one, the cheapest first."""
    return tuple(
        sorted(range(1, len(factor.levels)), key=lambda level: (cost_weight(factor.levels[level].cost), level))
    )


def mendable(factors: Sequence[Factor], repair: Collection[str]) -> frozenset[str]:
    """The factors outside a repair whose relaxation leaves the training what it is: a defect mended, room made.

    With these relaxed and the repair at its failing levels, the failure has to stay if the repair is the whole cause.
    Capacity knobs tell nothing there: a training that is small enough fits whatever the cause was. Nor do mitigations,
    which are not relaxed but taken back.
    """
    return frozenset(
        factor.name
        for factor in factors
        if factor.name not in repair
        and not factor.is_mitigation
        and cost_weight(factor.levels[-1].cost) <= COSTS["little_slower"]
    )
