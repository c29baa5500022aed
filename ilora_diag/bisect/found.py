"""What a search is asked for, and what it comes back with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ilora_diag.schema.bisect import (
    Boundary,
    Cause,
    Effect,
    Fix,
    Guarantee,
    Outcome,
    Reproduction,
    RuledOut,
    SideEffect,
    Step,
)
from ilora_diag.schema.errors import require
from ilora_diag.schema.report import Skipped

Mode = Literal["fast", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How thorough a search is.

    Attributes:
        mode: `fast` asks of groups of factors; `full` tries every factor alone first.
        alpha: probability of a wrong conclusion that repeats are chosen for.
        repeats: runs of the unchanged configuration before anything else.
        flaky_repeats: runs of the unchanged configuration, in all, to estimate how often it fails, once it is known
            not to fail every time.
        lowest_rate: of failures; below it the search refuses.
        max_pass_repeats: the most passes that are asked for before a flaky failure counts as gone.
        final_repeats: fresh runs of the fix at the end.
        controls: runs of the unchanged configuration after the repeats, the first in the middle, the others at the end.
    """

    mode: Mode = "fast"
    alpha: float = 0.05
    repeats: int = 3
    flaky_repeats: int = 10
    lowest_rate: float = 0.3
    max_pass_repeats: int = 20
    final_repeats: int = 3
    controls: int = 2

    def __post_init__(self) -> None:
        require(self.mode in ("fast", "full"), f"mode is fast or full, got {self.mode}")
        require(0 < self.alpha < 1, f"0 < alpha < 1, got {self.alpha}")
        require(self.repeats >= 1, f"repeats >= 1, got {self.repeats}")
        require(0 < self.lowest_rate < 1, f"0 < lowest_rate < 1, got {self.lowest_rate}")
        require(self.max_pass_repeats >= 1, f"max_pass_repeats >= 1, got {self.max_pass_repeats}")
        counts = (self.flaky_repeats, self.final_repeats, self.controls)
        require(min(counts) >= 0, "repeats and controls are not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found, in the records of a Bisect; every trial it names stands in `steps`.

    Attributes:
        outcome: how it ended.
        cause: set with the outcome CAUSE_FOUND alone; its category is that of the first factor.
        boundary: of the factor of the cause that was examined last, so that everything else stands as in the fix.
        ruled_out, side_effects, effects: what was learned on the way.
        unsure: neither cause nor ruled out, each with a reason of `words.UNSURE`, trial ids behind a colon.
        suspects: of the outcome SUSPECTS: the cause is among them.
        fixes: executed and passed, cheapest first.
        reproduction: of the failure.
        guarantees: what holds.
        num_untested: combinations of levels that were not run, exactly.
        steps: the trials in order.
    """

    outcome: Outcome
    cause: Cause | None = None
    boundary: Boundary | None = None
    ruled_out: tuple[RuledOut, ...] = ()
    side_effects: tuple[SideEffect, ...] = ()
    effects: tuple[Effect, ...] = ()
    unsure: tuple[Skipped, ...] = ()
    suspects: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    reproduction: Reproduction
    guarantees: tuple[Guarantee, ...] = ()
    num_untested: int
    steps: tuple[Step, ...] = ()


@dataclass(slots=True, kw_only=True)
class State:
    """How far a search has come: what is left of it where it is stopped.

    Attributes:
        pass_repeats: passes in a row that count as one.
        outcome: None while it is open.
        stopped: BUDGET_SPENT or INTERRUPTED.
        repair: factor -> level, passed; the cause with the outcome CAUSE_FOUND, otherwise the best so far.
        last: the factor whose boundary was shown last.
        suspects: of the outcome SUSPECTS.
    """

    pass_repeats: int
    outcome: Outcome | None = None
    stopped: Outcome | None = None
    repair: dict[str, int] = field(default_factory=dict)
    last: str = ""
    suspects: tuple[str, ...] = ()
