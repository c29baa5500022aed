"""The recorder on a real card: a small configuration, its phases, its sequence, the machine's facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu_truth
from benchmarks.truth.sequences import decode
from benchmarks.truth.workload import Workload

pytestmark = pytest.mark.gpu

TINY = Workload(model="tiny", batch=2, length=64)


@pytest.fixture(scope="module", autouse=True)
def cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device (CUDA build {torch.version.cuda})")


def test_a_configuration_is_recorded_phase_by_phase(tmp_path: Path) -> None:
    (item,) = [item for item in gpu_truth.items([TINY]) if item.request["kind"] == "workload"]
    answer = gpu_truth.record(item, 200)
    assert answer["outcome"] == "ok", answer.get("message")
    for phase in answer["phases"]:
        peak = phase["peak"]
        assert 0 < peak["requested_bytes"] <= peak["allocated_bytes"] <= peak["reserved_bytes"]
    # Replaying the sequence of requests gives what was still requested at the end of the recording.
    live: dict[int, int] = {}
    for action, size, index in decode(answer["events"]):
        live[index] = size
        if action != "alloc":
            del live[index]
    assert sum(live.values()) > 0
    assert answer["attention_ops"]


def test_the_machine_is_described(tmp_path: Path) -> None:
    facts = gpu_truth.record(gpu_truth.Item("machine", {"kind": "machine"}, {}), 200)
    assert facts["versions"]["total_memory_bytes"] > 0
    context = facts["context"]["after_first_touch"]
    assert context["driver_used_bytes"] > context["reserved_bytes"]


def test_the_small_probes_answer(tmp_path: Path) -> None:
    found = gpu_truth.record(gpu_truth.Item("micro", {"kind": "micro"}, {}), 280)
    assert found["workspaces"]["float32 forward"] >= 0
    sequences = [value for value in found["probes"].values() if isinstance(value, list)]
    assert len(sequences) > len(found["probes"]) / 2
