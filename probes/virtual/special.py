"""Operators that need more than shapes: moves between host and card, reads of values, indexing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual import accumulate, ctc, grouped, guards, kernels, sized, values
from probes.virtual.errors import NotCarriedError
from probes.virtual.imagined import CHOICES
from probes.virtual.keys import is_meta, tensors_in
from probes.virtual.sized import Handler

if TYPE_CHECKING:
    from probes.virtual.dispatch import VirtualDispatch
    from probes.virtual.machine import Machine

aten = torch.ops.aten
META, CPU = torch.device("meta"), torch.device("cpu")
_HERE = os.path.dirname(__file__)
_MASKS = (torch.bool, torch.uint8)
_IN_ORDER = "arguments that PyTorch checks by their values are taken to be in order"
_NUMBER = "ilora_number"  # on tensors that stand for a number of the host
_FILLS = {
    aten.index_put.default: aten.masked_fill.Scalar,
    aten.index_put_.default: aten.masked_fill_.Scalar,
    aten._index_put_impl_.default: aten.masked_fill_.Scalar,
}


def _to_copy(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    source: Tensor = args[0]
    device = kwargs.get("device")
    if device is not None and device.type == "cpu":
        return _to_host(mode, source, kwargs)
    if device is not None and device.type == "meta" and not is_meta(source):
        return func(*args, **kwargs)
    machine = mode.machine
    index = machine.device_of(source) if device is None or device.type == "meta" else mode.index(device)
    meta_kwargs = {**kwargs, "device": META}
    shape = source if is_meta(source) else source.to(META)
    out = mode.settle(mode.run_on_meta(func, (shape,), meta_kwargs), index, func)
    if not is_meta(source):
        machine.watch.mark_input(out)
    value = values.told(machine, source) if values.is_small(source) else None
    if value is not None:
        values.remember(machine, out, value.to(out.dtype), imagined=values.is_imagined(machine, source))
    return out


def _to_host(mode: VirtualDispatch, source: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """A copy on the host: real values where they are known, zeros where nobody can know them."""
    dtype = kwargs.get("dtype") or source.dtype
    value = _read(mode.machine, source)
    if value is not None:
        return value.to(dtype, copy=True)
    mode.machine.notes.add_value("values copied from the card to the host are zeros")
    return torch.zeros(source.shape, dtype=dtype, device=CPU)


def _read(machine: Machine, source: Tensor) -> Tensor | None:
    """The values of a tensor for a script to see; that they are imagined is noted."""
    value = values.told(machine, source)
    if value is not None and values.is_imagined(machine, source):
        machine.notes.add_value(CHOICES)
    return value


def _copy_(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target, source = args[0], args[1]
    machine = mode.machine
    if not is_meta(target):
        value = _read(machine, source)
        if value is None:
            machine.notes.add_value("values copied from the card to the host are zeros")
            return target.zero_()
        return target.copy_(value)
    value, mine = values.told(machine, source), values.told(machine, target)
    made_up = values.is_imagined(machine, source)
    if value is not None and _is_whole(target):
        values.forget(machine, target)
        values.remember(machine, target, value.expand(target.shape), imagined=made_up)
    elif mine is not None and value is not None and not values.is_uniform(machine, target):
        mine.copy_(value)
        if made_up:
            machine.imagined.add(target.untyped_storage()._cdata)
    else:
        values.forget(machine, target)
    return target


def _is_whole(tensor: Tensor) -> bool:
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _scalar(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `.item()` answers: the value if it is known; a finite 1.0, a 0 or False if not, and a note of it."""
    tensor: Tensor = args[0]
    value = _read(mode.machine, tensor)
    if value is not None:
        return value.item()
    if tensor.dtype.is_floating_point:
        mode.machine.notes.add_value("floating-point values read from the card (such as a loss) are taken to be 1.0")
        return 1.0
    if tensor.dtype is torch.bool and (truth := guards.passing(_asking())) is not None:
        mode.machine.notes.add_value(guards.PASSED)
        return truth
    kind = str(tensor.dtype).removeprefix("torch.")
    mode.machine.notes.add_value(f"{kind} values read from the card are taken to be 0")
    return False if tensor.dtype is torch.bool else 0


