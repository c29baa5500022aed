"""Runs one workload on a device and says what it needed: the same function on a card and on the virtual device.

It uses torch's public functions alone: statistics, their reset, the recorded history. A step that runs out of memory
is an answer, with the peaks up to there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from benchmarks.truth import sequences
from benchmarks.truth.models import Trainee, build
from benchmarks.truth.phases import PhaseMeter
from benchmarks.truth.workload import Workload

MAX_EVENTS = 400_000


def run(workload: Workload, device: str) -> dict[str, Any]:
    """Build the model, train `steps` steps, validate one batch.

    Args:
        workload: what to run.
        device: cuda, or cpu to exercise the code without statistics.

    Returns:
        `outcome` (ok or oom), `message` of the error, `phases` (see PhaseMeter), and `events` if the workload asks for
        them (see sequences.encode).
    """
    meter = PhaseMeter(device)
    result: dict[str, Any] = {"outcome": "ok", "message": None}
    with history(workload, device) as events:
        try:
            with meter.phase("load"):
                trainee = build(workload, device)
                optimizer = make_optimizer(workload, trainee)
            if workload.loop == "lightning":
                from benchmarks.truth.lightning_loop import train_with_lightning

                train_with_lightning(workload, trainee, optimizer, meter, device)
            else:
                train(workload, trainee, optimizer, meter, device)
        except torch.OutOfMemoryError as error:
            meter.end()
            result |= {"outcome": "oom", "message": str(error).splitlines()[0]}
    result["phases"] = meter.records
    if events:
        result["events"] = sequences.encode(events)
    return result


def make_optimizer(workload: Workload, trainee: Trainee) -> torch.optim.Optimizer:
    """The workload's optimizer over what is trainable."""
    name, _, implementation = workload.optimizer.partition("-")
    if name == "sgd":
        return torch.optim.SGD(trainee.parameters(), lr=1e-4)
    flags = {"foreach": {"foreach": True}, "fused": {"fused": True}, "single": {"foreach": False}}[implementation]
    return torch.optim.AdamW(trainee.parameters(), lr=1e-4, **flags)  # type: ignore[arg-type]


def train(
    workload: Workload, trainee: Trainee, optimizer: torch.optim.Optimizer, meter: PhaseMeter, device: str
) -> None:
    """The loop written out, as ilora.loops.plain does it."""
    kind = torch.device(device).type
    scaler = torch.amp.GradScaler(kind, enabled=workload.precision == "fp16-autocast" and kind == "cuda")
    for step in range(1, workload.steps + 1):
        with meter.phase("forward", step):
            batch = trainee.make_batch().to(device)
            with autocast(workload, kind):
                loss = trainee.module(batch)
        with meter.phase("backward", step):
            scaler.scale(loss).backward()
            del loss, batch
        with meter.phase("optimizer", step):
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_([p for p in trainee.parameters() if p.grad is not None], 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
    trainee.module.eval()
    with meter.phase("validation"), torch.no_grad(), autocast(workload, kind):
        trainee.module(trainee.make_batch().to(device))
    trainee.module.train()


def autocast(workload: Workload, kind: str) -> AbstractContextManager[object]:
    """The workload's autocast, or nothing; CPU knows bf16 alone."""
    if not workload.autocast:
        return nullcontext()
    half = workload.precision == "fp16-autocast" and kind == "cuda"
    return torch.autocast(kind, dtype=torch.float16 if half else torch.bfloat16)


@contextmanager
def history(workload: Workload, device: str) -> Iterator[list[dict[str, Any]]]:
    """Record the allocator's events inside the block; the list is filled at its end and empty where none are asked."""
    found: list[dict[str, Any]] = []
    if not workload.events or torch.device(device).type != "cuda":
        yield found
        return
    torch.cuda.memory._record_memory_history(enabled="all", context=None, stacks="python", max_entries=MAX_EVENTS)
    try:
        yield found
    finally:
        traces = torch.cuda.memory._snapshot()["device_traces"]
        found.extend(traces[torch.cuda.current_device()] if traces else [])
        torch.cuda.memory._record_memory_history(enabled=None)
