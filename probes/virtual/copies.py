"""Copies of virtual tensors: deep, shallow, and by pickling, which is refused unless somebody draws pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probes.virtual.errors import NotCarriedError
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Machine

_UNCOMPUTED = "nobody computed its values; save from a real run"


def replacements(machine: Machine) -> dict[str, Any]:
    """Method of `torch.Tensor` -> what stands there while the device is there."""
    plain_deepcopy: Callable[..., Tensor] = Tensor.__deepcopy__
    plain_reduce: Callable[..., Any] = Tensor.__reduce_ex__

    def deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
        return _deepcopy(tensor, memo) if is_virtual(tensor) else plain_deepcopy(tensor, memo)

    def shallow(tensor: Tensor) -> Tensor:
        if is_virtual(tensor):
            return _like(tensor, tensor.detach())
        function, arguments, *_ = plain_reduce(tensor, 4)
        return function(*arguments)  # type: ignore[no-any-return]

    def reduce(tensor: Tensor, protocol: Any) -> Any:
        if is_virtual(tensor):
            if machine.picture is None:
                raise NotCarriedError("saving a tensor of the card", _UNCOMPUTED)
            return machine.picture(tensor)
        return plain_reduce(tensor, protocol)

    return {"__deepcopy__": deepcopy, "__copy__": shallow, "__reduce_ex__": reduce}


def _deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(tensor) in memo:
        return memo[id(tensor)]  # type: ignore[no-any-return]
    if not tensor.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"
        )
    made = _like(tensor, tensor.detach().clone())
    if tensor.grad is not None:
        made.grad = copy.deepcopy(tensor.grad, memo)
    memo[id(tensor)] = made
    return made


def _like(tensor: Tensor, made: Tensor) -> Tensor:
    """A tensor as a parameter where the other is one, wanting a gradient where the other does."""
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)
