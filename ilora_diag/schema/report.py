"""Report: the only thing a renderer sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.finding import Finding
from ilora_diag.schema.known import Known, require_unique
from ilora_diag.schema.timeline import MemoryTimeline
from ilora_diag.schema.train_run import TrainRun
from ilora_diag.schema.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that was not measured or not judged, and why: absence is never silence."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One investigation or one training, complete, in no language.

    Attributes:
        run_id: name of the run folder.
        kind: the command that made it: `train`, `env-check`, `bisect-oom`.
        created_at: seconds since the epoch.
        tool_version: of ilora-diag.
        facts, trials, findings, timelines, train: the evidence; trial ids stand once.
        skipped: what is missing, with reasons.
    """

    SCHEMA: ClassVar[str] = "report"

    run_id: str
    kind: str
    created_at: float
    tool_version: str
    facts: Known[Facts]
    trials: tuple[Trial, ...] = ()
    findings: tuple[Finding, ...] = ()
    timelines: tuple[MemoryTimeline, ...] = ()
    train: TrainRun | None = None
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        require(bool(self.run_id), "a report has a run id")
        require(bool(self.kind), "a report has a kind")
        require_unique("trial", tuple(trial.id for trial in self.trials))
