"""What autograd writes in place on a card, and out of place while a dispatch mode is active.

Where two gradients meet, the second is added into the first if nobody else holds it (torch/csrc/autograd/
input_buffer.cpp, `accumulate`). Formulas that fill a tensor of zeros do it in place (FunctionsManual.cpp,
`value_selecting_reduction_backward`, `index_backward`, `gather_backward`). Under a mode both make a new tensor instead
(`isTensorSubclassLike`). So their conditions are repeated here: the call comes from the engine, and the tensor and its
storage have no other holder. How many holders "no other" is, as seen from here, is measured once.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd import graph

if TYPE_CHECKING:
    from probes.virtual.dispatch import VirtualDispatch

_ENGINE = graph._engine_run_backward.__code__
_storage_uses = torch._C._storage_Use_Count


def add(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """aten::add.Tensor; in place where the engine would add in place."""
    if not kwargs and sys._getframe(2).f_code is _ENGINE and isinstance(args[1], Tensor):
        old, new = args
        same = old.dtype is new.dtype and old.shape == new.shape
        if same and _holders(old) == sole_holders():
            return old
    involved = [value for value in args if isinstance(value, Tensor)]
    return mode.compute(func, args, kwargs, involved, None)


def fill(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Operators that fill zeros with a gradient: in place where the engine's formula would be."""
    involved = [value for value in args if isinstance(value, Tensor)]
    if is_filled_in_place(args[0]):
        return mode.compute(IN_PLACE[func], args, kwargs, involved, None)
    return mode.compute(func, args, kwargs, involved, None)


def is_filled_in_place(target: Tensor) -> bool:
    """Whether the engine called the handler that asks, to fill a tensor that nobody else holds."""
    if sys._getframe(3).f_code is not _ENGINE:
        return False
    return bool(_storage_uses(target.untyped_storage()._cdata) == sole_holders()[1])


IN_PLACE = {
    torch.ops.aten.scatter.src: torch.ops.aten.scatter_.src,
    torch.ops.aten.scatter.value: torch.ops.aten.scatter_.value,
    torch.ops.aten.scatter_add.default: torch.ops.aten.scatter_add_.default,
    torch.ops.aten.index_add.default: torch.ops.aten.index_add_.default,
}


_Mode: Any = torch.utils._python_dispatch.TorchDispatchMode  # its constructor is not typed


def _holders(tensor: Tensor) -> tuple[int, int]:
    return tensor._use_count(), _storage_uses(tensor.untyped_storage()._cdata)  # type: ignore[attr-defined]


class _Probe(_Mode):  # type: ignore[misc]
    """Sees one accumulation of two gradients that nobody else holds."""

    seen: tuple[int, int] = (0, 0)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.add.Tensor and torch._C._current_autograd_node() is not None:
            self.seen = _count_as_handler(args)
        return func(*args, **(kwargs or {}))


def _count_as_handler(args: tuple[Any, ...]) -> tuple[int, int]:
    """Count with the same references alive as `add` has."""
    old, _ = args
    return _holders(old)


@cache
def sole_holders() -> tuple[int, int]:
    """What `_holders` says of a gradient that only the engine holds; to be asked before the device is there."""
    probe: Any = _Probe()
    with probe:
        leaf = torch.ones(2, requires_grad=True, device="cpu")
        shared = leaf * 2
        torch.autograd.backward((shared.exp() + shared.sin()).sum())
    seen: tuple[int, int] = probe.seen
    return seen
