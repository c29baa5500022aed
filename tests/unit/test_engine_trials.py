"""A trainer's end as a trial: what the process did and what its log says, joined."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ilora_diag.engine.outcome import Captured, ChildOutcome, ChildStatus
from ilora_diag.engine.trials import train_metrics, train_trial
from ilora_diag.schema import (
    ErrorFamily,
    Intent,
    Phase,
    Status,
    Step,
    TrainError,
    TrainOutcome,
    TrainRun,
    TrainState,
    Trial,
    Unavailable,
)

UNKNOWN = Unavailable(reason="not asked")
INTENT = Intent(id="T-01", probe="train", requested=(("--device", "auto"),), started_at=5.0, fingerprint="f")
OUTCOME = ChildOutcome(
    status=ChildStatus.OK,
    reason="ended well",
    document=None,
    exit_code=0,
    signal=None,
    stdout=Captured(),
    stderr=Captured(head="a warning\n", num_bytes=10),
    started_at=5.0,
    seconds=9.0,
    peak_rss_bytes=1000,
    num_leftovers=0,
)
STEP = Step(
    step=1,
    loss=4.0,
    lr=1.0,
    grad_norm=UNKNOWN,
    num_tokens=10,
    num_samples=1,
    seconds=9.0,
    tokens_per_s=1.0,
    hybrid=0.0,
    rss_bytes=1,
    device=UNKNOWN,
)
STEPS = (
    STEP,
    *(replace(STEP, step=n, loss=4.0 - n, seconds=float(n), tokens_per_s=10.0 * n) for n in (2, 3)),
    replace(STEP, step=4, loss=UNKNOWN, seconds=UNKNOWN),
)
RUN = TrainRun(
    run_id="r",
    started_at=1.0,
    ended_at=2.0,
    num_attempts=1,
    requested=UNKNOWN,
    effective=(("train.lr", 0.1),),
    environment=UNKNOWN,
    data=UNKNOWN,
    model=UNKNOWN,
    plan=UNKNOWN,
    phases=(),
    steps=STEPS,
    metrics=UNKNOWN,
    outcome=TrainOutcome(state=TrainState.FINISHED, last_phase="eval", resume_from=UNKNOWN),
)


def ended(state: TrainState, error: TrainError | None = None) -> TrainRun:
    outcome = TrainOutcome(state=state, last_phase="train", resume_from=UNKNOWN, error=error)
    return replace(RUN, outcome=outcome)


def failed(kind: str, message: str) -> TrainRun:
    text = f'Traceback (most recent call last):\n  File "/a/ilora/x.py", line 1, in f\n    g()\n{kind}: {message}\n'
    short = kind.rpartition(".")[2]
    return ended(TrainState.FAILED, TrainError(phase="train", type=short, message=message, traceback=text))


def trial(run: TrainRun, **changes: object) -> Trial:
    return train_trial(INTENT, replace(OUTCOME, **changes), run, journal="runlog.jsonl")  # type: ignore[arg-type]


def test_a_finished_run_passes() -> None:
    found = trial(RUN)
    assert (found.status, found.signature, found.reason) == (Status.OK, None, "")
    assert (found.id, found.probe, found.requested, found.fingerprint) == ("T-01", "train", INTENT.requested, "f")
    assert (found.effective, found.started_at, found.seconds) == (RUN.effective, 5.0, 9.0)
    assert (found.exit_code, found.stderr_tail, found.journal) == (0, "a warning\n", "runlog.jsonl")


CUT_OFF = ended(TrainState.CUT_OFF)
OOM = failed("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 1.00 GiB.")
CASES: list[tuple[TrainRun, dict[str, object], Status, ErrorFamily | None, str]] = [
    (RUN, {"status": ChildStatus.STOPPED}, Status.OK, None, ""),
    (CUT_OFF, {"status": ChildStatus.OK}, Status.GARBLED, None, "exit code 0, but the run log ends as cut_off"),
    (
        CUT_OFF,
        {"status": ChildStatus.NOT_STARTED, "exit_code": None, "reason": "cannot start x"},
        Status.SKIPPED,
        None,
        "cannot start x",
    ),
    (
        ended(TrainState.INTERRUPTED),
        {"status": ChildStatus.STOPPED, "exit_code": 130, "reason": "stopped on request"},
        Status.INTERRUPTED,
        None,
        "stopped on request",
    ),
    (
        CUT_OFF,
        {"status": ChildStatus.STOPPED, "exit_code": None, "signal": "SIGKILL", "reason": "stopped on request"},
        Status.INTERRUPTED,
        None,
        "stopped on request",
    ),
    (
        CUT_OFF,
        {"status": ChildStatus.TIMED_OUT, "exit_code": None, "signal": "SIGTERM", "reason": "still running"},
        Status.TIMED_OUT,
        None,
        "still running",
    ),
    (
        OOM,
        {"status": ChildStatus.FAILED, "exit_code": 1},
        Status.OOM,
        ErrorFamily.OOM_TORCH,
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB.",
    ),
    (
        failed("ilora.config.errors.ConfigError", "lora.r=7"),
        {"status": ChildStatus.FAILED, "exit_code": 2},
        Status.INVALID,
        ErrorFamily.CONFIG,
        "ConfigError: lora.r=7",
    ),
    (
        failed("ZeroDivisionError", "division by zero"),
        {"status": ChildStatus.FAILED, "exit_code": 1},
        Status.CRASHED,
        ErrorFamily.PYTHON,
        "ZeroDivisionError: division by zero",
    ),
    (
        CUT_OFF,
        {"status": ChildStatus.KILLED, "exit_code": None, "signal": "SIGSEGV", "reason": "killed by SIGSEGV"},
        Status.CRASHED,
        ErrorFamily.SIGNAL,
        "killed by SIGSEGV",
    ),
    (
        CUT_OFF,
        {"status": ChildStatus.KILLED, "exit_code": None, "signal": "SIGKILL"},
        Status.CRASHED,
        ErrorFamily.OOM_HOST,
        "killed by SIGKILL, most often sent by the kernel when memory runs out; its log (dmesg) would say so",
    ),
    (
        CUT_OFF,
        {
            "status": ChildStatus.FAILED,
            "exit_code": 1,
            "reason": "exit code 1",
            "stderr": Captured(head="ModuleNotFoundError: No module named 'ilora'\n"),
        },
        Status.CRASHED,
        ErrorFamily.PYTHON,
        "exit code 1",
    ),
]


@pytest.mark.parametrize(("run", "changes", "status", "family", "reason"), CASES)
def test_how_it_ended_becomes_a_status_a_family_and_a_reason(
    run: TrainRun, changes: dict[str, object], status: Status, family: ErrorFamily | None, reason: str
) -> None:
    found = trial(run, **changes)
    assert (found.status, found.reason) == (status, reason)
    assert (found.signature and found.signature.family) == family
    assert found.signature is None or found.signature.stage == "train"


def test_the_metrics_of_a_training_are_taken_from_its_steps() -> None:
    peaks = [
        Phase(
            name="train",
            attempt=1,
            started_at=1.0,
            seconds=1.0,
            rss_bytes=1,
            rss_peak_bytes=size,
            device=UNKNOWN,
        )
        for size in (500, 700)
    ]
    found = {metric.name: metric.value for metric in train_metrics(replace(RUN, phases=tuple(peaks)), 1000)}
    assert found == {
        "num_steps": 4,
        "loss_first": 4.0,
        "loss_last": UNKNOWN,
        "step_s_median": 2.5,
        "tokens_per_s_median": 20.0,
        "rss_peak_bytes": 700,
        "device_peak_allocated_bytes": UNKNOWN,
    }


def test_without_steps_the_metrics_say_why() -> None:
    nothing = Unavailable(reason="no step was logged; the last phase was data")
    found = {metric.name: metric.value for metric in train_metrics(replace(RUN, steps=nothing), 1000)}
    assert found["loss_first"] == found["step_s_median"] == found["num_steps"] == nothing
    assert found["rss_peak_bytes"] == 1000


def test_long_output_is_cut_from_the_front() -> None:
    text = "x" * 20_000 + "the end"
    assert trial(RUN, stderr=Captured(head=text)).stderr_tail.endswith("the end")
    assert len(trial(RUN, stderr=Captured(head=text)).stderr_tail) == 8000
