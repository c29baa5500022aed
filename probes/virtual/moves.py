"""Tensors on the move: the methods that name a device or follow another tensor's.

C++ cannot complete `cuda` to `cuda:0` without a driver, and of a virtual tensor it believes that it is on `meta`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probes.virtual.devices import index_of
from probes.virtual.machine import Machine

_base: Any = torch._C.TensorBase


def replacements(machine: Machine) -> dict[str, Any]:
    """Method of `torch.Tensor` -> what stands there while the device is there."""

    def here(device: Any) -> Any:
        found = torch.device(device)
        return torch.device("cuda", index_of(machine, found)) if found.type == "cuda" else found

    def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args:
            first = args[0]
            if isinstance(first, Tensor):
                args = (first.device, first.dtype, *args[1:])
            elif isinstance(first, (str, int, torch.device)):
                args = (here(first), *args[1:])
        if "other" in kwargs:
            other = kwargs.pop("other")
            args = (other.device, other.dtype)
        if kwargs.get("device") is not None:
            kwargs["device"] = here(kwargs["device"])
        return _base.to(tensor, *args, **kwargs)  # type: ignore[no-any-return]

    def cuda(
        tensor: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = torch.preserve_format
    ) -> Tensor:
        target = torch.device("cuda", index_of(machine, device))
        return _base.to(tensor, target, non_blocking=non_blocking, memory_format=memory_format)  # type: ignore[no-any-return]

    def type_(tensor: Tensor, dtype: Any = None, non_blocking: bool = False, **_: Any) -> Any:
        if dtype is None:
            name = _base.type(tensor)
            return name.replace("torch.", "torch.cuda.", 1).replace("meta.", "") if tensor.is_cuda else name
        if isinstance(dtype, str) and dtype.startswith("torch.cuda."):
            made = getattr(torch, dtype.removeprefix("torch.cuda."))
            return to(tensor, "cuda", made.dtype, non_blocking=non_blocking)
        return _base.type(tensor, dtype, non_blocking=non_blocking)

    def new_tensor(tensor: Tensor, data: Any, **kwargs: Any) -> Tensor:
        kwargs.setdefault("dtype", tensor.dtype)
        kwargs.setdefault("device", tensor.device)
        return torch.tensor(data, **kwargs)

    return {
        "to": to,
        "cuda": cuda,
        "type": type_,
        "type_as": lambda tensor, other: to(tensor, other),
        "new_tensor": new_tensor,
    }
