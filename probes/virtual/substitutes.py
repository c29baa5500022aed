"""What C++ would do otherwise on CUDA: composite operators that ask for the device and choose a fused kernel.

They ask the C++ device, which is `meta` here, and would take the path of a machine without fused kernels. So the
choice is made here and the fused operators are called by name; they have meta kernels and backward formulas.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from probes.virtual import ctc
from probes.virtual.attention import Attention
from probes.virtual.errors import refusing
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches
from probes.virtual.watch import Watch

aten = torch.ops.aten
_Library: Any = torch.library.Library
_FUSED_INFERENCE = (
    "fused inference kernels of nn.TransformerEncoderLayer and nn.MultiheadAttention are not modelled: what they stand "
    "for was run and counted"
)


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """aten::dropout as CUDA has it: one fused kernel that keeps a mask of a byte per element."""
    if train and 0 < p < 1 and input.numel():
        return aten.native_dropout(input, p, True)[0]  # type: ignore[no-any-return]
    if p == 0 or not train or not input.numel():
        return input
    return input.mul(0.0)


def _half_to_float(input: Tensor, dtype: torch.dtype | None) -> bool:
    return input.dtype is torch.float16 and dtype is torch.float32


def softmax(input: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """aten::softmax.int: CUDA reads halves and writes floats in one kernel."""
    if _half_to_float(input, dtype):
        return aten._softmax(input, dim, True)  # type: ignore[no-any-return]
    return aten._softmax(input if dtype is None else input.to(dtype), dim, False)  # type: ignore[no-any-return]


def log_softmax(input: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """aten::log_softmax.int, as softmax."""
    if _half_to_float(input, dtype):
        return aten._log_softmax(input, dim, True)  # type: ignore[no-any-return]
    return aten._log_softmax(input if dtype is None else input.to(dtype), dim, False)  # type: ignore[no-any-return]


def rms_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """aten::rms_norm: one fused kernel on CUDA."""
    return aten._fused_rms_norm(input, normalized_shape, weight, eps)[0]  # type: ignore[no-any-return]


def silu_backward(grad: Tensor, self: Tensor) -> Tensor:
    """aten::silu_backward: one kernel on CUDA; C++ would take it apart where no CUDA kernel is registered."""
    with torch._C._AutoDispatchBelowAutograd():
        return aten.silu_backward.default(grad, self)  # type: ignore[no-any-return]


def _recurrent(name: str) -> Callable[..., Any]:
    return refusing(f"torch.nn.{name}", "cuDNN's recurrent kernels keep a reserve whose size only cuDNN knows")


_RECURRENT = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}
_FUSED: dict[str, Callable[..., Any]] = {
    "dropout": dropout,
    "softmax.int": softmax,
    "log_softmax.int": log_softmax,
    "rms_norm": rms_norm,
    "silu_backward": silu_backward,
    **{f"{name}.{overload}": _recurrent(kind) for name, kind in _RECURRENT.items() for overload in ("input", "data")},
}


@contextmanager
def registered(machine: Machine) -> Iterator[None]:
    """Put the substitutes in front of the composite operators for CUDA tensors inside the block."""
    library: Any = _Library("aten", "IMPL")
    functions = {
        **_FUSED,
        "scaled_dot_product_attention": Attention(machine).attend,
        **ctc.substitutes(machine),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, function in functions.items():
                base, _, overload = name.partition(".")
                machine.substitutes[getattr(getattr(aten, base), overload or "default")] = function
                library.impl(name, function, "AutogradCUDA", allow_override=True)
        yield
    finally:
        library._destroy()


def install(machine: Machine, patches: Patches) -> None:
    """Replace the few Python functions that ask C++ for the device, and those that tell when backward runs."""
    grouped = torch._C._group_tensors_by_device_and_dtype

    def group(tensors: list[list[Tensor | None]], with_indices: bool = False) -> dict[Any, Any]:
        found = {}
        for (device, dtype), (lists, indices) in grouped(tensors, with_indices).items():
            first = next((tensor for members in lists for tensor in members if is_virtual(tensor)), None)
            found[(device if first is None else first.device, dtype)] = (lists, indices)
        return found

    patches.replace(torch._C, "_group_tensors_by_device_and_dtype", group)
    patches.replace(torch.autograd, "backward", told(torch.autograd.backward, machine.watch))
    patches.replace(torch.autograd, "grad", told(torch.autograd.grad, machine.watch))
    # Moving a recurrent layer would ask cuDNN to lay its weights out; calling it is refused by name.
    patches.replace(torch.nn.RNNBase, "flatten_parameters", lambda layer: None)
    patches.replace(torch._C, "_cuda_clearCublasWorkspaces", machine.drop_workspaces)

    def fused_inference() -> bool:
        if not torch.is_grad_enabled():
            machine.notes.add(_FUSED_INFERENCE)
        return False

    patches.replace(torch.backends.mha, "get_fastpath_enabled", fused_inference)


def told(function: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """A function that runs backward, and tells the watch when it begins and ends."""

    def call(*args: Any, **kwargs: Any) -> Any:
        outermost = torch._C._current_autograd_node() is None
        if outermost:
            watch.backward_begins()
        try:
            return function(*args, **kwargs)
        finally:
            if outermost:
                watch.backward_ends()

    return call
