"""Grouped matrix products, by which mixture-of-experts layers multiply every token with its own expert's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual.keys import tensors_in

if TYPE_CHECKING:
    from probes.virtual.dispatch import VirtualDispatch

_ROW_BYTES = 16  # rows of the result begin at multiples of it


def grouped_mm(mode: VirtualDispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """aten::_grouped_mm: its meta kernel takes bfloat16 alone, CUDA's other types, too, one product a group.

    Either way the result is all that is asked for (GroupedBlas.cpp, `_grouped_mm_fallback` writes into slices of it).
    """
    left, right = args[:2]
    involved = tensors_in((*args, *kwargs.values()))
    if left.dtype is torch.bfloat16 or left.dtype is not right.dtype or not left.dtype.is_floating_point:
        return mode.compute(func, args, kwargs, involved, None)
    offsets = args[2] if len(args) > 2 else kwargs.get("offs")
    return mode.settle(_result(left, right, offsets), mode.machine.device_of(left), func, args)


def _result(left: Tensor, right: Tensor, offsets: Tensor | None) -> Tensor:
    """(groups, rows, columns) where groups lie along the inner or the leading dimension, else (rows, columns)."""
    rows, columns = left.shape[-2], right.shape[-1]
    if left.shape[-1] != right.shape[-2] and (left.dim() == 3 or right.dim() == 3):
        raise RuntimeError("contraction dimension of mat_a and mat_b must match")
    per_row = _ROW_BYTES // left.element_size()
    padded = -(-columns // per_row) * per_row
    if left.dim() == right.dim():
        groups = left.shape[0] if left.dim() == 3 else 0 if offsets is None else offsets.shape[0]
        size, stride = (groups, rows, columns), (rows * padded, padded, 1)
        return torch.empty_strided(size, stride, dtype=left.dtype, device="meta")
    return torch.empty_strided((rows, columns), (padded, 1), dtype=left.dtype, device="meta")
