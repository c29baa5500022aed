"""Placement on a virtual card: which tensor it stops at, and what a segmentation fault leaves in the journal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from torch import nn

from ilora_diag.engine.place_run import LEAVES, PlaceRun, row_of
from ilora_diag.engine.trial_run import FOLDER
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.known import Settings
from ilora_diag.schema.place import PlaceClass, Placement, PlaceMode, PlaceOutcome
from ilora_diag.schema.trial import Status
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Target, TrialRequest
from probes.place import attempt
from probes.place_walk import leaves_of, skeleton

MODELS = """
import os, signal, torch
from torch import nn
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.ones(width))
        self.register_buffer("seen", torch.zeros(1))
    def forward(self, x):
        return self.inner(x) * self.gain
"""


def script(folder: Path, text: str) -> str:
    path = folder / "place.py"
    path.write_text(MODELS + dedent(text))
    return str(path)


def tried(
    folder: Path, name: str, mode: PlaceMode, *, only: str = "", settings: Settings = ()
) -> tuple[TrialAnswer, list[dict[str, Any]]]:
    request = TrialRequest(id="T-01", target=Target.SCRIPT, script=name, device="virtual:t4", settings=settings)
    journal = folder / LEAVES
    answer = attempt(request, journal, mode, only, time.perf_counter())
    return answer, [json.loads(line) for line in journal.read_text().splitlines()]


TWO = """
first, second = Block(512), Block(256)
first.to("cuda")
second.half().cuda()
first(torch.ones(2, 512, device="cuda"))
raise SystemExit("not reached: everything is placed when the first model is called")
"""


def test_every_tensor_is_told_before_it_moves_and_after_in_the_order_of_the_module(tmp_path: Path) -> None:
    answer, lines = tried(tmp_path, script(tmp_path, TWO), PlaceMode.WALK)
    assert answer.end is TrialEnd.PASSED
    assert [line["event"] for line in lines] == ["leaf", "ok"] * 8
    names = [line["name"] for line in lines if line["event"] == "leaf"]
    assert names == ["inner.weight", "inner.bias", "gain", "seen"] * 2
    weight = lines[8]
    assert (weight["dtype"], weight["shape"], weight["size_bytes"]) == ("float16", [256, 256], 2 * 256 * 256)
    assert weight["is_contiguous"]
    allocated = [line["allocated_bytes"] for line in lines if line["event"] == "ok"]
    assert allocated == sorted(allocated)
    assert allocated[0] > 0


def test_alone_random_reversed_and_first_touch_move_what_they_say(tmp_path: Path) -> None:
    name = script(tmp_path, TWO)
    for mode, only, moved in (
        (PlaceMode.ALONE, "gain", ["gain"]),
        (PlaceMode.RANDOM, "gain", ["gain"]),
        (PlaceMode.REVERSED, "", ["seen", "gain", "inner.bias", "inner.weight"]),
        (PlaceMode.FIRST_TOUCH, "", []),
    ):
        answer, lines = tried(tmp_path, name, mode, only=only)
        assert answer.end is TrialEnd.PASSED
        assert [line["name"] for line in lines if line["event"] == "leaf"] == moved


def test_a_card_that_is_too_small_stops_at_the_tensor_that_is_too_much(tmp_path: Path) -> None:
    name = script(tmp_path, "Block(8192).to('cuda')")  # 256 MiB in one tensor
    answer, lines = tried(tmp_path, name, PlaceMode.WALK, settings=(("device.memory_bytes", 400 << 20),))
    assert answer.end is TrialEnd.FAILED
    assert answer.error is not None
    assert "out of memory" in answer.error.message
    assert [line["event"] for line in lines] == ["leaf"]
    assert lines[0]["name"] == "inner.weight"


def test_modules_without_contents_keep_names_shapes_strides_and_ties() -> None:
    model = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 8, bias=False))
    model[1].weight = model[0].weight
    model.register_buffer("turned", torch.ones(3, 5).t())
    bare = skeleton(model)
    own, other = ([leaf for leaf, _ in leaves_of(one)] for one in (model, bare))
    assert own == other
    assert [leaf.name for leaf in own] == ["0.weight", "turned"]
    assert not own[1].is_contiguous
    assert all(tensor.is_meta for _, tensor in leaves_of(bare))


def placed(folder: Path, request: BisectRequest) -> Placement:
    return PlaceRun(
        request=request,
        folder=folder,
        command="ilora-diag bisect-device",
        subject="a test",
        tool_version="0",
        tell=lambda mode, row: None,
        stop=lambda: False,
    ).run()


POISON = """
class Poison(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.to:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__torch_function__(func, types, args, kwargs or {})
model = nn.Sequential(Block(64), Block(64))
weight = model[1].inner.weight
model[1].inner.weight = nn.Parameter(weight.detach().as_subclass(Poison))
model.to("cuda")
"""


@pytest.mark.slow
def test_a_segmentation_fault_leaves_the_name_of_its_tensor_and_is_of_that_tensor_alone(tmp_path: Path) -> None:
    request = BisectRequest(target=Target.SCRIPT, script=script(tmp_path, POISON), device="virtual:t4")
    run = tmp_path / "run"
    run.mkdir()
    found = placed(run, request)
    assert found.culprit is not None
    assert found.culprit.name == "1.inner.weight"
    assert found.answer is PlaceClass.TENSOR_SPECIFIC
    assert found.trials[0].status is Status.CRASHED
    assert found.trials[0].signal == "SIGSEGV"
    assert [(row.mode, row.outcome) for row in found.table[:4]] == [
        (PlaceMode.WALK, PlaceOutcome.FAILS),
        (PlaceMode.FIRST_TOUCH, PlaceOutcome.PASSES),
        (PlaceMode.ALONE, PlaceOutcome.FAILS),
        (PlaceMode.RANDOM, PlaceOutcome.PASSES),
    ]
    assert found.table[0].num_moved == 4
    journal = (run / FOLDER / "T-01" / LEAVES).read_text().splitlines()
    (run / FOLDER / "T-01" / LEAVES).write_text("\n".join(journal) + '\n{"event": "le')  # cut in the middle of a line
    again = row_of(PlaceMode.WALK, found.trials[0], run / FOLDER / "T-01" / LEAVES, "")
    assert again.leaf == found.culprit


@pytest.mark.slow
def test_expandable_segments_without_virtual_memory_management_are_the_allocators_setting(tmp_path: Path) -> None:
    request = BisectRequest(
        target=Target.SCRIPT,
        script=script(tmp_path, "Block(64).to('cuda')"),
        device="virtual:a10",
        base=(("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"), ("device.vmm", False)),
    )
    found = placed(tmp_path, request)
    assert found.answer is PlaceClass.ALLOCATOR
    modes = [(row.mode, row.outcome) for row in found.table[:3]]
    assert modes == [
        (PlaceMode.WALK, PlaceOutcome.FAILS),
        (PlaceMode.FIRST_TOUCH, PlaceOutcome.FAILS),
        (PlaceMode.ALLOCATOR, PlaceOutcome.PASSES),
    ]
    assert "operation not supported" in found.error_text
    assert (found.allocator_before, found.allocator_after) == ("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True", "")


def test_a_configuration_is_walked_whole(tmp_path: Path) -> None:
    request = TrialRequest(id="T-01", target=Target.CONFIG, config="tiny", device="virtual:t4")
    answer = attempt(request, tmp_path / LEAVES, PlaceMode.WALK, "", time.perf_counter())
    assert answer.end is TrialEnd.PASSED, answer.error
    lines = [json.loads(line) for line in (tmp_path / LEAVES).read_text().splitlines()]
    names = [line["name"] for line in lines if line["event"] == "leaf"]
    assert {name.partition(".")[0] for name in names} >= {"llm", "recommender"}
    assert lines[-1]["event"] == "ok"
    metrics = {metric.name: metric.value for metric in answer.metrics}
    assert metrics["num_moved"] == len(names)