def _asking() -> FrameType:
    """The frame that reads a value: the nearest that is not ours."""
    frame = sys._getframe()
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == _HERE:
        frame = frame.f_back
    return frame


def _index(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Indexing: host indices are copied to the card, and boolean masks become the indices of their true places."""
    device = mode.machine.device_of(next(tensor for tensor in tensors_in(args) if is_meta(tensor)))
    given = args[1]
    _check_masks(args[0], given)
    if func in _FILLS and (mask := _only_mask(args, given)) is not None:
        return _fill(mode, func, args, mask)
    untouched = _untouched(mode.machine, func, args[0], given)
    indices: list[Any] = []
    for index in given:
        if index is None:
            indices.append(None)
        elif index.dtype in _MASKS:
            on_card = index if is_meta(index) else _upload(mode, index, device)
            found = sized.by_values(mode, aten.nonzero.default, (on_card,), {})
            indices.extend(
                mode.compute(aten.select.int, (found, 1, dim), {}, [found], None) for dim in range(index.dim())
            )
        else:
            indices.append(index if is_meta(index) else _upload(mode, index, device))
    new_args = (args[0], indices, *args[2:])
    if func is aten.index_put.default and accumulate.is_filled_in_place(args[0]):
        func = aten.index_put_.default
    out = mode.compute(func, new_args, kwargs, list(tensors_in(new_args)), None)
    if untouched is not None:
        values.remember(mode.machine, out, untouched, imagined=True)
    return out


def _untouched(machine: Machine, func: OpOverload, target: Tensor, indices: Sequence[Tensor | None]) -> Tensor | None:
    """The values that stay where an imagined mask lets nothing be written, though memory is taken as for all of it."""
    masks = [index for index in indices if index is not None and index.dtype in _MASKS and is_meta(index)]
    if func is aten.index.Tensor or not is_meta(target) or not _is_whole(target):
        return None
    if not any(_holds_nowhere(machine, mask) for mask in masks):
        return None
    held = values.told(machine, target)
    return None if held is None else held.clone()


def _holds_nowhere(machine: Machine, mask: Tensor) -> bool:
    """Whether a mask is imagined, and false everywhere."""
    value = values.told(machine, mask) if values.is_imagined(machine, mask) else None
    return value is not None and not bool(value.any())


def _check_masks(target: Tensor, indices: Sequence[Tensor | None]) -> None:
    """Masks have the sizes of what they select from. Raises IndexError as a card does."""
    first = 0
    for index in indices:
        if index is None or index.dtype not in _MASKS:
            first += 1
            continue
        for place, size in enumerate(index.shape):
            if first + place >= target.dim() or size != target.shape[first + place]:
                raise IndexError(
                    f"The shape of the mask {list(index.shape)} at index {place} does not match the shape of the "
                    f"indexed tensor {list(target.shape)} at index {first + place}"
                )
        first += index.dim()


def _only_mask(args: tuple[Any, ...], indices: Sequence[Tensor | None]) -> Tensor | None:
    """The mask over all that is written if a number is written where it holds: `x[mask] = 0`.

    The card then fills by the mask and never looks for the true places (aten/src/ATen/native/
    TensorAdvancedIndexing.cpp, `canDispatchToMaskedFill`): the number is on the host, where Python put it.
    """
    target, value, accumulates = args[0], args[2], len(args) > 3 and args[3]
    given = [index for index in indices if index is not None]
    if accumulates or value.numel() != 1 or (is_meta(value) and not getattr(value, _NUMBER, False)):
        return None
    if len(given) != 1 or given[0].dtype not in _MASKS or not is_meta(given[0]) or not is_meta(target):
        return None
    return given[0]


def _fill(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], mask: Tensor) -> Any:
    target, indices, value = args[:3]
    behind = target.dim() - mask.dim() - sum(index is None for index in indices)
    for _ in range(behind):
        mask = mode.compute(aten.unsqueeze.default, (mask, -1), {}, [mask], None)
    number = values.known(mode.machine, value)
    return mode.compute(_FILLS[func], (target, mask, 0 if number is None else number.item()), {}, [target, mask], None)


def _number(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A tensor of one number. C++ makes it, with the options of the target, of a number that is assigned."""
    device = kwargs["device"]
    index = mode.index(device) if device.type == "cuda" else mode.machine.current_device
    out = mode.compute(func, args, kwargs, [], index)
    setattr(out, _NUMBER, device.type != "cuda")
    return out


def _upload(mode: VirtualDispatch, host: Tensor, device: int) -> Tensor:
    return _to_copy(mode, aten._to_copy.default, (host,), {"device": torch.device("cuda", device)})  # type: ignore[no-any-return]


def _equal(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    hosts = [values.known(mode.machine, tensor) for tensor in args[:2]]
    if any(host is None for host in hosts):
        mode.machine.notes.add_value("tensors of unknown values are taken to be equal if their shapes are")
        return bool(args[0].shape == args[1].shape)
    return bool(func(*hosts, *args[2:], **kwargs))


def _holds(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What PyTorch asks to check arguments, such as those of a distribution: they are taken to be in order."""
    out = mode.compute(func, args, kwargs, list(tensors_in(args)), None)
    if values.known(mode.machine, out) is None:
        mode.machine.notes.add(_IN_ORDER)
        values.remember(mode.machine, out, torch.tensor(True, device=CPU))
    return out


def _efficient_backward(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """With fewer key heads, which 2.14 allows and the installed version may not: gradients in the keys' own shape."""
    _, query, key, value = args[:4]
    if key.shape[1] == query.shape[1]:
        return mode.compute(func, args, kwargs, list(tensors_in(args)), None)
    device = mode.machine.device_of(query)
    parts = [_heads_last_like(tensor) for tensor in (query, key, value)]
    out = mode.settle((*parts, None), device, func)
    kernels.take(mode.machine, func, kernels.efficient_backward(mode.machine, args, out, device), device)
    return out


def _heads_last_like(tensor: Tensor) -> Tensor:
    """(B, H, S, D) on meta, in memory as (B, S, H, D)."""
    batch, heads, rows, dim = tensor.shape
    return torch.empty((batch, rows, heads, dim), dtype=tensor.dtype, device=META).transpose(1, 2)


_OF_OTHER_LAYOUTS = {
    "aten::_nested": ("nested tensors", "they keep their sizes beside their values"),
    "aten::_pack_padded_sequence": ("pack_padded_sequence", "cuDNN's recurrent layers, which take it, are not carried"),
}


def handler_of(func: OpOverload) -> Handler | None:
    """What runs an operator in place of the ordinary way; None where nothing does."""
    handler = HANDLERS.get(func) or sized.handler_of(func)
    if handler is None and func._name.startswith(tuple(_OF_OTHER_LAYOUTS)):
        return _refused
    return handler


def _refused(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    what, why = next(told for name, told in _OF_OTHER_LAYOUTS.items() if func._name.startswith(name))
    raise NotCarriedError(what, why)


HANDLERS: dict[OpOverload, Handler] = {
    aten._to_copy.default: _to_copy,
    aten.copy_.default: _copy_,
    aten._local_scalar_dense.default: _scalar,
    aten.item.default: _scalar,
    aten.index.Tensor: _index,
    aten.index_put.default: _index,
    aten.index_put_.default: _index,
    aten._index_put_impl_.default: _index,
    aten.scalar_tensor.default: _number,
    aten.equal.default: _equal,
    aten.allclose.default: _equal,
    aten._is_all_true.default: _holds,
    aten._scaled_dot_product_efficient_attention_backward.default: _efficient_backward,
    aten.add.Tensor: accumulate.add,
    **dict.fromkeys(accumulate.IN_PLACE, accumulate.fill),
    aten._grouped_mm.default: grouped.grouped_mm,
    **ctc.HANDLERS,
}
