"""Reductions as their kernel sees them: reduced dimensions first, each group by stride, neighbours coalesced."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from ilora_diag.hardware.scratch import Scratch
from ilora_diag.hardware.scratch_reduce import Reduction, reduce_scratch
from ilora_diag.schema import Known, Unavailable
from probes.virtual.machine import Machine

aten = torch.ops.aten
_VALUE_AND_INDEX, _WELFORD = 16, 16

# Operator -> bytes of a partial result; None: as wide as the sum of the input's type.
_PARTIALS: dict[OpOverload, int | None] = {
    aten.sum.default: None,
    aten.sum.dim_IntList: None,
    aten.mean.default: None,
    aten.mean.dim: None,
    aten.prod.default: None,
    aten.prod.dim_int: None,
    aten.amax.default: None,
    aten.amin.default: None,
    aten.linalg_vector_norm.default: None,
    aten.max.dim: _VALUE_AND_INDEX,
    aten.min.dim: _VALUE_AND_INDEX,
    aten.argmax.default: _VALUE_AND_INDEX,
    aten.argmin.default: _VALUE_AND_INDEX,
    aten.var.correction: _WELFORD,
    aten.std.correction: _WELFORD,
    aten.var_mean.correction: _WELFORD,
}
OPERATORS = frozenset(_PARTIALS)


def scratch_of(machine: Machine, func: OpOverload, args: tuple[Any, ...], device: int) -> Known[Scratch]:
    """What a reduction takes besides its result; unknown where the card's number of multiprocessors is."""
    spec = machine.cards[device].spec
    if isinstance(spec.sm_count, Unavailable):
        return spec.sm_count
    source: Tensor = args[0]
    place = 2 if func is aten.linalg_vector_norm.default else 1
    reduction = describe(
        source, args[place] if len(args) > place else None, _PARTIALS[func] or _sum_bytes(source.dtype)
    )
    return reduce_scratch(reduction, sm_count=spec.sm_count, compute_capability=spec.compute_capability)


def describe(source: Tensor, dims: int | Sequence[int] | None, partial_bytes: int) -> Reduction:
    """A reduction of `source` over `dims` (all of them if none are named)."""
    rank = source.dim()
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        wanted = set(range(rank))
    else:
        wanted = {dim % rank for dim in ((dims,) if isinstance(dims, int) else dims)} if rank else set()
    sides = [
        (size, stride, dim in wanted)
        for dim, (size, stride) in enumerate(zip(source.shape, source.stride(), strict=True))
    ]
    reduced = _coalesced([(size, stride) for size, stride, is_reduced in sides if is_reduced])
    kept = _coalesced([(size, stride) for size, stride, is_reduced in sides if not is_reduced])
    fastest = not kept or (bool(reduced) and reduced[0][1] < kept[0][1])
    inner = 1
    if kept:
        inner = gcd(kept[0][0], *(stride for _, stride in (*kept[1:], *reduced)))
    first = (reduced if fastest else kept)[:1]
    return Reduction(
        num_outputs=prod(size for size, _ in kept),
        inputs_per_output=prod(size for size, _ in reduced),
        along_fastest=fastest,
        partial_bytes=partial_bytes,
        inner_contiguous=bool(first) and first[0][1] == 1,
        inner_size=inner,
        one_dimension=not kept and len(reduced) == 1,
    )


def _coalesced(dims: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(size, stride) of dimensions, smallest stride first, those that continue each other made one."""
    merged: list[tuple[int, int]] = []
    for size, stride in sorted((dim for dim in dims if dim[0] != 1), key=lambda dim: dim[1]):
        if merged and merged[-1][0] * merged[-1][1] == stride:
            merged[-1] = (merged[-1][0] * size, merged[-1][1])
        else:
            merged.append((size, stride))
    return merged


def _sum_bytes(dtype: torch.dtype) -> int:
    """Bytes of the type in which a sum is kept: float for halves, int64 for integers."""
    return 4 if dtype in (torch.float32, torch.float16, torch.bfloat16) else 8
