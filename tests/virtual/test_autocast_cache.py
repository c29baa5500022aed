"""Cast weights under `inference_mode`: kept by older versions, cast at every use by newer ones."""

from __future__ import annotations

import pytest
import torch

from probes.virtual import virtual_cuda


@pytest.mark.parametrize(("version", "kept"), [("2.6.0", True), ("2.13.0", False)])
def test_inference_keeps_cast_weights_in_older_versions_only(version: str, kept: bool) -> None:
    with virtual_cuda("a100-80gb", torch_version=version, environ={}):
        layer = torch.nn.Linear(1024, 1024, bias=False, device="cuda")
        x = torch.zeros(1, 1024, device="cuda")
        layer(x)  # the workspace of the library stays
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
            before = torch.cuda.memory_allocated()
            layer(x)
            held = torch.cuda.memory_allocated() - before
    assert held == (2 * 1024 * 1024 if kept else 0)


def test_no_grad_keeps_them_in_every_version() -> None:
    with virtual_cuda("a100-80gb", torch_version="2.13.0", environ={}):
        layer = torch.nn.Linear(1024, 1024, bias=False, device="cuda")
        x = torch.zeros(1, 1024, device="cuda")
        with torch.no_grad():
            layer(x)
            with torch.autocast("cuda", dtype=torch.bfloat16):
                before = torch.cuda.memory_allocated()
                layer(x)
                assert torch.cuda.memory_allocated() - before == 2 * 1024 * 1024
