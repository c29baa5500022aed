"""Shapes of outputs, remembered: the layers of a model ask for the same ones again and again.

Some meta kernels are decompositions in Python and take a millisecond. For operators that return new tensors and change
none, outputs depend on the arguments' sizes, strides and types and on the default type alone; an in-place operator that
once accepted them accepts them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

META = torch.device("meta")
_default_dtype = torch.get_default_dtype  # the type of whatever names none, such as zeros
_empty_strided = torch.empty_strided  # not the one that takes numbers for cards
_NEW, _IN_PLACE, _OTHER = "new", "in place", "other"
_MAX_LIST = 8
_ABSENT = "absent"


class ShapeCache:
    """Outputs by operator and by what the arguments look like."""

    def __init__(self) -> None:
        self._kinds: dict[int, tuple[OpOverload, str]] = {}
        self._known: dict[Any, Any] = {}

    def run(
        self,
        func: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        compute: Callable[[OpOverload, tuple[Any, ...], dict[str, Any]], Any],
    ) -> Any:
        """The outputs: made from what is remembered, or computed and remembered."""
        held = self._kinds.get(id(func))
        kind = held[1] if held is not None else self._learn(func, _kind_of(func))
        if kind is _OTHER:
            return compute(func, args, kwargs)
        try:
            key = (id(func), _default_dtype(), _signature(args), _signature(tuple(kwargs.items())) if kwargs else None)
            recipe = self._known.get(key)
        except (TypeError, _TooLongError):
            return compute(func, args, kwargs)
        if recipe is not None:
            return args[0] if kind is _IN_PLACE else _make(recipe)
        out = compute(func, args, kwargs)
        if kind is _NEW and _shares_storage(out, args):
            # Some operators return a view that their schema does not own up to, such as _unsafe_view.
            self._learn(func, _OTHER)
            return out
        if kind is _IN_PLACE:
            self._known[key] = True
        else:
            recipe = _recipe(out)
            if recipe is not None:
                self._known[key] = recipe
        return out

    def _learn(self, func: OpOverload, kind: str) -> str:
        """Remember an operator's kind under its `id`, which it keeps while it is held here; hashing it is slow."""
        self._kinds[id(func)] = (func, kind)
        return kind


class _TooLongError(Exception):
    """A list too long for looking up to pay."""


def _kind_of(func: OpOverload) -> str:
    schema = func._schema
    returns = schema.returns
    if not schema.is_mutable and returns and all(value.alias_info is None for value in returns):
        plain = all(str(value.type) == "Tensor" for value in returns)
        return _NEW if plain else _OTHER
    writes = [argument for argument in schema.arguments if argument.alias_info is not None]
    first_only = len(writes) == 1 and schema.arguments[0] is not None and schema.arguments[0].alias_info is not None
    if first_only and schema.is_mutable and len(returns) == 1 and str(returns[0].type) == "Tensor":
        return _OTHER if torch.Tag.inplace_view in func.tags else _IN_PLACE  # such as squeeze_: sizes change
    return _OTHER


def _shares_storage(out: Any, args: tuple[Any, ...]) -> bool:
    given = {value.untyped_storage()._cdata for value in args if isinstance(value, Tensor)}
    members = out if isinstance(out, tuple) else (out,)
    return any(isinstance(member, Tensor) and member.untyped_storage()._cdata in given for member in members)


def _signature(values: Any) -> tuple[Any, ...]:
    parts: list[Any] = []
    for value in values:
        if isinstance(value, Tensor):
            parts.append((value.shape, value.stride(), value.dtype, value.storage_offset() % 16))
        elif isinstance(value, (list, tuple)):
            if len(value) > _MAX_LIST:
                raise _TooLongError
            parts.append(_signature(value))
        else:
            parts.append((value.__class__, value))
    return tuple(parts)


def _recipe(out: Any) -> Any:
    if isinstance(out, Tensor):
        if out.storage_offset() or not _is_dense(out):
            return None
        return (out.shape, out.stride(), out.dtype)
    if type(out) is tuple:
        made = [member for member in out if member is not None]  # a mask can leave gradients out
        storages = {member.untyped_storage()._cdata for member in made if isinstance(member, Tensor)}
        parts = [_ABSENT if member is None else _recipe(member) for member in out]
        return parts if len(storages) == len(made) and None not in parts else None
    return None


def _is_dense(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def _make(recipe: Any) -> Any:
    if isinstance(recipe, list):
        return tuple(None if part is _ABSENT else _make(part) for part in recipe)
    size, stride, dtype = recipe
    return _empty_strided(size, stride, dtype=dtype, device=META)
