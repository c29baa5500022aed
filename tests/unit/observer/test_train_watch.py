"""The observer of a training, against fake trainers that end in every way there is."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ilora_diag.engine.events import Event
from ilora_diag.engine.journal import Journal, JournalError, read_journal
from ilora_diag.engine.run_folder import PreparedRun, TrainRequest, prepare_run
from ilora_diag.engine.train_watch import trainer_argv, watch
from ilora_diag.schema import ErrorFamily, Status

Trainer = Callable[[str], tuple[str, ...]]

# A trainer that goes on until it is asked to stop, and then saves, as the real one does.
PATIENT = """
phase("train", "begin")
log("train_begin", max_steps=1000, start_step=0)
stop = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: stop.append(1))
step(1, 3.0)
while not stop:
    time.sleep(0.01)
save(1)
log("interrupted", step=1, checkpoint="step-000001")
sys.exit(130)
"""


class Recorder:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.num_stops = 0

    def take(self, events: Iterable[Event]) -> None:
        self.names += [event.name for event in events]

    def stopping(self) -> None:
        self.num_stops += 1


def test_a_healthy_training_is_followed_and_journaled(
    prepared: PreparedRun, fake_trainer: Trainer, healthy: str
) -> None:
    recorder = Recorder()
    trial = watch(prepared, fake_trainer(healthy), recorder)
    assert (trial.status, trial.exit_code, trial.id) == (Status.OK, 0, "T-01")
    assert recorder.names.count("step") == 20
    assert recorder.names[-1] == "finished"
    journal = read_journal(prepared.folder / "journal.jsonl")
    assert journal.trials == (trial,)
    assert dict(journal.intents[0].requested)["train.max_steps"] == 20


def test_an_out_of_memory_is_known_by_its_phase_text_and_signature(
    prepared: PreparedRun, fake_trainer: Trainer
) -> None:
    trial = watch(
        prepared,
        fake_trainer("""
            phase("train", "begin")
            step(1, 3.0)
            log("error", phase="train", type="OutOfMemoryError",
                message="CUDA out of memory. Tried to allocate 20.00 MiB.",
                traceback="Traceback (most recent call last):\\n  File \\"/x/ilora/model.py\\", line 3, in forward\\n"
                          "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...\\n")
            sys.exit(1)
        """),
        Recorder(),
    )
    assert trial.status is Status.OOM
    assert trial.signature is not None
    assert (trial.signature.family, trial.signature.stage) == (ErrorFamily.OOM_TORCH, "train")
    assert "CUDA out of memory" in trial.reason


def test_a_killed_trainer_is_a_crash_with_its_signal_and_last_phase(
    prepared: PreparedRun, fake_trainer: Trainer
) -> None:
    trial = watch(
        prepared, fake_trainer('phase("load_llm", "begin")\nos.kill(os.getpid(), signal.SIGKILL)'), Recorder()
    )
    assert (trial.status, trial.signal) == (Status.CRASHED, "SIGKILL")
    assert trial.signature is not None
    assert trial.signature.stage == "load_llm"


def test_a_refused_configuration_is_invalid_not_a_crash(prepared: PreparedRun, fake_trainer: Trainer) -> None:
    body = 'log("error", phase="data", type="ConfigError", message="a=1: allowed is 2", traceback="")\nsys.exit(2)'
    trial = watch(prepared, fake_trainer(body), Recorder())
    assert (trial.status, trial.reason) == (Status.INVALID, "ConfigError: a=1: allowed is 2")


def test_a_deadline_lets_the_trainer_save(prepared: PreparedRun, fake_trainer: Trainer) -> None:
    trial = watch(prepared, fake_trainer(PATIENT), Recorder(), deadline_s=0.5)
    # The trainer heard the signal and saved, so its log calls the run interrupted; the observer knows why.
    assert (prepared.folder / "checkpoints" / "step-000001").is_dir()
    assert trial.status is Status.TIMED_OUT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_reaches_the_trainer_and_the_run_counts_as_interrupted(
    number: signal.Signals, prepared: PreparedRun, fake_trainer: Trainer
) -> None:
    recorder = Recorder()
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup, and what is ignored stays ignored")
    _send_after_first_step(prepared.folder, number)
    trial = watch(prepared, fake_trainer(PATIENT), recorder)
    assert trial.status is Status.INTERRUPTED
    assert recorder.num_stops == 1
    assert (prepared.folder / "checkpoints" / "step-000001").is_dir()
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_ignored_as_under_nohup(
    prepared: PreparedRun, fake_trainer: Trainer, healthy: str
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _send_after_first_step(prepared.folder, signal.SIGHUP)
        trial = watch(prepared, fake_trainer(f"{healthy}\ntime.sleep(0.5)"), Recorder())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert trial.status is Status.OK


def test_asking_twice_does_not_wait_for_a_trainer_that_will_not_listen(
    prepared: PreparedRun, fake_trainer: Trainer
) -> None:
    _send_after_first_step(prepared.folder, signal.SIGINT, times=3)
    began = time.monotonic()
    trial = watch(
        prepared,
        fake_trainer("""
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            step(1, 3.0)
            time.sleep(60)
        """),
        Recorder(),
    )
    assert trial.status is Status.INTERRUPTED
    assert time.monotonic() - began < 30


def test_a_listener_that_fails_does_not_end_the_training(
    prepared: PreparedRun, fake_trainer: Trainer, healthy: str
) -> None:
    class Broken(Recorder):
        def take(self, events: Iterable[Event]) -> None:
            super().take(events)
            raise RuntimeError("the terminal has gone")

    broken = Broken()
    assert watch(prepared, fake_trainer(healthy), broken).status is Status.OK


def test_a_resumed_run_tells_its_listener_only_what_is_new(
    prepared: PreparedRun, fake_trainer: Trainer, healthy: str
) -> None:
    watch(prepared, fake_trainer(healthy), Recorder())
    again, recorder = prepare_run(TrainRequest(resume=prepared.folder), now=1.0), Recorder()
    trial = watch(again, fake_trainer("step(21, 1.0)\nlog('finished', status='ok')"), recorder)
    assert trial.id == "T-02"
    assert [name for name in recorder.names if name == "step"] == ["step"]


def test_two_observers_of_one_folder_are_refused(prepared: PreparedRun, fake_trainer: Trainer, healthy: str) -> None:
    with Journal(prepared.folder / "journal.jsonl"), pytest.raises(JournalError, match="another process"):
        watch(prepared, fake_trainer(healthy), Recorder())
    assert not (prepared.folder / "runlog.jsonl").exists()


def test_our_trainer_is_asked_to_resume_only_in_a_resumed_run(prepared: PreparedRun) -> None:
    argv = trainer_argv(prepared, "cpu")
    assert argv[:4] == (sys.executable, "-P", "-m", "ilora.train")
    assert argv[4:] == ("--config", "run/config.effective.yaml", "--run-dir", "run", "--device", "cpu")
    assert trainer_argv(prepare_run(TrainRequest(resume=prepared.folder), now=1.0), "cpu")[-1] == "--resume"


def _send_after_first_step(folder: Path, number: signal.Signals, times: int = 1) -> None:
    """Signal this process once the trainer has logged a step."""

    def send() -> None:
        log = folder / "runlog.jsonl"
        while not (log.exists() and '"step"' in log.read_text()):
            time.sleep(0.01)
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    threading.Thread(target=send, daemon=True).start()
