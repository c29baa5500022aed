"""A virtual run can be recorded and dumped as a snapshot in PyTorch's own form."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from probes.virtual import Machine, virtual_cuda


def test_a_recorded_step_can_be_dumped_and_read(
    card: Machine, tiny: Callable[..., nn.Module], train: Callable[..., Any], tmp_path: Path
) -> None:
    torch.cuda.memory._record_memory_history(max_entries=100_000)
    model = tiny().cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, 2)
    path = tmp_path / "snapshot.pickle"
    torch.cuda.memory._dump_snapshot(str(path))
    torch.cuda.memory._record_memory_history(enabled=None)
    snapshot = pickle.loads(path.read_bytes())
    assert {"segments", "device_traces", "allocator_settings"} <= set(snapshot)
    held = sum(segment["total_size"] for segment in snapshot["segments"])
    assert held == torch.cuda.memory_reserved()
    active = [
        block["size"]
        for segment in snapshot["segments"]
        for block in segment["blocks"]
        if "allocated" in block["state"]
    ]
    assert sum(active) == torch.cuda.memory_allocated()
    (trace,) = snapshot["device_traces"]
    actions = {event["action"] for event in trace}
    assert {"alloc", "free_requested", "free_completed", "segment_alloc"} <= actions
    frames = [frame["name"] for event in trace if event["action"] == "alloc" for frame in event["frames"]]
    assert "forward" in frames
    assert not any("probes/virtual" in frame["filename"] for event in trace for frame in event["frames"])
    assert len(torch.cuda.memory_snapshot()) == len(snapshot["segments"])


def test_the_viewer_of_torch_reads_it(card: Machine, tmp_path: Path) -> None:
    from torch.cuda import _memory_viz as viewer

    torch.cuda.memory._record_memory_history()
    kept = torch.ones(1000, device="cuda")
    torch.ones(10, device="cuda")
    snapshot = torch.cuda.memory._snapshot()
    for draw in (viewer.segsum, viewer.trace, viewer.trace_plot, viewer.segment_plot):
        assert draw(snapshot)
    assert kept.is_cuda


def test_nothing_is_recorded_unless_asked(card: Machine) -> None:
    torch.ones(1, device="cuda")
    assert torch.cuda.memory._snapshot()["device_traces"] == [[]]


def test_every_card_has_a_trace_of_its_own() -> None:
    with virtual_cuda("l4", devices=2, environ={}):
        torch.cuda.memory._record_memory_history(context=None)
        torch.ones(1, device="cuda:1")
        first, second = torch.cuda.memory._snapshot()["device_traces"]
        assert first == []
        assert [event["action"] for event in second][:2] == ["segment_alloc", "alloc"]
        assert all(event["frames"] == [] for event in second)
