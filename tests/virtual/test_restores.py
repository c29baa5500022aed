"""After the block everything is as it was, also after an error; inside, one device at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import optimizer as optimizers

from probes.virtual import Machine, VirtualDeviceError, virtual_cuda

_OWNERS: dict[str, Any] = {
    "torch": torch,
    "torch.Tensor": torch.Tensor,
    "torch.UntypedStorage": torch.UntypedStorage,
    "torch.cuda": torch.cuda,
    "torch.cuda.memory": torch.cuda.memory,
    "torch.cuda.random": torch.cuda.random,
    "torch.cuda.nvtx": torch.cuda.nvtx,
    "torch.accelerator": torch.accelerator,
    "torch.autograd": torch.autograd,
    "torch.backends.cuda": torch.backends.cuda,
    "torch.version": torch.version,
    "torch.nn.Module": torch.nn.Module,
    "torch._C": torch._C,
    "torch._C._nn": torch._C._nn,
    "torch.backends.mha": torch.backends.mha,
    "lazy parameters": vars(torch.nn.parameter)["UninitializedTensorMixin"],
    "torch.serialization": torch.serialization,
    "torch.distributed": torch.distributed,
}


def _state() -> dict[str, Any]:
    found: dict[str, Any] = {name: dict(vars(owner)) for name, owner in _OWNERS.items()}
    found["torch"].pop("_dynamo", None)
    keys = ("AutocastCUDA", "AutogradCUDA", "CUDA")
    operators = ("aten::linear", "aten::dropout", "aten::softmax.int", "aten::layer_norm", "aten::mm")
    found["kernels"] = {
        (name, key): torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for name in operators for key in keys
    }
    found["table"] = {name: torch._C._dispatch_dump(name) for name in operators}
    found["threads"] = {thread.name for thread in threading.enumerate()}
    found["modes"] = torch._C._len_torch_dispatch_stack()
    found["hooks"] = (
        len(torch.nn.modules.module._global_forward_hooks),
        len(torch.nn.modules.module._global_forward_pre_hooks),
        len(optimizers._global_optimizer_pre_hooks),
        len(optimizers._global_optimizer_post_hooks),
    )
    found["lift"] = torch._C._only_lift_cpu_tensors()
    found["stub"] = type(sys.modules.get("torch._dynamo")).__name__
    return found


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = []
    for part, old in before.items():
        new = after[part]
        if isinstance(old, dict):
            names = [
                name for name in {*old, *new} if old.get(name) is not new.get(name) and old.get(name) != new.get(name)
            ]
            found += [f"{part}.{name}" for name in names]
        elif old != new:
            found.append(part)
    return found


def _train(tiny: Callable[..., torch.nn.Module], train: Callable[..., object]) -> None:
    model = tiny().cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        train(model, torch.optim.AdamW(model.parameters()), 1)


def test_nothing_stays_behind(tiny: Callable[..., torch.nn.Module], train: Callable[..., object]) -> None:
    model = tiny()  # what is made on first use by torch itself is there before we look
    train(model, torch.optim.AdamW(model.parameters()), 1, device="cpu")
    before = _state()
    with virtual_cuda("h100", environ={}):
        _train(tiny, train)
        assert _differences(before, _state())
    assert _differences(before, _state()) == []
    assert not torch.cuda.is_available() or torch.cuda.get_device_name() != "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize("where", ["on the card", "in a module", "in backward", "outside"])
def test_nothing_stays_behind_after_an_error(
    tiny: Callable[..., torch.nn.Module], train: Callable[..., object], where: str
) -> None:
    class BrokenError(Exception):
        pass

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, given: torch.Tensor) -> torch.Tensor:
            return given * 2

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            raise BrokenError

    def fails() -> None:
        _train(tiny, train)
        if where == "on the card":
            torch.empty(2**50, device="cuda")
        elif where == "in a module":
            tiny().cuda()(torch.zeros(2, 2, device="cuda"))
        elif where == "in backward":
            Broken.apply(torch.ones(2, device="cuda", requires_grad=True)).sum().backward()
        raise BrokenError

    before = _state()
    with pytest.raises((BrokenError, RuntimeError)), virtual_cuda("h100", environ={}):
        fails()
    assert _differences(before, _state()) == []
    with virtual_cuda("h100", environ={}):
        _train(tiny, train)
    assert _differences(before, _state()) == []


def test_only_one_at_a_time(card: Machine) -> None:
    with pytest.raises(VirtualDeviceError, match="active already"), virtual_cuda("t4"):
        pass
    assert torch.cuda.get_device_capability() == (9, 0)  # the outer one is unharmed
    assert torch.ones(2, device="cuda").is_cuda


def test_tensors_that_outlive_the_block_are_harmless() -> None:
    with virtual_cuda("h100", environ={}) as machine:
        kept = torch.ones(3, device="cuda")
    assert machine.cards[0].allocator.allocated_bytes == 512
    del kept
    assert machine.cards[0].allocator.allocated_bytes == 0


def test_host_and_meta_tensors_are_what_they_always_were(card: Machine) -> None:
    host = torch.arange(4.0)
    assert host.device == torch.device("cpu")
    assert not host.is_cuda
    assert (host * 2).tolist() == [0.0, 2.0, 4.0, 6.0]
    assert host.numpy().sum() == 6.0
    assert repr(host) == "tensor([0., 1., 2., 3.])"
    assert host.get_device() == -1
    for made in (
        torch.empty(2, device="meta"),
        torch.ones(2, device="meta") * 2,
        host.to("meta"),
        torch.empty_like(host, device="meta"),
        torch.nn.Linear(2, 2, device="meta").weight,
    ):
        assert made.device == torch.device("meta")
        assert made.is_meta
        assert not made.is_cuda
    with torch.device("meta"):
        assert torch.nn.Linear(2, 2).weight.is_meta
    assert torch.cuda.memory_allocated() == 0


def test_the_default_device_can_be_the_card(card: Machine) -> None:
    with torch.device("cuda"):
        assert torch.ones(2).is_cuda
        assert torch.tensor([1, 2]).is_cuda
        assert torch.nn.Linear(2, 2).weight.is_cuda
        assert torch.arange(3).is_cuda
    assert not torch.ones(2).is_cuda
    torch.set_default_device("cuda")
    try:
        assert torch.zeros(2).is_cuda
        assert torch.get_default_device().type == "cuda"
        assert torch.randperm(4).is_cuda
    finally:
        torch.set_default_device(None)
    assert not torch.ones(2).is_cuda


def test_training_on_the_host_beside_it_computes(
    card: Machine, tiny: Callable[..., Any], train: Callable[..., Any]
) -> None:
    torch.manual_seed(0)
    model = tiny()
    losses = train(model, torch.optim.SGD(model.parameters(), lr=0.5), 3, device="cpu")
    assert losses[0] > losses[-1] > 0
    assert torch.cuda.memory_allocated() == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.zeros(1, 2, dtype=torch.long)).dtype is torch.bfloat16
    assert list(card.notes.sentences()) == []
