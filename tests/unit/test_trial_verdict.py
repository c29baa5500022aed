"""What becomes of a trial's process and its word: one record for the journal, whatever happened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ilora_diag.engine.outcome import Captured, ChildOutcome, ChildStatus
from ilora_diag.engine.trial_verdict import judged, last_stage, said
from ilora_diag.schema import Unavailable, to_json
from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial import ErrorFamily, Intent, Metric, Status, Trial
from ilora_diag.schema.trial_answer import StageUse, TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage

NO_CARD = Unavailable(reason="no card")
INTENT = Intent(id="T-07", probe="trial", requested=(("device", "cpu"),), started_at=5.0, fingerprint="f")
ANSWER = TrialAnswer(
    id="T-07",
    end=TrialEnd.PASSED,
    stage=Stage.DONE,
    steps_done=3,
    error=None,
    stages=(
        StageUse(
            stage=Stage.FORWARD,
            seconds=1.5,
            allocated_bytes=1,
            reserved_bytes=2,
            peak_allocated_bytes=1,
            peak_reserved_bytes=2,
        ),
    ),
    effective=(("precision", "bf16"),),
    metrics=(Metric(name="peak_reserved_bytes", value=7, unit="bytes"),),
    peak=NO_CARD,
)
OUTCOME = ChildOutcome(
    status=ChildStatus.OK,
    reason="ended well",
    document=None,
    exit_code=0,
    signal=None,
    stdout=Captured(),
    stderr=Captured(head="[ilora-diag] stage load\n[ilora-diag] stage forward\nwords\n"),
    started_at=5.0,
    seconds=2.0,
    peak_rss_bytes=100,
    num_leftovers=0,
)
OOM = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 14.56 GiB of which 1.06 MiB is"
TRACEBACK = (
    f'Traceback (most recent call last):\n  File "/x/ilora/model.py", line 4, in forward\ntorch.OutOfMemoryError: {OOM}'
)


def failed(end: TrialEnd = TrialEnd.FAILED, kind: str = "torch.OutOfMemoryError", message: str = OOM) -> TrialAnswer:
    traceback = TRACEBACK if message == OOM else f"Traceback (most recent call last):\n{kind}: {message}"
    error = ScriptError(type=kind, message=message, traceback=traceback)
    return replace(ANSWER, end=end, stage=Stage.FORWARD, error=error)


def trial(answer: TrialAnswer | None, **changes: object) -> Trial:
    document = None if answer is None else to_json(answer)
    outcome = replace(OUTCOME, **{"document": document, **changes})  # type: ignore[arg-type]
    return judged(INTENT, outcome, said(outcome), journal="trials/T-07")


def test_a_pass_is_a_pass_with_its_measures_and_times() -> None:
    made = trial(ANSWER)
    assert (made.status, made.reason, made.signature) == (Status.OK, "", None)
    assert (made.id, made.fingerprint, made.started_at, made.journal) == ("T-07", "f", 5.0, "trials/T-07")
    assert made.effective == (("precision", "bf16"),)
    assert {one.name: one.value for one in made.metrics} == {
        "peak_reserved_bytes": 7,
        "seconds": 2.0,
        "forward_s": 1.5,
    }


def test_an_out_of_memory_error_has_the_signature_of_its_stage_and_frame() -> None:
    made = trial(failed())
    assert made.status is Status.OOM
    assert made.signature is not None
    assert (made.signature.family, made.signature.stage) == (ErrorFamily.OOM_TORCH, "forward")
    assert made.signature.top_frame == "ilora/model.py:forward"
    assert made.reason.startswith("OutOfMemoryError: CUDA out of memory")


@pytest.mark.parametrize(
    ("answer", "status", "family"),
    [
        (
            failed(kind="RuntimeError", message="CUDA driver error: operation not supported"),
            Status.OTHER,
            ErrorFamily.CUDA_DRIVER,
        ),
        (failed(kind="ValueError", message="a shape"), Status.OTHER, ErrorFamily.PYTHON),
        (
            failed(TrialEnd.REFUSED, "ilora.config.errors.ConfigError", "train.x=1: allowed is 2"),
            Status.INVALID,
            ErrorFamily.CONFIG,
        ),
        (failed(TrialEnd.SCRIPT_EXIT, "SystemExit", "3"), Status.OTHER, ErrorFamily.PYTHON),
        (failed(TrialEnd.NOT_CARRIED, "x.NotCarriedError", "cannot carry it"), Status.SKIPPED, None),
        (failed(TrialEnd.NO_DEVICE, "x.NoDeviceError", "no card here"), Status.SKIPPED, None),
    ],
    ids=["driver", "python", "refused", "exit", "not carried", "no device"],
)
def test_every_end_has_its_status(answer: TrialAnswer, status: Status, family: ErrorFamily | None) -> None:
    made = trial(answer)
    assert made.status is status
    assert made.reason
    assert (made.signature.family if made.signature else None) is family


def test_a_process_that_died_of_a_signal_crashed_in_the_stage_it_announced_last() -> None:
    made = trial(None, status=ChildStatus.KILLED, reason="killed by SIGSEGV", exit_code=None, signal="SIGSEGV")
    assert (made.status, made.signal) == (Status.CRASHED, "SIGSEGV")
    assert made.signature is not None
    assert (made.signature.family, made.signature.stage, made.signature.code) == (
        ErrorFamily.SIGNAL,
        "forward",
        "SIGSEGV",
    )


def test_a_kill_is_taken_for_the_kernels_when_memory_runs_out() -> None:
    made = trial(None, status=ChildStatus.KILLED, reason="killed by SIGKILL", exit_code=None, signal="SIGKILL")
    assert made.status is Status.CRASHED
    assert made.signature is not None
    assert made.signature.family is ErrorFamily.OOM_HOST
    assert "dmesg" in made.reason


def test_a_crash_after_the_answer_is_no_pass() -> None:
    made = trial(ANSWER, status=ChildStatus.KILLED, reason="killed by SIGABRT", exit_code=None, signal="SIGABRT")
    assert made.status is Status.CRASHED
    assert "after it had answered that all went well" in made.reason


def test_a_failure_that_was_told_stays_what_it_is_though_the_process_crashed_after_it() -> None:
    assert trial(failed(), status=ChildStatus.FAILED, exit_code=1).status is Status.OOM


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"status": ChildStatus.TIMED_OUT, "reason": "still running", "signal": "SIGTERM", "exit_code": None},
         Status.TIMED_OUT, "in the stage forward"),
        ({"status": ChildStatus.STOPPED, "reason": "stopped on request"}, Status.INTERRUPTED, "stopped"),
        ({"status": ChildStatus.NOT_STARTED, "reason": "cannot start x", "exit_code": None}, Status.SKIPPED, "start"),
        ({"status": ChildStatus.SILENT, "reason": "wrote no document"}, Status.GARBLED, "no document"),
        ({"status": ChildStatus.GARBLED, "reason": "the document is b'{'"}, Status.GARBLED, "document"),
        ({"document": '{"schema": "ilora-diag/facts"}'}, Status.GARBLED, "no answer of a trial"),
    ],
    ids=["hang", "stopped", "not started", "silent", "garbled", "another record"],
)  # fmt: skip
def test_a_process_without_an_answer_is_told_by_how_it_ended(
    changes: dict[str, object], status: Status, word: str
) -> None:
    made = trial(None, **changes)
    assert made.status is status
    assert word in made.reason
    assert isinstance(made.effective, Unavailable)


def test_the_last_announced_stage_is_found_among_other_words() -> None:
    assert (
        last_stage("x\n[ilora-diag] stage load\nnoise [ilora-diag] stage data\n[ilora-diag] stage nonsense\n") == "load"
    )
    assert isinstance(last_stage("nothing\n"), Unavailable)
