"""Sizes of cuBLAS's and cublasLt's buffers that a script sets or asks for itself (`torch.backends.cuda`, torch 2.13).

What torch 2.13.0 and 2.14.1 answer was read off their own CUDA libraries: a size set goes before the environment, a
buffer that is there is replaced by a larger one and never by a smaller one, the new one is taken before the old one is
given back, and where cublasLt works in cuBLAS's buffer it is told no more than that holds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import SupportsIndex

import torch

from ilora_diag.hardware.workspaces import LT_DEFAULT_BYTES, parse_lt_size
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches


def install(machine: Machine, patches: Patches) -> None:
    """Put the functions in place, where this torch has those that call them."""
    if not hasattr(torch.backends.cuda, "cublas_workspace_size"):
        return
    for library, name in (("cublas", "Cublas"), ("cublaslt", "CublasLt")):
        asked = _cublas if library == "cublas" else _cublaslt
        patches.replace(torch._C, f"_cuda_set{name}WorkspaceSize", _setter(machine, library))
        patches.replace(torch._C, f"_cuda_reset{name}WorkspaceSize", _resetter(machine, library))
        patches.replace(torch._C, f"_cuda_get{name}WorkspaceSize", lambda asked=asked: asked(machine))


def _setter(machine: Machine, library: str) -> Callable[[SupportsIndex], None]:
    def set_size(size: SupportsIndex) -> None:
        num_bytes = operator.index(size)
        if num_bytes < 0:
            raise RuntimeError(f"{library} workspace size must be non-negative, got {num_bytes}")
        machine.set_workspace_size(library, num_bytes)

    return set_size


def _resetter(machine: Machine, library: str) -> Callable[[], None]:
    return lambda: machine.set_workspace_size(library, None)


def _cublas(machine: Machine) -> int:
    return machine.workspace_rule(machine.current_device).cublas_bytes


def _cublaslt(machine: Machine) -> int:
    rule = machine.workspace_rule(machine.current_device)
    if not rule.lt_shares_cublas:
        return rule.lt_bytes
    wanted = machine.workspace_sizes.get("cublaslt")
    if wanted is None:
        text = machine.environ.get("CUBLASLT_WORKSPACE_SIZE")
        wanted = LT_DEFAULT_BYTES if text is None else parse_lt_size(text, LT_DEFAULT_BYTES)[0]
    return min(wanted, rule.cublas_bytes)
