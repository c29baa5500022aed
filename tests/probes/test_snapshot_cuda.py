"""Recording a configuration on the card that is here: the trainer's own steps, by PyTorch's own recorder."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora.config import load_config
from ilora_diag.hardware.gpus import find_gpu
from probes.estimate_compose import make_setup
from probes.estimate_trace import Bench, Setup
from probes.recorder import this_card
from probes.snapshot import _run
from probes.snapshot_cuda import CudaBench
from probes.virtual import virtual_cuda

TINY = ("llm=tiny-opt", "data.source=synthetic", "data.max_seq_len=64", "train.batch_size=2")


def _requests(file: Path) -> list[tuple[str, int]]:
    content: dict[str, Any] = pickle.loads(file.read_bytes())  # ours, written a moment ago
    return [(event["action"], event["size"]) for event in content["device_traces"][0]]


def _setup() -> Setup:
    return make_setup(load_config(list(TINY)), find_gpu("t4"), "")


def test_the_card_is_asked_for_what_the_virtual_bench_asks_for(tmp_path: Path) -> None:
    modelled, asked = tmp_path / "modelled.pickle", tmp_path / "asked.pickle"
    assert _run(Bench(_setup(), real_card=True), modelled) is None
    with virtual_cuda("t4"):
        assert this_card().key == "t4"
        assert _run(CudaBench(_setup()), asked) is None
        torch.ones(1 << 20, device="cuda")
        torch.cuda.memory._dump_snapshot(str(tmp_path / "after.pickle"))  # type: ignore[no-untyped-call]
    assert _requests(asked) == _requests(modelled)
    assert len(_requests(asked)) > 100
    assert len(_requests(tmp_path / "after.pickle")) <= len(_requests(asked))  # recording was ended


def test_a_card_that_is_full_is_recorded_as_it_was_then(tmp_path: Path) -> None:
    file = tmp_path / "full.pickle"
    with virtual_cuda("t4", memory=264 << 20):
        words = _run(CudaBench(_setup()), file)
    assert words is not None
    assert words.startswith("CUDA out of memory. Tried to allocate")
    assert "oom" in {action for action, _ in _requests(file)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_card_is_recorded(tmp_path: Path) -> None:
    file = tmp_path / "real.pickle"
    assert _run(CudaBench(make_setup(load_config(list(TINY)), this_card(), "")), file) is None
    assert len(_requests(file)) > 100
