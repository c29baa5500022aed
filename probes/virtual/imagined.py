"""What a script chooses by values nobody computed: a token, a class, an action, a timestep.

It would be read as zeros in one place and as unknown in the next. So the choice gets values that it could have: the
middle of what there is to choose from, where no tokenizer keeps its special tokens, and of several the ones that
follow. A permutation leaves everything where it is. Reading them is noted, and no size follows from them
(`values.known`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual import values
from probes.virtual.machine import Machine

aten = torch.ops.aten
CHOICES = "choices made by values nobody computed are taken to be the middle one of what there was"
_MAX_CHOICES = 1 << 14
_HOST = torch.device("cpu")
Imagine = Callable[[tuple[Any, ...], Any], tuple[Tensor, Tensor]]


def _one_of(args: tuple[Any, ...], out: Any) -> tuple[Tensor, Tensor]:
    """`argmax` and the indices of `max` along a dimension."""
    source: Tensor = args[0]
    chosen: Tensor = out[1] if isinstance(out, tuple) else out
    dim = args[1] if len(args) > 1 else None
    count = source.numel() if dim is None or source.dim() == 0 else source.shape[dim]
    return chosen, torch.full(chosen.shape, count // 2, dtype=chosen.dtype, device=_HOST)


def _several_of(args: tuple[Any, ...], out: Any) -> tuple[Tensor, Tensor]:
    """The indices of `topk`."""
    source, dim = args[0], args[2] if len(args) > 2 else -1
    chosen: Tensor = out[1]
    if source.dim() == 0:
        return chosen, torch.zeros(chosen.shape, dtype=chosen.dtype, device=_HOST)
    row = _in_a_row(source.shape[dim], chosen.shape[dim])
    shape = [1] * chosen.dim()
    shape[dim] = -1
    return chosen, row.reshape(shape).expand(chosen.shape)


def _samples(args: tuple[Any, ...], out: Any) -> tuple[Tensor, Tensor]:
    """`multinomial`, along the last dimension."""
    return out, _in_a_row(args[0].shape[-1], out.shape[-1]).expand(out.shape)


def _in_a_row(count: int, chosen: int) -> Tensor:
    return (count // 2 + torch.arange(chosen, device=_HOST)) % max(1, count)


def _between(args: tuple[Any, ...], out: Any) -> tuple[Tensor, Tensor]:
    """`randint(high, size)` and `randint(low, high, size)`."""
    low, high = (0, args[0]) if isinstance(args[1], (list, tuple)) else args[:2]
    return out, torch.full(out.shape, (low + high) // 2, dtype=out.dtype, device=_HOST)


def _everyone(args: tuple[Any, ...], out: Any) -> tuple[Tensor, Tensor]:
    """`randperm`."""
    return out, torch.arange(out.numel(), dtype=out.dtype, device=_HOST)


_CHOOSING: dict[OpOverload, Imagine] = {
    aten.argmax.default: _one_of,
    aten.argmin.default: _one_of,
    aten.max.dim: _one_of,
    aten.min.dim: _one_of,
    aten.topk.default: _several_of,
    aten.multinomial.default: _samples,
    **dict.fromkeys(
        (aten.randint.default, aten.randint.low, aten.randint.generator, aten.randint.low_generator), _between
    ),
    **dict.fromkeys((aten.randperm.default, aten.randperm.generator), _everyone),
}


def chooser_of(func: OpOverload) -> Imagine | None:
    """What imagines an operator's choice; None for operators that choose nothing."""
    return _CHOOSING.get(func)


def answer(machine: Machine, imagine: Imagine, args: tuple[Any, ...], out: Any) -> None:
    """Give a choice its values, unless it is known from real ones or too large to matter to a script."""
    chosen = out[1] if isinstance(out, tuple) else out
    if not 0 < chosen.numel() <= _MAX_CHOICES or chosen.dtype.is_floating_point:
        return
    if values.told(machine, chosen) is None:
        values.remember(machine, *imagine(args, out), imagined=True)
