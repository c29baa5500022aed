"""From how a trial's process ended, and what it said, to the record of the trial."""

from __future__ import annotations

from ilora_diag.engine.outcome import ChildOutcome, ChildStatus
from ilora_diag.engine.signature import signature_of
from ilora_diag.schema.codec import from_json
from ilora_diag.schema.errors import SchemaError
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial import OUT_OF_MEMORY, FailureSignature, Intent, Metric, Status, Trial
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage

ANNOUNCED = "[ilora-diag] stage "
"""Begins the line by which a trial tells each stage on its stderr (`probes.trial_clock`)."""

_TAIL_CHARACTERS = 8000
_STAGES = frozenset(stage.value for stage in Stage)
_NO_WORD = Unavailable(reason="the trial's process said nothing of it", source="trial")


def said(outcome: ChildOutcome) -> TrialAnswer | None:
    """The answer, if the process wrote one that can be read."""
    if outcome.document is None:
        return None
    try:
        return from_json(TrialAnswer, outcome.document)
    except SchemaError:
        return None


def judged(intent: Intent, outcome: ChildOutcome, answer: TrialAnswer | None, *, journal: str | None = None) -> Trial:
    """The trial's record. Whether a failure is the one looked for is decided by who knows that one.

    Args:
        intent: as announced.
        outcome: how the process ended.
        answer: what it said.
        journal: its folder, relative to the run folder.
    """
    status, reason, signature = _judge(outcome, answer)
    return Trial(
        id=intent.id,
        probe=intent.probe,
        requested=intent.requested,
        effective=answer.effective if answer is not None else _NO_WORD,
        status=status,
        reason=reason,
        signature=signature,
        metrics=_metrics(outcome, answer),
        started_at=intent.started_at,
        seconds=outcome.seconds,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        stdout_tail=outcome.stdout.text[-_TAIL_CHARACTERS:],
        stderr_tail=outcome.stderr.text[-_TAIL_CHARACTERS:],
        journal=journal,
        fingerprint=intent.fingerprint,
    )


def last_stage(stderr: str) -> Known[str]:
    """The stage a process announced last."""
    for line in reversed(stderr.splitlines()):
        if line.startswith(ANNOUNCED):
            name = line.removeprefix(ANNOUNCED).strip()
            if name in _STAGES:
                return name
    return Unavailable(reason="the trial announced no stage", source="stderr")


def _judge(outcome: ChildOutcome, answer: TrialAnswer | None) -> tuple[Status, str, FailureSignature | None]:
    stage = last_stage(outcome.stderr.text)
    if outcome.status is ChildStatus.NOT_STARTED:
        return Status.SKIPPED, outcome.reason, None
    if outcome.status in (ChildStatus.TIMED_OUT, ChildStatus.UNKILLABLE):
        where = "" if isinstance(stage, Unavailable) else f", in the stage {stage}"
        return Status.TIMED_OUT, f"{outcome.reason}{where}", None
    if outcome.status is ChildStatus.STOPPED:
        return Status.INTERRUPTED, outcome.reason, None
    ended_well = outcome.status is ChildStatus.OK
    if answer is not None and (ended_well or answer.end is not TrialEnd.PASSED):
        return _told(answer)
    if outcome.status in (ChildStatus.KILLED, ChildStatus.FAILED):
        signature = signature_of(_own_words(outcome.stderr.text), stage=stage, signal=outcome.signal)
        return Status.CRASHED, _crash_reason(outcome, answer), signature
    reason = outcome.reason if not ended_well else "the document it wrote is no answer of a trial"
    return Status.GARBLED, reason, None


def _told(answer: TrialAnswer) -> tuple[Status, str, FailureSignature | None]:
    """By the trial's own word."""
    error = answer.error
    if error is None:
        return Status.OK, "", None
    name = error.type.rpartition(".")[2]
    reason = f"{name}: {error.message}" if error.message else name
    if answer.end in (TrialEnd.NOT_CARRIED, TrialEnd.NO_DEVICE):
        return Status.SKIPPED, error.message or reason, None
    text = error.traceback or f"{error.type}: {error.message}"
    signature = signature_of(text, stage=answer.stage.value)
    if answer.end is TrialEnd.REFUSED:
        return Status.INVALID, error.message or reason, signature
    if answer.end is TrialEnd.SCRIPT_EXIT:
        return Status.OTHER, reason, signature
    return (Status.OOM if signature.family in OUT_OF_MEMORY else Status.OTHER), reason, signature


def _own_words(stderr: str) -> str:
    """What it printed, without our announcements: a text without a traceback is known by its last line."""
    return "\n".join(line for line in stderr.splitlines() if not line.startswith(ANNOUNCED))


def _crash_reason(outcome: ChildOutcome, answer: TrialAnswer | None) -> str:
    after = ", after it had answered that all went well" if answer is not None else ""
    if outcome.signal == "SIGKILL":
        return f"{outcome.reason}{after}: most often the kernel's, when memory runs out; its log (dmesg) would say so"
    return f"{outcome.reason}{after}"


def _metrics(outcome: ChildOutcome, answer: TrialAnswer | None) -> tuple[Metric, ...]:
    """The trial's own, its wall time, and that of each stage."""
    wall = Metric(name="seconds", value=outcome.seconds, unit="s")
    if answer is None:
        return (wall, Metric(name="rss_peak_bytes", value=outcome.peak_rss_bytes, unit="bytes"))
    stages = tuple(Metric(name=f"{use.stage.value}_s", value=use.seconds, unit="s") for use in answer.stages)
    return (*answer.metrics, wall, *stages)
