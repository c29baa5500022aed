"""The search: from a failing configuration and its factors to a cause that trials have shown."""

from __future__ import annotations

from collections.abc import Sequence

from ilora_diag.bisect.found import Found, Mode, SearchOptions
from ilora_diag.bisect.oracle import Oracle
from ilora_diag.schema.bisect import Factor

__all__ = ["Found", "Mode", "SearchOptions", "search"]


def search(factors: Sequence[Factor], oracle: Oracle, options: SearchOptions) -> Found:
    """Find the cause. Comes back with the best it has when the oracle raises BudgetSpent or Interrupted."""
    raise NotImplementedError
