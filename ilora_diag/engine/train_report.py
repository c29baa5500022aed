"""From a run folder to its report: what the log, the journal and the configuration tell, put together and redacted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ilora_diag.engine.events import RUNLOG_NAME
from ilora_diag.engine.journal import JOURNAL_NAME, JournalError, read_journal
from ilora_diag.engine.redact import Identity, map_leaves, redact
from ilora_diag.engine.runlog import read_train_run
from ilora_diag.engine.trials import train_metrics
from ilora_diag.schema import (
    Intent,
    Known,
    Metric,
    Report,
    Settings,
    Skipped,
    Status,
    TrainerEnvironment,
    TrainRun,
    TrainState,
    Trial,
    Unavailable,
)

_NO_FACTS = Unavailable(reason="train records the trainer's environment only", source="ilora-diag train")
_NULL_DEVICE = re.compile(r"device of the \w+ event is null")
_NO_CUDA = "the run used no CUDA device"
_UNOBSERVED = "no observer recorded how it ended; judged by the run log"
_STATUS_BY_LOG = {
    TrainState.FINISHED: Status.OK,
    TrainState.INTERRUPTED: Status.INTERRUPTED,
    TrainState.FAILED: Status.CRASHED,
    TrainState.CUT_OFF: Status.CRASHED,
}
_WINDOW_SHARE, _WINDOW_LIMIT = 10, 20  # loss is averaged over a tenth of the steps, but not over more than this


def build_report(folder: Path, *, now: float, tool_version: str, identity: Identity) -> Report:
    """The report of the training a run folder holds, whatever state it is in.

    Args:
        folder: the run folder.
        now: seconds since the epoch.
        tool_version: of ilora-diag.
        identity: what to redact.

    Raises:
        RunFolderError: there is no such folder.
    """
    run = _as_found(read_train_run(folder), folder)
    trials, skipped = _trials(folder, run)
    report = Report(
        run_id=run.run_id,
        kind="train",
        created_at=now,
        tool_version=tool_version,
        facts=_NO_FACTS,
        trials=(*trials[:-1], _with_loss(trials[-1], run)),
        train=run,
        skipped=skipped,
    )
    return redact(_told_of_device(report), identity)


def loss_change(run: TrainRun) -> tuple[Metric, ...]:
    """Mean loss over the first and over the last logged steps, and how many those are."""
    steps = () if isinstance(run.steps, Unavailable) else run.steps
    losses = [step.loss for step in steps if not isinstance(step.loss, Unavailable)]
    if not losses:
        return ()
    window = min(max(1, len(losses) // _WINDOW_SHARE), _WINDOW_LIMIT)
    return (
        Metric(name="loss_window", value=window, unit="1"),
        Metric(name="loss_first_mean", value=sum(losses[:window]) / window, unit="1"),
        Metric(name="loss_last_mean", value=sum(losses[-window:]) / window, unit="1"),
    )


def _with_loss(trial: Trial, run: TrainRun) -> Trial:
    return replace(trial, metrics=(*trial.metrics, *loss_change(run)))


def _trials(folder: Path, run: TrainRun) -> tuple[tuple[Trial, ...], tuple[Skipped, ...]]:
    """Every attempt in order of its announcement; one at least, for the run log is of one."""
    try:
        content = read_journal(folder / JOURNAL_NAME)
    except FileNotFoundError:
        return (_by_log(None, run),), (Skipped(what=JOURNAL_NAME, reason="there is no journal"),)
    except (JournalError, OSError) as error:
        return (_by_log(None, run),), (Skipped(what=JOURNAL_NAME, reason=str(error)),)
    ended = {trial.id: trial for trial in content.trials}
    newest = content.intents[-1:]
    trials = [
        ended.get(intent.id) or (_by_log(intent, run) if intent in newest else _cut_off(intent))
        for intent in content.intents
    ]
    return tuple(trials) or (_by_log(None, run),), ()


def _by_log(intent: Intent | None, run: TrainRun) -> Trial:
    """A trial for the attempt whose end nobody journaled."""
    unknown = Unavailable(reason=_UNOBSERVED, source=JOURNAL_NAME)
    started = 0.0 if isinstance(run.started_at, Unavailable) else run.started_at
    return Trial(
        id=intent.id if intent else "T-01",
        probe="train",
        requested=intent.requested if intent else (),
        effective=run.effective,
        status=_STATUS_BY_LOG[run.outcome.state],
        started_at=intent.started_at if intent else started,
        seconds=unknown,
        reason=_UNOBSERVED,
        metrics=train_metrics(run, unknown),
        journal=RUNLOG_NAME,
    )


def _cut_off(intent: Intent) -> Trial:
    """An earlier attempt whose observer did not live to see its end."""
    unknown = Unavailable(reason="its observer recorded no end", source=JOURNAL_NAME)
    return Trial(
        id=intent.id, probe=intent.probe, requested=intent.requested, effective=unknown, status=Status.CRASHED,
        started_at=intent.started_at, seconds=unknown, reason=unknown.reason,
    )  # fmt: skip


def _as_found(run: TrainRun, folder: Path) -> TrainRun:
    """The run without the checkpoints that were removed to make room, and with what `auto` came to."""
    kept = tuple(checkpoint for checkpoint in run.checkpoints if (folder / checkpoint.path).exists())
    return replace(run, checkpoints=kept, effective=_resolved(run))


def _resolved(run: TrainRun) -> Known[Settings]:
    if isinstance(run.effective, Unavailable) or isinstance(run.environment, Unavailable):
        return run.effective
    settings = dict(run.effective)
    if not isinstance(run.environment.precision_effective, Unavailable):
        settings["train.precision"] = run.environment.precision_effective
    if not isinstance(run.environment.device, Unavailable):
        settings["--device"] = run.environment.device
    return tuple(settings.items())


def _told_of_device(report: Report) -> Report:
    """On a CPU, device memory is missing because there is no device, which says more than a null in the log."""
    environment = report.train.environment if report.train else None
    if not isinstance(environment, TrainerEnvironment) or environment.device != "cpu":
        return report

    def explain(unknown: Unavailable) -> Unavailable:
        return replace(unknown, reason=_NO_CUDA) if _NULL_DEVICE.fullmatch(unknown.reason) else unknown

    return map_leaves(report, Unavailable, explain)
