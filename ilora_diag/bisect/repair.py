"""The repair set: factors whose relaxation together makes the failure go away, none of which can be left out."""

from __future__ import annotations

from collections.abc import Sequence

from ilora_diag.bisect.evidence import levels_to_rule_out
from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.ledger import Ledger, without
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.preflight import Reference
from ilora_diag.bisect.quickxplain import quickxplain
from ilora_diag.schema.bisect import Purpose


def find_repair(ledger: Ledger, reference: Reference, options: SearchOptions) -> dict[str, int]:
    """Factors and levels that pass together, in the order of trials; each is needed, unless a trial says neither."""
    levels = reference.levels
    if options.mode == "full":
        alone = _effects(ledger, levels)
        if alone:
            return alone

    def is_enough(names: Sequence[str]) -> bool:
        return ledger.ask({name: levels[name] for name in names}, Purpose.REPAIR) is Verdict.PASS

    members = quickxplain(tuple(levels), is_enough, lambda name: ledger.factors[name].prior)
    return _trim(ledger, {name: levels[name] for name in members})


def _effects(ledger: Ledger, levels: dict[str, int]) -> dict[str, int]:
    """Try every factor alone, the first that passes is returned; unordered ones at every level."""
    first: dict[str, int] = {}
    for name, factor in ledger.factors.items():
        for level in sorted(levels_to_rule_out(factor)):
            ledger.ask({name: level}, Purpose.EFFECT)
    for name, level in levels.items():
        factor = ledger.factors[name]
        passing = [at for at in range(1, len(factor.levels)) if _passed(ledger, {name: at})]
        if passing and not first:
            first = {name: level if level in passing else passing[-1]}
    return first


def _passed(ledger: Ledger, relaxed: dict[str, int]) -> bool:
    return bool(ledger.runs(relaxed)) and ledger.verdict(relaxed) is Verdict.PASS


def _trim(ledger: Ledger, repair: dict[str, int]) -> dict[str, int]:
    """Leave out what is not needed after all, where answers in between misled (a "?" in a group)."""
    for name in reversed(tuple(repair)):
        rest = without(repair, name)
        if rest and ledger.ask(rest, Purpose.CERTIFICATE) is Verdict.PASS:
            return _trim(ledger, rest)
    return repair
