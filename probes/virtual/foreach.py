"""The `_foreach_` family without running a shape rule per tensor: optimizers call it with every parameter.

In-place members change nothing of a shape; the others return tensors like those of their first list, one by one as the
fused kernels allocate them (aten/src/ATen/native/cuda/ForeachPointwiseOp.cu and its siblings).
"""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload

NOT_OURS = object()
META = torch.device("meta")
_kinds: dict[int, tuple[OpOverload, str]] = {}
"""By `id`, which an operator keeps while it is held here: hashing it is slow."""


def run(func: OpOverload, args: tuple[Any, ...]) -> Any:
    """What a `_foreach_` operator returns, before it is given blocks; NOT_OURS for every other operator."""
    held = _kinds.get(id(func))
    if held is None:
        held = _kinds[id(func)] = (func, _kind_of(func))
    kind = held[1]
    if kind == "other":
        return NOT_OURS
    if kind == "in place":
        return None
    first = next(value for value in args if isinstance(value, (list, tuple)))
    return [torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META) for tensor in first]


def _kind_of(func: OpOverload) -> str:
    name = func._name
    if name.startswith("aten::_fused_") and func._schema.is_mutable and not func._schema.returns:
        return "in place"  # the fused optimizers, not all of which have meta kernels
    if not name.startswith("aten::_foreach_"):
        return "other"
    if func._schema.is_mutable:
        return "in place" if not func._schema.returns else "other"
    shaped = not any(word in name for word in ("norm", "max", "powsum"))
    return "like the first list" if shaped else "other"
