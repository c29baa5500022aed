"""Tensors on the move: the methods that name a device or follow another tensor's.

C++ cannot complete `cuda` to `cuda:0` without a driver, and of a virtual tensor it believes that it is on `meta`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import parameter as parameters

from probes.virtual import old_types
from probes.virtual.devices import completed, index_of
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

_base: Any = torch._C.TensorBase
_TO = ("device", "dtype", "non_blocking", "copy")


def install(machine: Machine, patches: Patches) -> None:
    """Put the methods in place, also where a lazy module's parameters without a shape may be moved."""
    methods = _methods(machine)
    shapeless: Any = vars(parameters)["UninitializedTensorMixin"]  # not declared to type checkers
    allowed: list[Any] = shapeless._allowed_methods
    moving = [methods[name] for name in methods if getattr(Tensor, name) in allowed]
    patches.replace_all(Tensor, methods)
    patches.replace(shapeless, "_allowed_methods", [*allowed, *moving])


def _methods(machine: Machine) -> dict[str, Any]:
    """Method of `torch.Tensor` -> what stands there while the device is there."""

    def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        other = kwargs.pop("other", None) if not args else args[0]
        if isinstance(other, Tensor):
            args = (other.device, other.dtype, *args[1:])
        if args and isinstance(args[0], torch.dtype):
            return _base.to(tensor, *args, **kwargs)  # type: ignore[no-any-return]
        kwargs.update(zip(_TO, args, strict=False))
        device = kwargs.pop("device", None)
        if device is not None:
            target = completed(machine, device)
            if target != tensor.device:
                kwargs["device"] = target
        return _move(tensor, **kwargs)

    def cuda(
        tensor: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = torch.preserve_format
    ) -> Tensor:
        target = torch.device("cuda", index_of(machine, device))
        return tensor if tensor.device == target else _move(tensor, target, None, non_blocking, False, memory_format)

    def type_(tensor: Tensor, dtype: Any = None, non_blocking: bool = False, **_: Any) -> Any:
        if dtype is None:
            with torch._C.DisableTorchFunction():  # which would come back here and answer with the name we make of it
                name = _base.type(tensor)
            return name.replace("torch.", "torch.cuda.", 1).replace("meta.", "") if tensor.is_cuda else name
        old = old_types.named(dtype) if isinstance(dtype, str) else dtype
        if isinstance(old, old_types.OldType):
            return to(tensor, "cuda", old.dtype, non_blocking=non_blocking)
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


def _move(
    tensor: Tensor,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: torch.memory_format | None = None,
) -> Tensor:
    if device is None and not copy and memory_format is None and dtype in (None, tensor.dtype):
        return tensor
    options = {"non_blocking": non_blocking, "copy": copy, "memory_format": memory_format}
    if device is None:
        return _base.to(tensor, dtype or tensor.dtype, **options)  # type: ignore[no-any-return]
    return _base.to(tensor, device, dtype, **options)  # type: ignore[no-any-return]
