"""`isolate-rec`: each model alone and both together, a trial of the trainer's own code for each combination."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ilora.config import load_config
from ilora_diag.bisect.isolation import conclude
from ilora_diag.engine.bisect.requests import make_requests
from ilora_diag.engine.journal import JOURNAL_NAME, Journal
from ilora_diag.engine.redact import redact, this_identity
from ilora_diag.engine.supervise import Poll
from ilora_diag.engine.trial_run import Ran, TrialRunner, intent_of
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.isolate import IsolateCell, Isolation
from ilora_diag.schema.known import Known, Settings, Unavailable
from ilora_diag.schema.trial import Status, Trial

_DEADLINE_S = 600.0
_STEPS = 3
NO_CHECKPOINT = "rec.checkpoint names no file: the recommender has random weights in every cell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A cell before it was run. A model that is not there has no setting."""

    components: str
    load_order: str = ""
    rec_weights: str = ""

    def settings(self) -> Settings:
        """As `parts.NAME`."""
        parts = (
            ("parts.components", self.components),
            ("parts.load_order", self.load_order),
            ("parts.rec_weights", self.rec_weights),
        )
        return tuple((name, value) for name, value in parts if value)


def combinations(*, has_checkpoint: bool) -> tuple[Combination, ...]:
    """All of them; without a checkpoint there are random weights alone."""
    weights = ("checkpoint", "random") if has_checkpoint else ("random",)
    return (
        Combination(components="llm"),
        *(Combination(components="rec", rec_weights=one) for one in weights),
        *(
            Combination(components="both", load_order=order, rec_weights=one)
            for one in weights
            for order in ("llm_first", "rec_first")
        ),
    )


@dataclass(slots=True, kw_only=True)
class IsolateRun:
    """One isolation. Attributes as of `ilora_diag.engine.place_run.PlaceRun`; `tell` is given the cell's number."""

    request: BisectRequest
    folder: Path
    command: str
    subject: str
    tool_version: str
    tell: Callable[[int, int, Combination, IsolateCell | None], None]
    stop: Poll
    _trials: list[Trial] = field(default_factory=list)

    def run(self) -> Isolation:
        """Run every combination; ends early only where a person asks to stop.

        Raises:
            ConfigError: a key or a value that is not allowed.
            JournalError: another process writes into the folder.
            OSError: the folder cannot be written.
        """
        began, created_at = time.monotonic(), time.time()
        config = load_config(self.request.overrides, file=self.request.config or None)
        has_checkpoint = config.rec.checkpoint is not None
        wanted = combinations(has_checkpoint=has_checkpoint)
        cells: list[IsolateCell] = []
        notes: list[str] = [] if has_checkpoint else [NO_CHECKPOINT]
        with Journal(self.folder / JOURNAL_NAME) as journal, TrialRunner(self.folder) as runner:
            for number, combination in enumerate(wanted, start=1):
                if self.stop():
                    break
                self.tell(number, len(wanted), combination, None)
                ran = self._ran(journal, runner, combination)
                cells.append(cell_of(combination, ran))
                notes += [note for note in ran.notes if note not in notes]
                self.tell(number, len(wanted), combination, cells[-1])
        answer, stage = conclude(tuple(cells) if len(cells) == len(wanted) else ())
        return redact(
            Isolation(
                run_id=self.folder.name,
                created_at=created_at,
                tool_version=self.tool_version,
                command=self.command,
                subject=self.subject,
                device=self.request.device,
                base=self.request.base,
                requested=tuple((text.partition("=")[0], text.partition("=")[2]) for text in self.request.overrides),
                effective=_effective(self._trials),
                answer=answer,
                stage=stage,
                cells=tuple(cells),
                trials=tuple(self._trials),
                notes=tuple(notes),
                duration_s=time.monotonic() - began,
            ),
            this_identity(),
        )

    def _ran(self, journal: Journal, runner: TrialRunner, combination: Combination) -> Ran:
        asked = make_requests(self.request)(combination.settings())
        asked = replace(asked, id=journal.next_id(), steps=self.request.max_steps or _STEPS)
        journal.announce(intent_of(asked, started_at=time.time()))
        deadline = self.request.trial_deadline_s or _DEADLINE_S
        ran = runner.run(asked, fresh=False, deadline_s=deadline, poll=self.stop)
        journal.record(ran.trial)
        self._trials.append(ran.trial)
        return ran


def cell_of(combination: Combination, ran: Ran) -> IsolateCell:
    """A cell, from its trial."""
    trial, answer = ran.trial, ran.answer
    metrics: dict[str, Known[int]] = {}
    for metric in trial.metrics:
        if isinstance(metric.value, (int, Unavailable)) and metric.name.startswith("peak_"):
            metrics[metric.name] = metric.value
    unknown = Unavailable(reason="the trial did not tell it", source="trial")
    stage = trial.signature.stage if trial.signature is not None else ""
    has_failed = answer is not None and answer.error is not None and trial.signature is not None
    text = f"{answer.error.type}: {answer.error.message}" if has_failed else trial.reason  # type: ignore[union-attr]
    return IsolateCell(
        trial=trial.id,
        components=combination.components,
        load_order=combination.load_order,
        rec_weights=combination.rec_weights,
        status=trial.status,
        failed_in="" if trial.status is Status.OK or isinstance(stage, Unavailable) else stage,
        stages=answer.stages if answer is not None else (),
        peak_allocated_bytes=metrics.get("peak_allocated_bytes", unknown),
        peak_reserved_bytes=metrics.get("peak_reserved_bytes", unknown),
        signature=trial.signature or Unavailable(reason="the trial did not fail", source="trial"),
        error_text=text,
    )


def _effective(trials: list[Trial]) -> Known[Settings]:
    for trial in trials:
        if not isinstance(trial.effective, Unavailable):
            return trial.effective
    return Unavailable(reason="no trial told what was in force", source="trial")
