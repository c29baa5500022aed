"""Fake trainers: small scripts that write a run log as the real one does, and end as they are told."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ilora_diag.engine.run_folder import PreparedRun, TrainRequest, prepare_run

# What every fake begins with. `log` appends an event; the run folder is the first argument.
_PRELUDE = """
import json, os, signal, sys, time
folder = sys.argv[1]
def log(event, **fields):
    with open(os.path.join(folder, "runlog.jsonl"), "a") as file:
        file.write(json.dumps({"event": event, "t": time.time(), **fields}) + "\\n")
MEMORY = {"rss_bytes": 1 << 28, "rss_peak_bytes": 1 << 29, "device": None}
def phase(name, status, **fields):
    log("phase", phase=name, status=status, **MEMORY, **fields)
def step(number, loss):
    log("step", step=number, loss=loss, lr=1e-3, grad_norm=1.0, num_tokens=100, num_samples=4, seconds=0.01,
        tokens_per_s=1000.0, hybrid=1.0, rss_bytes=1 << 28, device=None)
def save(number):
    path = f"checkpoints/step-{number:06d}"
    os.makedirs(os.path.join(folder, path), exist_ok=True)
    log("checkpoint", step=number, path=path)
phase("import", "end", seconds=0.1)
log("environment", python="3.11.7", torch="2.13.0", torch_cuda=None, transformers="5.23.0", peft="0.21.2",
    lightning="2.6.6", platform="Linux", cpu_count=2, num_threads=2, device="cpu", device_name="x86_64",
    precision_effective="fp32")
"""

_HEALTHY = """
phase("train", "begin")
log("train_begin", max_steps=20, start_step=0)
for number in range(1, 21):
    step(number, 4.0 - 0.1 * number)
save(20)
phase("train", "end", seconds=0.5)
log("metric", name="hr1_scoring", value=0.5, low=0.3, high=0.7, num_samples=20, num_correct=10, chance=0.05,
    split="test", note="")
log("finished", status="ok")
"""


@pytest.fixture
def healthy() -> str:
    """The body of a trainer that does twenty steps, evaluates and finishes."""
    return _HEALTHY


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedRun:
    """A run folder as `ilora-diag train` leaves it before the trainer starts."""
    monkeypatch.chdir(tmp_path)
    return prepare_run(TrainRequest(overrides=("train.max_steps=20",), config="tiny", run_dir=Path("run")), now=0.0)


@pytest.fixture
def fake_trainer(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """From the body of a script to the command line of a fake trainer."""

    def make(body: str) -> tuple[str, ...]:
        script = tmp_path / "trainer.py"
        script.write_text(_PRELUDE + textwrap.dedent(body))
        return (sys.executable, str(script), str(tmp_path / "run"))

    return make
