"""The trainer as its users start it: as a process, alone or in ranks, whole or interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilora.config import Config, dump_config
from ilora.rec import Recommender, save_recommender

Configure = Callable[..., Config]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture
def prepare(configure: Configure, recommender: Recommender, tmp_path: Path) -> Callable[..., list[str]]:
    """Write a configuration with a ready recommender; returns the trainer's arguments."""
    checkpoint = tmp_path / "rec.safetensors"
    save_recommender(recommender, checkpoint)

    def make(name: str, *overrides: str) -> list[str]:
        config = configure(f"rec.checkpoint={checkpoint}", *overrides)
        file = tmp_path / f"{name}.yaml"
        file.write_text(dump_config(config))
        return ["--config", str(file), "--run-dir", str(tmp_path / name), "--device", "cpu"]

    return make


def _events(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "runlog.jsonl").read_text().splitlines()]


def _losses(run_dir: Path, kind: str = "step") -> list[float]:
    return [event["loss"] for event in _events(run_dir) if event["event"] == kind]


def _train(arguments: list[str], *launcher: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", *launcher, "-m", "ilora.train", *arguments]
    if launcher:
        command = [sys.executable, "-P", *launcher, "ilora.train", *arguments]
    return subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False, **options
    )


COMMON = (
    "train.max_steps=3",
    "train.eval_every=2",
    "train.eval_batches=2",
    "eval.max_samples=7",
    "eval.generation=false",
)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("-m", "torch.distributed.run", "--nproc-per-node=2", "-m")])
def test_two_ranks_give_the_loss_of_one_with_twice_the_batch(
    prepare: Callable[..., list[str]], tmp_path: Path, launcher: tuple[str, ...]
) -> None:
    alone = _train(prepare("alone", *COMMON, "train.batch_size=4"))
    assert alone.returncode == 0, alone.stderr
    options = ("train.loop=lightning", "train.devices=2", "train.strategy=ddp", "train.batch_size=2")
    together = _train(prepare("together", *COMMON, *options), *launcher)
    assert together.returncode == 0, together.stderr
    assert _losses(tmp_path / "together") == pytest.approx(_losses(tmp_path / "alone"), abs=1e-5)
    assert _losses(tmp_path / "together", "val_loss") == pytest.approx(
        _losses(tmp_path / "alone", "val_loss"), abs=1e-5
    )
    metrics = [
        {e["name"]: (e["num_samples"], e["num_correct"]) for e in _events(tmp_path / name) if e["event"] == "metric"}
        for name in ("alone", "together")
    ]
    assert metrics[0] == metrics[1]
    assert metrics[0]["hr1_scoring"][0] == 7
    rows = [json.loads(line)["row"] for line in (tmp_path / "together" / "predictions.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))
    assert len(rows) == 7


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_stopped(prepare: Callable[..., list[str]], tmp_path: Path) -> None:
    arguments = prepare("run", "train.max_steps=400", "eval.max_samples=2", "eval.generation=false", "lora.dropout=0.1")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ilora.train", *arguments],
        env=os.environ | ENVIRONMENT | {"ILORA_DIAG_RESULT_FD": str(writing)},
        pass_fds=[writing],
        stdout=subprocess.PIPE,
    )
    os.close(writing)
    log = tmp_path / "run" / "runlog.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count('"event": "step"') >= 3):
        assert time.monotonic() < deadline, "the trainer makes no steps"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    with os.fdopen(reading) as channel:
        result = json.load(channel)
    assert process.stdout is not None
    assert process.stdout.read() == b"", "the run log is the trainer's only output"
    assert result["status"] == "interrupted"
    assert result["checkpoint"] == f"step-{result['steps']:06d}"
    steps = len(_losses(tmp_path / "run"))
    assert steps == result["steps"]
    # Going on needs the flag: a second run into the same folder is refused and changes nothing.
    refused = _train(arguments)
    assert refused.returncode == 2
    assert "holds checkpoints of an earlier run" in _events(tmp_path / "run")[-1]["message"]
    shorter = Path(arguments[1])
    shorter.write_text(shorter.read_text().replace("max_steps: 400", f"max_steps: {steps + 2}"))
    resumed = _train([*arguments, "--resume"])
    assert resumed.returncode == 0, resumed.stderr
    events = _events(tmp_path / "run")
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(1, steps + 3))
    assert events[-1]["event"] == "finished"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("train.batch_size=100000",), "The training split has"),
        (("data.num_candidates=500",), "data.num_candidates=500"),
        (("llm.path=/nowhere/at-all",), "llm.path=/nowhere/at-all"),
    ],
)
def test_a_users_mistake_is_an_event_and_exit_code_two(
    prepare: Callable[..., list[str]], tmp_path: Path, overrides: tuple[str, ...], says: str
) -> None:
    outcome = _train(prepare("run", *overrides))
    assert outcome.returncode == 2, outcome.stderr
    error = _events(tmp_path / "run")[-1]
    assert (error["event"], error["phase"] in ("data", "load_llm", "build", "train", "start")) == ("error", True)
    assert says in error["message"]


def test_running_out_of_memory_is_recorded_and_never_swallowed(
    prepare: Callable[..., list[str]], tmp_path: Path
) -> None:
    """A language model far beyond the process's limit: the allocator's error ends the run with its phase."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))

    outcome = _train(prepare("run", "llm=llama-2-7b"), preexec_fn=limit)
    assert outcome.returncode == 1, outcome.stderr
    error = _events(tmp_path / "run")[-1]
    assert error["phase"] == "load_llm"
    assert "memory" in error["message"]
