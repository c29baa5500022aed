"""The trainer on a real card: precision, memory by phase, and what an allocation too many turns into."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device (CUDA build {torch.version.cuda})")


def _train(folder: Path, *overrides: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-P", "-m", "ilora_diag", "train", "--config", "tiny", "--device", "cuda"]
    outcome = subprocess.run(
        [*command, "--run-dir", str(folder), *overrides], capture_output=True, text=True, timeout=300, check=False
    )
    lines = (folder / "runlog.jsonl").read_text().splitlines()
    return outcome.returncode, [json.loads(line) for line in lines]


@pytest.mark.parametrize("loop", ["plain", "lightning"])
def test_a_run_computes_in_bf16_and_reports_the_allocators_numbers(tmp_path: Path, loop: str) -> None:
    code, events = _train(tmp_path / "run", f"train.loop={loop}", "train.gradient_checkpointing=true")
    assert code == 0
    environment = next(e for e in events if e["event"] == "environment")
    assert (environment["device"], environment["precision_effective"]) == ("cuda", "bf16")
    ends = [e for e in events if e["event"] == "phase" and e["status"] == "end" and e["phase"] in ("train", "eval")]
    for end in ends:
        memory = end["device"]
        assert 0 < memory["allocated_bytes"] <= memory["peak_allocated_bytes"] <= memory["peak_reserved_bytes"]


def test_fp16_trains_with_a_loss_scaler(tmp_path: Path) -> None:
    code, events = _train(tmp_path / "run", "train.precision=fp16", "train.max_steps=20", "eval.generation=false")
    assert code == 0
    losses = [e["loss"] for e in events if e["event"] == "step"]
    assert losses[-1] < losses[0]


def test_running_out_of_memory_names_the_phase(tmp_path: Path) -> None:
    code, events = _train(tmp_path / "run", "llm=llama-2-7b", "train.batch_size=2000", "data.num_users=3000")
    assert code == 1
    error = next(e for e in events if e["event"] == "error")
    assert (error["type"], error["phase"]) == ("OutOfMemoryError", "train")
