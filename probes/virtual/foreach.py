"""The `_foreach_` family without running a shape rule per tensor: optimizers call it with every parameter.

In-place members change nothing of a shape; the others return tensors like those of their first list, one by one as the
fused kernels allocate them (aten/src/ATen/native/cuda/ForeachPointwiseOp.cu and its siblings).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

META = torch.device("meta")
Shapes = Callable[[tuple[Any, ...]], Any]


def shapes_of(func: OpOverload) -> Shapes | None:
    """What tells from the arguments what a `_foreach_` operator returns, before it is given blocks; None for others."""
    name = func._name
    if name.startswith("aten::_fused_") and func._schema.is_mutable and not func._schema.returns:
        return _nothing  # the fused optimizers, not all of which have meta kernels
    if not name.startswith("aten::_foreach_"):
        return None
    if func._schema.is_mutable:
        return _nothing if not func._schema.returns else None
    shaped = not any(word in name for word in ("norm", "max", "powsum"))
    return _like_the_first_list if shaped else None


def _nothing(args: tuple[Any, ...]) -> None:
    """It writes in place."""


def _like_the_first_list(args: tuple[Any, ...]) -> list[Tensor]:
    first = next(value for value in args if isinstance(value, (list, tuple)))
    return [torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META) for tensor in first]
