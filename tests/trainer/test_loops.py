"""Two loops, one result; and a run that stops and goes on is the run that never stopped."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from ilora.checkpoint import load_checkpoint, save_checkpoint
from ilora.config import Config
from ilora.loops import lightning, plain
from ilora.loops.job import TrainJob
from ilora.model import ILoRATeacher
from ilora.runlog import RunLog

Configure = Callable[..., Config]
MakeJob = Callable[..., TrainJob]
MakeTeacher = Callable[[Config], ILoRATeacher]


def _run(
    loop: Any, make_job: MakeJob, config: Config, path: Path, **options: Any
) -> tuple[list[dict[str, Any]], TrainJob]:
    log = RunLog(path)
    job = make_job(config, log, **options)
    loop.run(job)
    log.close()
    return [json.loads(line) for line in path.read_text().splitlines()], job


def _losses(events: list[dict[str, Any]], kind: str = "step") -> list[float]:
    return [event["loss"] for event in events if event["event"] == kind]


@pytest.mark.parametrize("head", ["lm", "items"])
def test_both_loops_give_the_same_losses(configure: Configure, make_job: MakeJob, tmp_path: Path, head: str) -> None:
    config = configure(
        "train.max_steps=5",
        "lora.dropout=0.1",
        "train.gradient_accumulation_steps=2",
        "train.eval_every=2",
        "train.eval_batches=2",
        f"model.head={head}",
    )
    written, _ = _run(plain, make_job, config, tmp_path / "plain.jsonl")
    driven, _ = _run(lightning, make_job, config, tmp_path / "lightning.jsonl")
    assert _losses(driven) == pytest.approx(_losses(written), abs=1e-6)
    assert _losses(driven, "val_loss") == pytest.approx(_losses(written, "val_loss"), abs=1e-6)
    assert len(_losses(written)) == 5
    assert len(_losses(written, "val_loss")) == 2
    for key in ("lr", "grad_norm", "num_tokens", "num_samples", "hybrid"):
        first, second = ([e[key] for e in events if e["event"] == "step"] for events in (written, driven))
        assert first == pytest.approx(second, rel=1e-5), key


def test_accumulating_two_halves_equals_one_whole(configure: Configure, make_job: MakeJob, tmp_path: Path) -> None:
    common = ("train.max_steps=4", "train.curriculum=false")
    whole, _ = _run(plain, make_job, configure(*common, "train.batch_size=4"), tmp_path / "whole.jsonl")
    halves, _ = _run(
        plain,
        make_job,
        configure(*common, "train.batch_size=2", "train.gradient_accumulation_steps=2"),
        tmp_path / "halves.jsonl",
    )
    assert _losses(halves) == pytest.approx(_losses(whole), abs=1e-5)


@pytest.mark.parametrize("loop", [plain, lightning])
def test_a_resumed_run_is_bit_equal(
    configure: Configure, make_job: MakeJob, make_teacher: MakeTeacher, tmp_path: Path, loop: Any
) -> None:
    config = configure("train.max_steps=6", "lora.dropout=0.1", "lora.gate_norm=batch")
    straight, job = _run(loop, make_job, config, tmp_path / "straight.jsonl")
    first_log = RunLog(tmp_path / "first.jsonl")
    first = make_job(config, first_log)
    first.save = lambda step: save_checkpoint(tmp_path / "c", first.teacher, first.optimizer, step, identity={}, keep=1)
    first.config.checkpoint_every = 3

    def stop_at_three(step: int) -> None:
        save_checkpoint(tmp_path / "c", first.teacher, first.optimizer, step, identity={}, keep=1)
        first.stop.requested = True

    first.save = stop_at_three
    assert loop.run(first) == 4, "a stop asked for during step 3's bookkeeping ends the run after the next step"
    resumed_teacher = make_teacher(config)
    log = RunLog(tmp_path / "second.jsonl")
    second = make_job(config, log, start=4, teacher=resumed_teacher)
    assert load_checkpoint(tmp_path / "c" / "step-000004", resumed_teacher, second.optimizer, identity={}) == 4
    loop.run(second)
    log.close()
    events = [json.loads(line) for line in (tmp_path / "second.jsonl").read_text().splitlines()]
    assert _losses(events) == _losses(straight)[4:]
    for name, tensor in job.teacher.trainables().items():
        assert torch.equal(tensor, resumed_teacher.trainables()[name]), name


def test_a_loss_that_is_not_finite_stops_the_run(
    configure: Configure, make_job: MakeJob, make_teacher: MakeTeacher, tmp_path: Path
) -> None:
    config = configure("train.max_steps=3", "train.curriculum=false")
    teacher = make_teacher(config)
    with torch.no_grad():
        next(teacher.projector.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"at step 1: try a lower train\.lr"):
        _run(plain, make_job, config, tmp_path / "log.jsonl", teacher=teacher)


@pytest.mark.slow
@pytest.mark.parametrize("loop", [plain, lightning])
def test_memory_after_a_step_is_flat(configure: Configure, make_job: MakeJob, tmp_path: Path, loop: Any) -> None:
    """200 steps with validation every 50: no tensor more, no batch kept, no growth of the process worth naming."""
    config = configure("train.max_steps=200", "train.eval_every=50", "train.eval_batches=2", "train.curriculum=false")
    log = RunLog(tmp_path / "log.jsonl")
    job = make_job(config, log)
    num_tensors: list[int] = []
    resident: list[int] = []
    outputs: list[weakref.ref[torch.Tensor]] = []
    job.teacher.register_forward_hook(lambda module, args, output: outputs.append(weakref.ref(output)))
    process = psutil.Process()

    def measure(step: int) -> None:
        gc.collect()
        num_tensors.append(sum(1 for o in gc.get_objects() if isinstance(o, torch.Tensor)))
        resident.append(process.memory_info().rss)

    job.save = measure
    job.config.checkpoint_every = 20
    loop.run(job)
    log.close()
    assert len(num_tensors) == 10
    assert max(num_tensors[1:]) == num_tensors[1], num_tensors
    # The allocator of the C library may still settle in the first steps.
    assert resident[-1] - resident[2] < 24 * 2**20, resident
    gc.collect()
    assert sum(reference() is not None for reference in outputs) <= 1
