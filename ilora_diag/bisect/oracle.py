"""The seam between the search and whatever runs trials: a question, a three-valued answer, two ways to be stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from ilora_diag.schema.bisect import Purpose
from ilora_diag.schema.known import Known
from ilora_diag.schema.trial import FailureSignature, Status

Assignment: TypeAlias = Mapping[str, int]
"""Factor name -> index of its level. A factor that is absent stands at 0, its failing level."""


class Verdict(Enum):
    """What a trial says about the failure under investigation."""

    PASS = "pass"
    SAME = "same"
    OTHER = "other"  # every "?": another signature, refused, timed out, crashed, contaminated. Never a fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One trial, as the search sees it.

    Attributes:
        trial: id in the journal. Trials that repeat the same settings have ids of their own.
        verdict: what it says.
        peak_reserved_bytes: the highest so far where it failed, so a lower bound there.
        signature: of a failure.
        text: the error or the reason, in one line, for side effects.
        reused: the outcome was taken from an earlier run's journal.
    """

    trial: str
    verdict: Verdict
    peak_reserved_bytes: Known[int]
    signature: FailureSignature | None
    text: str = ""
    reused: bool = False


class Oracle(Protocol):
    """Runs trials."""

    def observe(self, relaxed: Assignment, *, purpose: Purpose, fresh: bool) -> Observation:
        """Run one more trial, or take it from a journal; a repeat of the same settings is another trial.

        The first trial of all is the unchanged configuration; its failure defines what SAME means from then on.

        Args:
            relaxed: factors away from their failing level, with the index of the level (never 0).
            purpose: why.
            fresh: in an interpreter of its own.

        Raises:
            BudgetSpent: no further trial is allowed.
            Interrupted: a person asked to stop.
        """
        ...


class BudgetSpent(Exception):  # noqa: N818 - not an error
    """Trials or minutes are used up: the search returns the best it has."""


class Interrupted(Exception):  # noqa: N818 - not an error
    """A person asked to stop: the search returns the best it has, and the run can be resumed."""


_VERDICTS = {Status.OK: Verdict.PASS, Status.SAME: Verdict.SAME}


def verdict_of(status: Status) -> Verdict:
    """What the status of a journalled trial says; everything but OK and SAME is a "?"."""
    return _VERDICTS.get(status, Verdict.OTHER)
