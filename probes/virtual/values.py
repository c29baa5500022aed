"""Values that are known although nothing is computed: small integer, boolean and scalar tensors.

Token ids, masks, lengths and indices come from the host and stay small, and code branches on them (`mask.all()`,
`nonzero`, `.item()`). So a host copy travels along, and operators whose inputs all have one are run on the copies as
well. Floating-point results of the model are never known.

What was chosen by such results (`probes.virtual.imagined`) gets values that could be, so that a script reads the same
thing wherever it looks. They are told, and so is what is computed of them, but they are not known: no size follows from
them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual.keys import is_meta, tensors_in
from probes.virtual.machine import Machine

MAX_BYTES = 4 << 20
MAX_FLOATS = 64
_Storage: Any = torch.UntypedStorage
_HOST = torch.device("cpu")  # said wherever a tensor is made: a script may have chosen another default
_DECIDING = {
    torch.ops.aten.bitwise_or.Tensor: True,
    torch.ops.aten.bitwise_or_.Tensor: True,
    torch.ops.aten.logical_or.default: True,
    torch.ops.aten.logical_or_.default: True,
    torch.ops.aten.bitwise_and.Tensor: False,
    torch.ops.aten.bitwise_and_.Tensor: False,
    torch.ops.aten.logical_and.default: False,
    torch.ops.aten.logical_and_.default: False,
}
_KEPT_FINITE = {torch.ops.aten._amp_foreach_non_finite_check_and_unscale_.default}


def is_small(tensor: Tensor) -> bool:
    """Whether a tensor of this type and size carries its values along."""
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        return tensor.numel() <= MAX_FLOATS
    return tensor.numel() * tensor.element_size() <= MAX_BYTES


def known(machine: Machine, tensor: Tensor) -> Tensor | None:
    """The values of a virtual tensor as a host tensor that shares memory with its other views, if they are known.

    One that `is_uniform` must not be written to.
    """
    return None if is_imagined(machine, tensor) else told(machine, tensor)


def is_imagined(machine: Machine, tensor: Tensor) -> bool:
    """Whether a tensor has values, and they are made up."""
    return bool(machine.imagined) and is_meta(tensor) and tensor.untyped_storage()._cdata in machine.imagined


def told(machine: Machine, tensor: Tensor) -> Tensor | None:
    """As `known`, imagined values included."""
    if not is_meta(tensor):
        return tensor
    storage = machine.values.get(tensor.untyped_storage()._cdata)
    if storage is None:
        return None
    if isinstance(storage, bool):
        return torch.tensor(storage, device=_HOST).to(tensor.dtype).expand(tensor.shape)
    empty = torch.empty(0, dtype=tensor.dtype, device=_HOST)
    return empty.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())


def remember(machine: Machine, tensor: Tensor, value: Tensor, *, imagined: bool = False) -> None:
    """Let a virtual tensor, whole in its storage, carry `value` along."""
    if not is_small(tensor) or tensor.untyped_storage().nbytes() > MAX_BYTES:
        return
    host = _Storage(tensor.untyped_storage().nbytes())
    empty = torch.empty(0, dtype=tensor.dtype, device=_HOST)
    view = empty.set_(host, tensor.storage_offset(), tensor.size(), tensor.stride())
    view.copy_(value)
    key = tensor.untyped_storage()._cdata
    machine.values[key] = host
    _mark(machine, key, imagined)


def remember_everywhere(machine: Machine, tensor: Tensor, value: bool) -> None:
    """Let every element of a virtual tensor of any size be `value`, unless there is more in its storage."""
    storage = tensor.untyped_storage()
    if tensor.numel() * tensor.element_size() != storage.nbytes():
        return
    if is_small(tensor):
        remember(machine, tensor, torch.full(tensor.shape, value, device=_HOST))
    else:
        machine.values[storage._cdata] = value
        _mark(machine, storage._cdata, imagined=False)


def _mark(machine: Machine, key: int, imagined: bool) -> None:
    if imagined:
        machine.imagined.add(key)
    else:
        machine.imagined.discard(key)


def is_uniform(machine: Machine, tensor: Tensor) -> bool:
    """Whether every element was said to be the same; nothing is kept of it that could be written to."""
    return isinstance(machine.values.get(tensor.untyped_storage()._cdata), bool)


def forget(machine: Machine, tensor: Tensor) -> None:
    """The values of a tensor's storage are no longer known."""
    machine.forget_values(tensor.untyped_storage()._cdata)


