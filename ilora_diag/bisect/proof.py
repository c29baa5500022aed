"""What makes a repair a cause: it was needed, its boundary was run, it holds, and nothing drifted meanwhile."""

from __future__ import annotations

from ilora_diag.bisect.evidence import evidence_of_ledger, needed
from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.ledger import Ledger, without
from ilora_diag.bisect.levels import Settled, settle_levels
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.order import mendable
from ilora_diag.bisect.preflight import BASE, Reference
from ilora_diag.schema.bisect import Purpose


def settle(ledger: Ledger, repair: dict[str, int]) -> Settled:
    """Levels of a repair, and trials that show that each factor is needed; one that turns out not to be is dropped."""
    while True:
        settled = settle_levels(ledger, repair)
        extra = next((name for name in settled.repair if _passes_without(ledger, settled.repair, name)), None)
        if extra is None:
            return settled
        repair = without(settled.repair, extra)


def _passes_without(ledger: Ledger, repair: dict[str, int], name: str) -> bool:
    rest = without(repair, name)
    if not rest or needed(evidence_of_ledger(ledger), ledger.factors, repair, name) is not None:
        return False
    return ledger.ask(rest, Purpose.CERTIFICATE) is Verdict.PASS


def control(ledger: Ledger, num: int) -> None:
    """Run the unchanged configuration again: did the failure itself drift?"""
    for _ in range(num):
        ledger.run(BASE, Purpose.CONTROL)


def check_sufficient(ledger: Ledger, reference: Reference, repair: dict[str, int]) -> None:
    """Everything mended that leaves the training what it is, but the factors of the repair."""
    names = mendable(tuple(ledger.factors.values()), repair)
    others = {name: level for name, level in reference.levels.items() if name in names}
    if names and set(others) == names:
        ledger.ask(others, Purpose.SUFFICIENT)


def confirm(ledger: Ledger, repair: dict[str, int], options: SearchOptions) -> None:
    """Run the fix again in fresh processes, then the last controls."""
    for _ in range(options.final_repeats):
        ledger.run(repair, Purpose.FINAL)
    control(ledger, options.controls - options.controls // 2)
