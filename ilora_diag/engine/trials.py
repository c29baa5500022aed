"""From a trainer's end, as the runner saw it and as its run log tells it, to a trial."""

from __future__ import annotations

from ilora_diag.engine.outcome import ChildOutcome, ChildStatus
from ilora_diag.engine.signature import signature_of
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.train_run import Step, TrainRun, TrainState
from ilora_diag.schema.trial import OUT_OF_MEMORY, FailureSignature, Intent, Metric, Status, Trial

EXIT_USAGE = 2
"""The trainer's exit code for what a user can mend: configuration, data, files."""

_TAIL_CHARACTERS = 8000


def train_trial(intent: Intent, outcome: ChildOutcome, run: TrainRun, *, journal: str | None = None) -> Trial:
    """The trial of one training.

    Args:
        intent: as announced in the journal.
        outcome: how the process ended.
        run: what its run log tells, read after that.
        journal: the run log's path relative to the run folder.
    """
    status, signature = _judge(outcome, run)
    return Trial(
        id=intent.id,
        probe=intent.probe,
        requested=intent.requested,
        effective=run.effective,
        fingerprint=intent.fingerprint,
        status=status,
        reason=_reason(status, outcome, run),
        signature=signature,
        metrics=train_metrics(run, outcome.peak_rss_bytes),
        started_at=intent.started_at,
        seconds=outcome.seconds,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        stdout_tail=outcome.stdout.text[-_TAIL_CHARACTERS:],
        stderr_tail=outcome.stderr.text[-_TAIL_CHARACTERS:],
        journal=journal,
    )


def train_metrics(run: TrainRun, peak_rss_bytes: Known[int]) -> tuple[Metric, ...]:
    """What a report says of a training in one number each.

    Medians leave the first logged step out where there are more: it pays for warming up.
    """
    steps = () if isinstance(run.steps, Unavailable) else run.steps
    nothing = run.steps if isinstance(run.steps, Unavailable) else Unavailable(reason="no step was logged")
    steady = steps[1:] or steps
    return (
        Metric(name="num_steps", value=steps[-1].step if steps else nothing, unit="1"),
        Metric(name="loss_first", value=steps[0].loss if steps else nothing, unit="1"),
        Metric(name="loss_last", value=steps[-1].loss if steps else nothing, unit="1"),
        Metric(name="step_s_median", value=_median([step.seconds for step in steady], nothing), unit="s"),
        Metric(name="tokens_per_s_median", value=_median([s.tokens_per_s for s in steady], nothing), unit="tokens/s"),
        Metric(name="rss_peak_bytes", value=_peak_rss(run, peak_rss_bytes), unit="bytes"),
        Metric(name="device_peak_allocated_bytes", value=_device_peak(run, steps), unit="bytes"),
    )


def _judge(outcome: ChildOutcome, run: TrainRun) -> tuple[Status, FailureSignature | None]:
    if outcome.status is ChildStatus.NOT_STARTED:
        return Status.SKIPPED, None
    if outcome.exit_code == 0 and run.outcome.state is TrainState.FINISHED:
        return Status.OK, None
    # Before the log is asked: a trainer that saves when its deadline has passed calls itself interrupted.
    if outcome.status in (ChildStatus.TIMED_OUT, ChildStatus.UNKILLABLE):
        return Status.TIMED_OUT, None
    if outcome.status is ChildStatus.STOPPED or run.outcome.state is TrainState.INTERRUPTED:
        return Status.INTERRUPTED, None
    if outcome.exit_code == 0:  # it says that all went well, and its log does not
        return Status.GARBLED, None
    signature = signature_of(_error_text(outcome, run), stage=run.outcome.last_phase, signal=outcome.signal)
    if outcome.exit_code == EXIT_USAGE:
        return Status.INVALID, signature
    told_so = signature.family in OUT_OF_MEMORY and outcome.signal is None
    return Status.OOM if told_so else Status.CRASHED, signature


def _error_text(outcome: ChildOutcome, run: TrainRun) -> str:
    """The exception as the trainer logged it, else the end of its stderr."""
    error = run.outcome.error
    if error is None:
        return outcome.stderr.text
    return error.traceback or f"{error.type}: {error.message}"


def _reason(status: Status, outcome: ChildOutcome, run: TrainRun) -> str:
    error = run.outcome.error
    if status is Status.OK:
        return ""
    if status is Status.GARBLED:
        return f"exit code 0, but the run log ends as {run.outcome.state.value}"
    if error is not None and status not in (Status.INTERRUPTED, Status.TIMED_OUT):
        return f"{error.type}: {error.message}" if error.message else error.type
    if outcome.signal == "SIGKILL" and status is Status.CRASHED:
        return "killed by SIGKILL, most often sent by the kernel when memory runs out; its log (dmesg) would say so"
    return outcome.reason


def _median(values: list[Known[float]], nothing: Unavailable) -> Known[float]:
    known = sorted(value for value in values if not isinstance(value, Unavailable))
    middle = len(known) // 2  # by hand: the statistics module costs start-up time
    return (known[middle] + known[-1 - middle]) / 2 if known else nothing


def _peak_rss(run: TrainRun, measured: Known[int]) -> Known[int]:
    """By the trainer's own account; the runner's figure, an upper bound, only where that is missing."""
    known = [phase.rss_peak_bytes for phase in run.phases]
    return max((size for size in known if not isinstance(size, Unavailable)), default=measured)


def _device_peak(run: TrainRun, steps: tuple[Step, ...]) -> Known[int]:
    seen = [phase.device for phase in run.phases] + [step.device for step in steps]
    peaks = [memory.peak_allocated_bytes for memory in seen if not isinstance(memory, Unavailable)]
    reasons = [memory for memory in seen if isinstance(memory, Unavailable)]
    return max(peaks) if peaks else next(iter(reasons), Unavailable(reason="the trainer logged no memory"))
