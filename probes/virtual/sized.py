"""Operators whose outputs' sizes depend on values: exact where those are known, else the largest they can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual import values
from probes.virtual.errors import NotCarriedError
from probes.virtual.keys import is_meta

if TYPE_CHECKING:
    from probes.virtual.dispatch import VirtualDispatch

aten = torch.ops.aten
Handler = Callable[["VirtualDispatch", OpOverload, tuple[Any, ...], dict[str, Any]], Any]
META, CPU = torch.device("meta"), torch.device("cpu")


def by_values(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Outputs whose size depends on values: exact where they are known, else the largest they can be."""
    machine = mode.machine
    tensors = [value for value in args if isinstance(value, Tensor)]
    device = machine.device_of(next(tensor for tensor in tensors if is_meta(tensor)))
    hosts = [values.known(machine, tensor) for tensor in tensors]
    if all(host is not None for host in hosts):
        queue = iter(hosts)
        result = func(*(next(queue) if isinstance(value, Tensor) else value for value in args), **kwargs)
        return _place(mode, result, device, func)
    machine.notes.add_value(f"{func._name} of unknown values is taken at its largest")
    return _place(mode, _largest_of(func)(*args, **kwargs), device, func, known=False)


def _counts(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`bincount`: as many counts as `minlength` says where nobody knows a larger value."""
    machine = mode.machine
    given = {**dict(zip(("source", "weights", "minlength"), args, strict=False)), **kwargs}
    source, weights, minlength = args[0], given.get("weights"), given.get("minlength", 0)
    number = values.known(machine, source)
    if number is None:
        if not minlength:
            raise NotCarriedError(f"{func._name} of unknown values", "its size depends on values nobody computed")
        machine.notes.add_value(f"{func._name} of unknown values is taken to be as long as minlength")
    elif weights is None or values.known(machine, weights) is not None:
        return by_values(mode, func, (source, weights, minlength), {})
    highest = int(number.max()) + 1 if number is not None and number.numel() else 0
    dtype = torch.int64 if weights is None else torch.float32 if weights.dtype is torch.float32 else torch.float64
    counts = torch.zeros(max(minlength, highest), dtype=dtype, device=CPU)
    return _place(mode, counts, machine.device_of(source), func, known=False)


def _place(mode: VirtualDispatch, result: Any, device: int, func: OpOverload, *, known: bool = True) -> Any:
    if isinstance(result, (tuple, list)):
        return type(result)(_place(mode, member, device, func, known=known) for member in result)
    if not isinstance(result, Tensor):
        return result
    shape = torch.empty_strided(result.shape, result.stride(), dtype=result.dtype, device=META)
    out = mode.settle(shape, device, func)
    if known:
        values.remember(mode.machine, out, result)
    return out


def _all_nonzero(tensor: Tensor) -> Tensor:
    return torch.zeros((tensor.numel(), tensor.dim()), dtype=torch.int64, device=CPU)


def _all_selected(tensor: Tensor, mask: Tensor) -> Tensor:
    count = torch.broadcast_shapes(tensor.shape, mask.shape).numel()  # type: ignore[no-untyped-call]
    return torch.zeros(count, dtype=tensor.dtype, device=CPU)


def _all_unique(tensor: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    flat = torch.zeros(tensor.numel(), dtype=tensor.dtype, device=CPU)
    index = torch.zeros(tensor.shape, dtype=torch.int64, device=CPU)
    return flat, index, torch.zeros(tensor.numel(), dtype=torch.int64, device=CPU)


def _all_kept(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.zeros(boxes.shape[0], dtype=torch.int64, device=CPU)


def _repeat_interleave(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    repeats = args[0]
    value = values.known(mode.machine, repeats)
    size = kwargs.get("output_size")
    if value is None and size is None:
        raise NotCarriedError("repeat_interleave of unknown repeats", "its size depends on values nobody computed")
    device = mode.machine.device_of(repeats)
    result = func(value) if value is not None else torch.zeros(size or 0, dtype=torch.int64, device=CPU)
    return _place(mode, result, device, func, known=value is not None)


def _kept_by_library(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    mode.machine.notes.add(f"the scratch of {func._name} is not counted: no measurement of it is known")
    return by_values(mode, func, args, kwargs)


_LARGEST: dict[OpOverload, Callable[..., Any]] = {
    aten.nonzero.default: _all_nonzero,
    aten.masked_select.default: _all_selected,
    aten._unique2.default: _all_unique,
    aten.unique_consecutive.default: _all_unique,
    aten.unique_dim.default: _all_unique,
}

# Operators of other libraries, which are there only when those are imported.
_LARGEST_BY_NAME = {"torchvision::nms": _all_kept}


def _largest_of(func: OpOverload) -> Callable[..., Any]:
    return _LARGEST.get(func) or _LARGEST_BY_NAME[func._name]


_HANDLERS: dict[OpOverload, Handler] = {
    aten.bincount.default: _counts,
    aten.repeat_interleave.Tensor: _repeat_interleave,
    **dict.fromkeys(_LARGEST, by_values),
}


def handler_of(func: OpOverload) -> Handler | None:
    """What runs an operator whose sizes depend on values; None for others."""
    return _kept_by_library if func._name in _LARGEST_BY_NAME else _HANDLERS.get(func)
