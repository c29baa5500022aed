"""Questions whether values are finite, answered though nobody computed the values: they are, as in a healthy run.

Scripts check their losses and gradients and take another way where one is not finite: they skip the step, or end.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual import values
from probes.virtual.machine import Machine

aten = torch.ops.aten
FINITE = "floating-point values are taken to be finite"

_ASKING = frozenset({aten.isnan.default, aten.isinf.default, aten.isposinf.default, aten.isneginf.default})
# `isfinite` is `x == x` and `abs(x) != inf`; others compare by hand.
_ITSELF = {aten.eq.Tensor: True, aten.ne.Tensor: False}
_A_NUMBER = {aten.eq.Scalar: False, aten.ne.Scalar: True}
OPERATORS = frozenset({*_ASKING, *_ITSELF, *_A_NUMBER})


def answer(machine: Machine, func: OpOverload, args: tuple[Any, ...], out: Any) -> None:
    """Give the result of an operator that asks for finiteness its value, unless it is known from real values."""
    told = _told(func, args)
    if told is None or values.known(machine, out) is not None:
        return
    machine.notes.add_value(FINITE)
    values.remember_everywhere(machine, out, told)


def _told(func: OpOverload, args: tuple[Any, ...]) -> bool | None:
    """What holds of every element if all are finite; None where finiteness decides nothing."""
    asked: Tensor = args[0]
    if not asked.is_floating_point():
        return None
    if func in _ASKING:
        return False
    if func in _ITSELF:
        return _ITSELF[func] if args[1] is asked else None
    return None if isfinite(args[1]) else _A_NUMBER[func]
