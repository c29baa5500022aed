"""`ilora-diag train` as typed: two processes, a real (tiny) model, and everything the run leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

TINY = (
    "--config", "tiny", "--device", "cpu", "data.num_users=40", "data.num_items=40", "rec.max_epochs=2",
    "eval.max_samples=4", "eval.max_new_tokens=2", "llm.arch.num_hidden_layers=1",
)  # fmt: skip

pytestmark = pytest.mark.slow


def _start(*args: str, cwd: Path) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_ALL", "LC_MESSAGES")}
    argv = [sys.executable, "-P", "-m", "ilora_diag", *args]
    return subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_training_leaves_a_report_that_holds(tmp_path: Path) -> None:
    training = _start("train", *TINY, "train.max_steps=2", "--json", cwd=tmp_path)
    stdout, stderr = training.communicate(timeout=240)
    assert training.returncode == 0, stderr
    report = json.loads(stdout)
    assert report["train"]["outcome"]["state"] == "finished"
    assert [step["step"] for step in report["train"]["steps"]] == [1, 2]
    assert "train: done in" in stderr
    folder = tmp_path / "reports" / "runs" / report["run_id"]
    assert {"report.md", "report.json", "journal.jsonl", "runlog.jsonl"} <= {path.name for path in folder.iterdir()}
    check = _start("report", str(folder), "--check", cwd=tmp_path)
    assert check.communicate(timeout=60)[0].strip().endswith("agree with the logs")
    assert check.returncode == 0


def test_an_interrupted_training_goes_on_by_the_command_it_prints(tmp_path: Path) -> None:
    # given a training that has done a step
    training = _start("train", *TINY, "train.max_steps=5000", "--run-dir", "run", cwd=tmp_path)
    log = tmp_path / "run" / "runlog.jsonl"
    _wait_until(lambda: log.exists() and '"event": "step"' in log.read_text(), training)
    # when it is interrupted
    training.send_signal(signal.SIGINT)
    stdout, stderr = training.communicate(timeout=120)
    # then it has saved, and says how to go on
    assert training.returncode == 130, stderr
    assert stdout.startswith("interrupted in phase train, after step ")
    command = next(line for line in stderr.splitlines() if line.startswith("to resume, type: ")).partition(": ")[2]
    assert command == "ilora-diag train --resume run"
    done = max(event["step"] for event in _events(log) if event["event"] == "checkpoint")
    # and that command, with a nearer end, does the rest
    resumed = _start(*command.split()[1:], f"train.max_steps={done + 2}", cwd=tmp_path)
    stdout, stderr = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, stderr
    steps = [event["step"] for event in _events(log) if event["event"] == "step"]
    assert steps[-2:] == [done + 1, done + 2]
    assert stdout.startswith(f"trained {done + 2} steps")


def test_a_device_that_is_not_here_is_a_missing_precondition(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    training = _start("train", *TINY, "--device", "cuda", "--run-dir", "run", cwd=tmp_path)
    _, stderr = training.communicate(timeout=120)
    assert training.returncode == 4
    assert "allowed is auto or cpu on this machine" in stderr


def _events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def _wait_until(condition: object, training: subprocess.Popen[str]) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 180
    while not condition():
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
