"""Isolation: the language model alone, the recommender alone, both; in which combination it fails."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Settings, require_unique
from ilora_diag.schema.trial import FailureSignature, Status, Trial
from ilora_diag.schema.trial_answer import StageUse


class IsolateAnswer(StrEnum):
    """What the table comes to."""

    NOTHING_FAILS = "nothing_fails"
    RECOMMENDER = "recommender"  # alone it fails, and the language model alone passes
    RECOMMENDER_WEIGHTS = "recommender_weights"  # its checkpoint fails, random weights of the same shapes pass
    LANGUAGE_MODEL = "language_model"  # alone it fails, and the recommender alone passes
    FIRST_TOUCH = "first_touch"  # whichever is put on the device first fails there: neither model
    BOTH_ALONE = "both_alone"  # each fails alone, later or in different ways
    TOGETHER = "together"  # each alone passes, both together fail
    ORDER = "order"  # together they fail in one order of placement, and pass in the other
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolateCell:
    """One combination.

    Attributes:
        trial: id in the journal.
        components: `llm`, `rec` or `both`.
        load_order: `llm_first` or `rec_first`; empty where there is one model only.
        rec_weights: `checkpoint` or `random`; empty without a recommender.
        status: of the trial; OTHER and OOM are failures.
        failed_in: the stage it failed in; empty for a pass.
        stages: seconds and memory of each stage that was begun.
        peak_allocated_bytes, peak_reserved_bytes: of the whole trial.
        signature, error_text: of the failure.
    """

    trial: str
    components: str
    load_order: str
    rec_weights: str
    status: Status
    failed_in: str
    stages: tuple[StageUse, ...]
    peak_allocated_bytes: Known[int]
    peak_reserved_bytes: Known[int]
    signature: Known[FailureSignature]
    error_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The table and its meaning.

    Attributes:
        run_id, created_at, tool_version, command: of the run folder; the command as it would be typed again.
        subject, device, base, requested: what was asked for.
        effective: of the first cell that told it.
        answer: what the cells come to; computed from them alone.
        stage: the stage that the failing cells of the answer share; empty where there is none.
        cells: in the order in which they were run.
        trials: as in the journal, redacted.
        notes: what was assumed, and what was left out.
        duration_s: of all of it.
    """

    SCHEMA: ClassVar[str] = "isolate-rec"

    run_id: str
    created_at: float
    tool_version: str
    command: str
    subject: str
    device: str
    base: Settings
    requested: Settings
    effective: Known[Settings]
    answer: IsolateAnswer
    stage: str
    cells: tuple[IsolateCell, ...]
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()
    duration_s: float

    def __post_init__(self) -> None:
        combinations = tuple(f"{cell.components} {cell.load_order} {cell.rec_weights}" for cell in self.cells)
        require_unique("combination", combinations)
        require(len(self.cells) == len(self.trials), "every cell has its trial")
