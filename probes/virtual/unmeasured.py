"""Operators whose kernels take memory beside their results that nobody published a size of. It is told, not guessed.

A library's workspace comes out of PyTorch's pool and may be large, a convolution's above all. Where there is no room
for that one, PyTorch tries the next algorithm: it decides how full a card gets rather than whether a step runs
(Conv_v8.cpp, `try_plans`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch._ops import OpOverload

from probes.virtual.keys import tensors_in
from probes.virtual.machine import Machine

_LARGE = 1 << 20  # bytes of results below which a sort's scratch is not worth a word

_LIBRARIES = {
    "cuDNN convolutions": "convolution convolution_backward",
    "cuFFT transforms": "_fft_r2c _fft_c2c _fft_c2r",
    "cuSOLVER decompositions": """
        _linalg_svd _linalg_eigh _linalg_eigvals linalg_eig linalg_inv_ex linalg_cholesky_ex cholesky_inverse
        linalg_lu linalg_lu_factor_ex linalg_lu_solve linalg_qr ormqr linalg_householder_product _linalg_solve_ex
        _linalg_det _linalg_slogdet linalg_ldl_factor_ex linalg_ldl_solve _cholesky_solve_helper
    """,
}
_WORKSPACE_OF = {f"aten::{name}": what for what, names in _LIBRARIES.items() for name in names.split()}
_SORTING = frozenset(
    f"aten::{name}"
    for name in [
        "sort",
        "kthvalue",
        "mode",
        "median",
        "nanmedian",
        "randperm",
        "_unique2",
        "unique_consecutive",
        "unique_dim",
    ]
)


def is_unmeasured(func: OpOverload) -> bool:
    """Whether `tell` has something to say of an operator."""
    return func._schema.name in _WORKSPACE_OF or func._schema.name in _SORTING


def tell(machine: Machine, func: OpOverload, out: Any) -> None:
    """Note what a call took that is in no figure."""
    what = _WORKSPACE_OF.get(func._schema.name)
    if what is not None:
        machine.notes.add(f"the workspace of {what} is known to {what.split()[0]} alone and not counted")
        return
    made: list[Tensor] = tensors_in(out if isinstance(out, (tuple, list)) else (out,))
    if sum(tensor.numel() * tensor.element_size() for tensor in made) >= _LARGE:
        machine.notes.add(f"the scratch of {func._schema.name} is not counted: no measurement of it is known")
