"""Before the search: does it fail, does it fail every time in the same way, and is there anything that passes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.ledger import Ledger, Unsteady
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.order import cost_weight, ranked
from ilora_diag.bisect.quickxplain import quickxplain
from ilora_diag.schema.bisect import FactorKind, Outcome, Purpose

BASE: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Settings that pass, within which the search takes place.

    Attributes:
        levels: factor -> the level that counts as relaxed, in the order of trials; together they pass.
        is_mildest: every factor is in it.
    """

    levels: dict[str, int]
    is_mildest: bool


def reproduce(ledger: Ledger, options: SearchOptions) -> Outcome | None:
    """Run the unchanged configuration; None where it fails in the same way every time.

    Raises:
        Unsteady: it fails sometimes.
    """
    for index in range(options.repeats):
        ledger.run(BASE, Purpose.PREFLIGHT_FAIL, fresh=index == 0)
    passed, same = ledger.count(BASE, Verdict.PASS), ledger.count(BASE, Verdict.SAME)
    if same == options.repeats:
        return None
    if same == 0 and passed:
        return Outcome.NOT_REPRODUCED
    if passed == 0 and same < 2:  # one failure that never came back in that way, or none of ours at all
        return Outcome.FAILS_DIFFERENTLY
    raise Unsteady


def find_reference(ledger: Ledger) -> Reference | None:
    """Settings that pass: every factor at its mildest level, or as many of them as run together. None: nothing passes.

    Where that fails in another way (a combination that cannot be), as few factors as possible are left out so that it
    can be, the dearest first, then the cheapest first; then each is tried alone. Where it fails the same, the last
    level of an unordered factor may not be the mildest, and its others are tried in the mildest settings.
    """
    mildest = {factor.name: factor.mildest for factor in ranked(tuple(ledger.factors.values()))}
    verdict = ledger.ask(mildest, Purpose.PREFLIGHT_MILD)
    if verdict is Verdict.PASS:
        return Reference(levels=mildest, is_mildest=True)
    return _other_levels(ledger, mildest) if verdict is Verdict.SAME else _back_off(ledger, mildest)


def _other_levels(ledger: Ledger, mildest: dict[str, int]) -> Reference | None:
    for name, level in mildest.items():
        if ledger.factors[name].kind is not FactorKind.UNORDERED:
            continue
        for other in range(1, level):
            changed = {**mildest, name: other}
            if ledger.ask(changed, Purpose.PREFLIGHT_MILD) is Verdict.PASS:
                return Reference(levels=changed, is_mildest=True)
    return None


def _back_off(ledger: Ledger, mildest: dict[str, int]) -> Reference | None:
    def keep(dropped: Sequence[str]) -> dict[str, int]:
        return {name: level for name, level in mildest.items() if name not in dropped}

    def can_be(dropped: Sequence[str]) -> bool:
        kept = keep(dropped)
        return not kept or ledger.ask(kept, Purpose.PREFLIGHT_MILD) is not Verdict.OTHER

    cheap_first = sorted(mildest, key=lambda name: cost_weight(ledger.factors[name].levels[-1].cost))
    for order in (tuple(reversed(cheap_first)), tuple(cheap_first)):
        kept = keep(quickxplain(order, can_be, lambda name: 1.0))
        if kept and ledger.ask(kept, Purpose.PREFLIGHT_MILD) is Verdict.PASS:
            return Reference(levels=kept, is_mildest=False)
    for name, level in mildest.items():
        if ledger.ask({name: level}, Purpose.EFFECT) is Verdict.PASS:
            return Reference(levels={name: level}, is_mildest=False)
    return None
