"""The device check in front of every CUDA operator, with the words of the real one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual.keys import is_meta
from probes.virtual.machine import Machine

# Operators that take host tensors beside device ones: indices, step counters, and copies.
_MIXED = (
    "aten::index",
    "aten::_index_put",
    "aten::index_put",
    "aten::copy_",
    "aten::_to_copy",
    "aten::set_",
)


def check_devices(machine: Machine, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse tensors of different devices in one operator.

    Raises:
        RuntimeError: as PyTorch words it; 0-dimensional host tensors count as scalars.
    """
    if func._name.startswith(_MIXED):
        return
    seen: dict[str, str] = {}
    for position, argument in enumerate(func._schema.arguments):
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        for tensor in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(tensor, Tensor) and (tensor.dim() > 0 or is_meta(tensor)):
                seen.setdefault(_name(machine, tensor), argument.name)
    if len(seen) < 2:
        return
    first, second = list(seen)[:2]
    if torch.Tag.pointwise in func.tags:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}!"
        )
    card, other = (first, second) if first.startswith("cuda") else (second, first)
    method = "wrapper_CUDA_" + func._name.split("::")[1].replace(".", "_")
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but got {seen[other]} is on {other}, different from other "
        f"tensors on {card} (when checking argument in method {method})"
    )


def _name(machine: Machine, tensor: Tensor) -> str:
    return f"cuda:{machine.device_of(tensor)}" if is_meta(tensor) else str(tensor.device)
