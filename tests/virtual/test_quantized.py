"""4-bit bases and 8-bit optimizers: bitsandbytes itself runs on the virtual card: its operators have shape rules."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ilora_diag.schema import Category
from probes.virtual import Machine

bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (it needs no card)")


def _linear(rows: int, columns: int, *, double: bool) -> Any:
    layer = bitsandbytes.nn.Linear4bit(
        columns, rows, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", compress_statistics=double
    )
    return layer.cuda()


def _blocks(nbytes: int) -> int:
    return -(-nbytes // 512) * 512


@pytest.mark.parametrize("double", [False, True])
def test_a_frozen_base_in_four_bits(card: Machine, double: bool) -> None:
    rows, columns = 1024, 512
    layer = _linear(rows, columns, double=double)
    gc.collect()
    values = rows * columns
    scales = _blocks(values // 64) + _blocks(values // 64 // 256 * 4) if double else _blocks(values // 64 * 4)
    held = torch.cuda.memory_allocated()
    assert layer.weight.dtype is torch.uint8
    assert layer.weight.nbytes == values // 2
    assert 0 < held - values // 2 - scales <= 4096  # the code of nf4; of the scales the code and their mean
    given = torch.randn(64, columns, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    before = torch.cuda.memory_allocated()
    out = layer(given)
    assert torch.cuda.memory_allocated() - before == out.nbytes  # the weight in 16 bits is not kept for backward
    out.sum().backward()
    assert given.grad is not None
    made = [card.ledger.sizes[n] for n in range(1, len(card.ledger.sizes)) if "dequantize_4bit" in card.ledger.ops[n]]
    assert made.count(values * 4) >= 1  # back in the type it was quantized from, float32, and cast after that


def test_adapters_over_four_bits(card: Machine) -> None:
    peft = pytest.importorskip("peft")
    model = nn.Sequential(_linear(64, 64, double=True), nn.ReLU(), _linear(64, 64, double=True))
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["0", "2"])).cuda()
    trainable = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable)
    for _ in range(2):
        adapted(torch.randn(8, 64, device="cuda", dtype=torch.bfloat16)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    states = [n for n, kind in card.ledger.fixed.items() if kind is Category.OPTIMIZER_STATE]
    assert sum(card.ledger.sizes[n] for n in states) == 2 * sum(parameter.nbytes for parameter in trainable)


def test_states_in_eight_bits(card: Machine, train: Callable[..., Any]) -> None:
    model = nn.Sequential(nn.Embedding(64, 128), nn.Linear(128, 64, bias=False)).cuda()
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters())
    train(model, optimizer, 3)
    state = optimizer.state[model[1].weight]
    assert {state[name].dtype for name in ("state1", "state2")} == {torch.uint8}
    assert state["state1"].numel() == model[1].weight.numel()
    assert state["absmax1"].numel() == -(-model[1].weight.numel() // 256)
    live = [n for n, kind in card.ledger.fixed.items() if kind is Category.OPTIMIZER_STATE]
    assert sum(card.ledger.sizes[n] for n in live) >= 2 * model[1].weight.numel()
