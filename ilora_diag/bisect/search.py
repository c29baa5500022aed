"""The search: from a failing configuration and its factors to a cause that trials have shown."""

from __future__ import annotations

from collections.abc import Sequence

from ilora_diag.bisect.assemble import assemble
from ilora_diag.bisect.evidence import evidence_of_ledger
from ilora_diag.bisect.flaky import find_suspects
from ilora_diag.bisect.found import Found, Mode, SearchOptions, State
from ilora_diag.bisect.ledger import Ledger, Unsteady
from ilora_diag.bisect.oracle import BudgetSpent, Interrupted, Oracle
from ilora_diag.bisect.preflight import find_reference, reproduce
from ilora_diag.bisect.proof import check_sufficient, confirm, control, settle
from ilora_diag.bisect.repair import find_repair
from ilora_diag.schema.bisect import Factor, Outcome
from ilora_diag.schema.known import require_unique

__all__ = ["Found", "Mode", "SearchOptions", "search"]


def search(factors: Sequence[Factor], oracle: Oracle, options: SearchOptions) -> Found:
    """Find the cause.

    A failure that turns out to come and go, before or during the search, is searched in the direction that chance
    cannot mislead. Comes back with the best it has when the oracle raises BudgetSpent or Interrupted.

    Raises:
        LawError: a factor was given twice.
    """
    require_unique("factor", tuple(factor.name for factor in factors))
    ledger, state = Ledger(factors, oracle), State(pass_repeats=options.final_repeats)
    try:
        try:
            _steady(ledger, state, options)
        except Unsteady:
            _unsteady(ledger, state, options)
    except BudgetSpent:
        state.stopped = Outcome.BUDGET_SPENT
    except Interrupted:
        state.stopped = Outcome.INTERRUPTED
    return assemble(evidence_of_ledger(ledger), tuple(ledger.steps), tuple(factors), state, options)


def _steady(ledger: Ledger, state: State, options: SearchOptions) -> None:
    """Raises Unsteady as soon as the same settings passed and failed."""
    state.outcome = reproduce(ledger, options)
    if state.outcome is not None:
        return
    reference = find_reference(ledger)
    if reference is None:
        state.outcome = Outcome.OUTSIDE_FACTORS
        return
    state.repair = dict(reference.levels)
    state.repair = find_repair(ledger, reference, options)
    control(ledger, options.controls // 2)
    settled = settle(ledger, state.repair)
    state.repair, state.last, state.outcome = settled.repair, settled.last, Outcome.CAUSE_FOUND
    check_sufficient(ledger, reference, state.repair)
    confirm(ledger, state.repair, options)


def _unsteady(ledger: Ledger, state: State, options: SearchOptions) -> None:
    state.repair, state.last, state.outcome = {}, "", None
    suspects = find_suspects(ledger, options)
    state.outcome, state.suspects, state.pass_repeats = suspects.outcome, suspects.names, suspects.pass_repeats
    state.repair = suspects.repair
