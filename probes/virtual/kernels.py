"""Memory that kernels take and no operator returns: library workspaces and scratch.

Rules and sizes stand in `ilora_diag.hardware`; here is which operator meets which rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from probes.virtual.machine import Machine

aten = torch.ops.aten

# Operators served by cuBLAS: the first of them on a thread makes the handle and with it the workspace.
_GEMMS = frozenset(
    {
        aten.mm.default,
        aten.bmm.default,
        aten.addmm.default,
        aten.addmm_.default,
        aten.baddbmm.default,
        aten.addbmm.default,
        aten.mv.default,
        aten.addmv.default,
        aten.dot.default,
        aten.linear.default,
    }
)
After = Callable[[Machine, tuple[Any, ...], Any, int], None]


def before(machine: Machine, func: OpOverload, args: tuple[Any, ...], device: int) -> None:
    """What a kernel takes before its outputs exist; nothing so far known does."""
    return


def after(
    machine: Machine, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, device: int, token: None
) -> None:
    """What a kernel takes once its outputs exist: a workspace to keep, scratch to give back."""
    if func in _GEMMS:
        _gemm(machine, func, device)
    else:
        rule = _SCRATCH.get(func)
        if rule is not None:
            rule(machine, args, out, device)


def _gemm(machine: Machine, func: OpOverload, device: int) -> None:
    rule = machine.workspace_rule(device)
    if rule.lifetime == "persistent":
        # The handle pool is per thread, and autograd runs backward on a thread of its own.
        thread = "backward" if torch._C._current_autograd_node() is not None else "forward"
        machine.keep_workspace(f"cublas {thread}", rule.cublas_bytes, device, "cublas workspace")
    else:
        machine.scratch(rule.cublas_bytes, device, "cublas workspace")


_SCRATCH: dict[OpOverload, After] = {}
