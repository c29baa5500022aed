"""Modules move, change type, share weights and load states as on a card."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from probes.virtual import Machine


def _rounded(module: nn.Module) -> int:
    tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(-(-tensor.nbytes // 512) * 512 for tensor in tensors.values())


def test_moving_keeps_the_parameter_objects(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model = tiny()
    before = [id(parameter) for parameter in model.parameters()]
    assert model.cuda() is model
    assert [id(parameter) for parameter in model.parameters()] == before
    assert torch.cuda.memory_allocated() == _rounded(model)
    model.cpu()
    assert torch.cuda.memory_allocated() == 0
    model.to("cuda:0").to(torch.float16)
    gc.collect()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
    assert torch.cuda.memory_allocated() == _rounded(model)


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double", "float"])
def test_changing_the_type(card: Machine, tiny: Callable[..., nn.Module], cast: str) -> None:
    model = tiny().cuda()
    getattr(model, cast)()
    assert torch.cuda.memory_allocated() == _rounded(model)
    assert torch.cuda.max_memory_allocated() < 3.5 * _rounded(model)
    assert all(parameter.is_cuda for parameter in model.parameters())


def test_from_meta_to_the_card(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    with torch.device("meta"):
        model = tiny()
    assert torch.cuda.memory_allocated() == 0
    model.to_empty(device="cuda")
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}
    assert torch.cuda.memory_allocated() == _rounded(model)
    with torch.device("cuda"):
        again = tiny()
    assert torch.cuda.memory_allocated() == _rounded(model) + _rounded(again)
    again.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
    for parameter in again.parameters():
        nn.init.normal_(parameter)


def test_shared_weights_count_once(card: Machine) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(1000, 64)
            self.head = nn.Linear(64, 1000, bias=False)
            self.head.weight = self.embed.weight

    model = Tied().cuda()
    assert model.head.weight is model.embed.weight
    assert torch.cuda.memory_allocated() == 256_000
    model.half()
    assert model.head.weight is model.embed.weight
    assert torch.cuda.memory_allocated() == 128_000


def test_states_load_both_ways(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model, other = tiny().cuda(), tiny()
    state = model.state_dict()
    assert all(value.is_cuda for value in state.values())
    allocated = torch.cuda.memory_allocated()
    assert model.load_state_dict(other.state_dict()).missing_keys == []
    assert torch.cuda.memory_allocated() == allocated
    model.load_state_dict({name: value.cuda() for name, value in other.state_dict().items()}, assign=True)
    del state
    gc.collect()
    assert torch.cuda.memory_allocated() == allocated
    assert all(parameter.is_cuda for parameter in model.parameters())


def test_everything_is_given_back(card: Machine, tiny: Callable[..., nn.Module], train: Callable[..., Any]) -> None:
    model = tiny(dropout=0.1).cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, 2)
    after_two = (torch.cuda.memory_allocated(), torch.cuda.memory_reserved(), torch.cuda.max_memory_allocated())
    train(model, optimizer, 50)
    assert (
        torch.cuda.memory_allocated(),
        torch.cuda.memory_reserved(),
        torch.cuda.max_memory_allocated(),
    ) == after_two
    del model, optimizer
    gc.collect()
    left = [number for number in range(1, len(card.ledger.sizes)) if card.ledger.freed_in[number] is None]
    assert {card.ledger.category(number).value for number in left} == {"workspace"}
    assert torch.cuda.memory_allocated() == sum(card.ledger.sizes[number] for number in left)
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() == torch.cuda.memory_reserved() == 0


def test_parametrized_and_pruned_modules(card: Machine) -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)).cuda()
    layer(torch.ones(1, 4, device="cuda")).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.is_cuda for parameter in layer.parameters())


def test_convolutions_and_norms(card: Machine) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    ).cuda()
    model(torch.randn(4, 3, 8, 8, device="cuda")).sum().backward()
    assert model[0].weight.grad.is_cuda
    assert model[1].num_batches_tracked.item() == 1