def worth_trying(machine: Machine, involved: list[Tensor]) -> bool:
    """Whether an operator touches anything whose values are known, or makes small values from nothing."""
    values = machine.values
    for tensor in involved:
        if tensor.untyped_storage()._cdata in values:
            return True
    return not involved


def propagate(machine: Machine, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Run the operator on host copies if every input has one; else forget what it wrote to."""
    written = _written(func, args, kwargs)
    for tensor in written:
        if is_uniform(machine, tensor):
            forget(machine, tensor)
    hosts: dict[int, Tensor] = {}
    outs = [out] if isinstance(out, Tensor) else [member for member in out or () if isinstance(member, Tensor)]
    random = torch.Tag.nondeterministic_seeded in func.tags
    complete = not random and all(is_small(member) for member in outs) and _collect(machine, args, kwargs, hosts)
    if not complete or func in _KEPT_FINITE:
        if func not in _KEPT_FINITE:
            decided = _decided(machine, func, args)
            for tensor in written:
                forget(machine, tensor)
            if decided is not None and len(outs) == 1:
                remember_everywhere(machine, outs[0], decided)
        return
    imagined = any(is_imagined(machine, tensor) for tensor in tensors_in((*args, *kwargs.values())))
    swap = _swapper(hosts)
    host_kwargs = {name: swap(value) for name, value in kwargs.items()}
    if "device" in host_kwargs:
        host_kwargs["device"] = torch.device("cpu")
    try:
        result = func(*(swap(value) for value in args), **host_kwargs)
    except (RuntimeError, NotImplementedError, IndexError):
        for tensor in written:
            forget(machine, tensor)
        return
    if imagined:
        machine.imagined.update(tensor.untyped_storage()._cdata for tensor in written)
    results = [result] if isinstance(result, Tensor) else list(result or ())
    for tensor, value in zip(outs, results, strict=False):
        if not isinstance(value, Tensor) or value.shape != tensor.shape:  # kernels of host and card may differ there
            continue
        if is_meta(tensor) and tensor.untyped_storage()._cdata not in machine.values:
            remember(machine, tensor, value, imagined=imagined)


def _decided(machine: Machine, func: OpOverload, args: tuple[Any, ...]) -> bool | None:
    """What `or` and `and` give when one side alone decides: a loop of generation ends at its longest that way."""
    if args and torch.Tag.pointwise in func.tags and all(_is_one_truth(machine, value) for value in args):
        return bool(func(*(_one_of(machine, value) for value in args)))
    deciding = _DECIDING.get(func)
    if deciding is None:
        return None
    for value in args[:2]:
        host = known(machine, value) if isinstance(value, Tensor) and value.dtype is torch.bool else None
        if host is not None and bool((host == deciding).all()):
            return deciding
    return None


def _is_one_truth(machine: Machine, value: Any) -> bool:
    """Whether a value is true or false everywhere."""
    return isinstance(value, Tensor) and value.dtype is torch.bool and is_meta(value) and is_uniform(machine, value)


def _one_of(machine: Machine, value: Tensor) -> Tensor:
    """Any one of the elements."""
    return torch.tensor(bool(machine.values[value.untyped_storage()._cdata]), device=_HOST)


def _collect(machine: Machine, args: tuple[Any, ...], kwargs: dict[str, Any], hosts: dict[int, Tensor]) -> bool:
    for value in (*args, *kwargs.values()):
        for tensor in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(tensor, Tensor):
                host = told(machine, tensor)
                if host is None:
                    return False
                hosts[id(tensor)] = host
    return True


def _swapper(hosts: dict[int, Tensor]) -> Any:
    def swap(value: Any) -> Any:
        if isinstance(value, Tensor):
            return hosts[id(value)]
        if isinstance(value, (list, tuple)) and any(isinstance(member, Tensor) for member in value):
            return type(value)(hosts[id(member)] if isinstance(member, Tensor) else member for member in value)
        return value

    return swap


def _written(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors an operator's schema says it writes to."""
    if not func._schema.is_mutable:
        return []
    found: list[Tensor] = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            members = value if isinstance(value, (list, tuple)) else (value,)
            found.extend(member for member in members if isinstance(member, Tensor) and is_meta(member))
    return found
