"""How far each factor of a repair has to be relaxed, shown by two trials that differ by one level."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ilora_diag.bisect.evidence import adjacent_pair, evidence_of_ledger, order_holds
from ilora_diag.bisect.ledger import Ledger
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.order import levels_by_cost
from ilora_diag.schema.bisect import FactorKind, Purpose

_NARROW = 3
"""So many factors together leave a narrow margin: the level next to the mildest is asked of first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A repair with its levels.

    Attributes:
        repair: factor -> level; passes.
        last: the factor examined last: its neighbours were tried with everything else as in `repair`.
    """

    repair: dict[str, int]
    last: str


def settle_levels(ledger: Ledger, repair: dict[str, int]) -> Settled:
    """Take back as much of each factor as passes; the most likely of those with several levels comes last."""
    several = [name for name in repair if len(ledger.factors[name].levels) > 2]
    last = several[0] if several else next(iter(repair))
    now = dict(repair)
    for name in (*reversed([name for name in several if name != last]), last):
        if ledger.factors[name].kind is FactorKind.UNORDERED:
            _cheapest(ledger, now, name)
        else:
            _least(ledger, now, name)
    if not _probe_sides(ledger, now, last):
        _scan(ledger, now, last)
    _show_failing_side(ledger, now, last)
    return Settled(repair=now, last=last)


def _cheapest(ledger: Ledger, now: dict[str, int], name: str) -> None:
    """Try the levels that cost less than the one that passes, cheapest first."""
    for level in levels_by_cost(ledger.factors[name]):
        if level == now[name] or ledger.ask({**now, name: level}, Purpose.LEVEL) is Verdict.PASS:
            now[name] = level
            return


def _least(ledger: Ledger, now: dict[str, int], name: str) -> None:
    """Halve between a level that fails and one that passes; a level that does neither is passed over."""
    low, high = 0, now[name]
    passed_over: set[int] = set()
    while between := [level for level in range(low + 1, high) if level not in passed_over]:
        level = between[-1] if len(now) >= _NARROW else between[(len(between) - 1) // 2]
        verdict = ledger.ask({**now, name: level}, Purpose.LEVEL)
        if verdict is Verdict.PASS:
            high = level
        elif verdict is Verdict.SAME:
            low = level
        else:
            passed_over.add(level)
    now[name] = high


def _probe_sides(ledger: Ledger, now: dict[str, int], name: str) -> bool:
    """One trial beyond each side of the boundary; whether the order held. True for a factor that has none."""
    factor = ledger.factors[name]
    if factor.kind is FactorKind.UNORDERED:
        return True
    at = now[name]
    if at < factor.mildest:
        ledger.ask({**now, name: at + 1}, Purpose.MONOTONE)
    if at >= 3:
        ledger.ask({**now, name: at - 2}, Purpose.MONOTONE)
    order = order_holds(evidence_of_ledger(ledger), factor, now)
    return order is None or order[0]


def _scan(ledger: Ledger, now: dict[str, int], name: str) -> None:
    """No order to rely on: try every level, and take the first that passes next to one that fails."""
    verdicts = [ledger.ask({**now, name: level}, Purpose.LEVEL) for level in range(len(ledger.factors[name].levels))]
    told = [level for level, verdict in enumerate(verdicts) if verdict is not Verdict.OTHER]
    for below, level in pairwise(told):
        if verdicts[below] is Verdict.SAME and verdicts[level] is Verdict.PASS:
            now[name] = level
            return


def _show_failing_side(ledger: Ledger, now: dict[str, int], last: str) -> None:
    """Run what stands next to each level that passes, where it was only concluded so far to fail.

    The last factor is shown with the others as in the repair; the others may have been shown with more relaxed.
    """
    for name in now:
        factor = ledger.factors[name]
        if name == last or adjacent_pair(evidence_of_ledger(ledger), ledger.factors, now, name, exact=False) is None:
            unordered = factor.kind is FactorKind.UNORDERED
            for level in (0,) if unordered else range(now[name] - 1, -1, -1):
                if ledger.ask({**now, name: level}, Purpose.LEVEL) is not Verdict.OTHER:
                    break
