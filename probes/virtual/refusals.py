"""What lies outside the device and is refused by name.

Compiling, process groups of NCCL, kernels behind PyTorch's back, and files of values that nobody computed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from probes.virtual.errors import NotCarriedError, refusing
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

_COMPILED = "the compiled kernels and their buffers are decided on the card"
_ADDRESS = "another library would read memory that is not there"
_BUILT = "what its kernels allocate is not known"
_UNCOMPUTED = "nobody computed its values; save from a real run"


def install(machine: Machine, patches: Patches) -> None:
    """Put the refusals in place."""
    patches.replace(torch, "compile", refusing("torch.compile", _COMPILED))
    patches.replace(nn.Module, "compile", refusing("torch.compile", _COMPILED))
    _refuse_groups(patches)
    _refuse_addresses(patches)
    _refuse_files(patches)
    _refuse_replicas(patches)
    extensions = sys.modules.get("torch.utils.cpp_extension")
    for name in ("load", "load_inline") if extensions is not None else ():
        patches.replace(extensions, name, refusing(f"torch.utils.cpp_extension.{name}", _BUILT))
    triton = sys.modules.get("triton.runtime.jit")
    if triton is not None:
        patches.replace(triton.JITFunction, "run", refusing("a Triton kernel", _BUILT))


def _refuse_groups(patches: Patches) -> None:
    """NCCL takes buffers of its own for every communicator and channel; gloo stays on the host."""
    if not torch.distributed.is_available():
        return
    plain: Callable[..., Any] = torch.distributed.init_process_group

    def init(backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if backend is None or "nccl" in str(backend).lower():
            what = f"a process group of {backend or 'the default backend, which is NCCL'}"
            raise NotCarriedError(what, "what NCCL takes of a card is not modelled; gloo works")
        return plain(backend, *args, **kwargs)

    patches.replace(torch.distributed, "init_process_group", init)
    patches.replace(torch.distributed.distributed_c10d, "init_process_group", init)


def _refuse_addresses(patches: Patches) -> None:
    """The ways a tensor is handed to another library by its address."""
    plain_export: Callable[..., Any] = vars(torch.utils.dlpack)["to_dlpack"]
    plain_dlpack: Callable[..., Any] = Tensor.__dlpack__
    interface: Any = vars(Tensor)["__cuda_array_interface__"]

    def export(tensor: Tensor) -> Any:
        if is_virtual(tensor):
            raise NotCarriedError("to_dlpack", _ADDRESS)
        return plain_export(tensor)

    def dlpack(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if is_virtual(tensor):
            raise NotCarriedError("Tensor.__dlpack__", _ADDRESS)
        return plain_dlpack(tensor, *args, **kwargs)

    def array_interface(tensor: Tensor) -> Any:
        if is_virtual(tensor):
            raise NotCarriedError("Tensor.__cuda_array_interface__", _ADDRESS)
        return interface.__get__(tensor)

    patches.replace(torch.utils.dlpack, "to_dlpack", export)
    patches.replace(torch, "to_dlpack", export)
    patches.replace(Tensor, "__dlpack__", dlpack)
    patches.replace(Tensor, "__cuda_array_interface__", property(array_interface))


def _refuse_files(patches: Patches) -> None:
    """Safetensors copies tensors to the host before it writes them; there they would be zeros."""
    try:
        import safetensors.torch as files
    except ImportError:
        return

    def checked(plain: Callable[..., Any]) -> Callable[..., Any]:
        def convert(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            if is_virtual(tensor):
                raise NotCarriedError("saving a tensor of the card", _UNCOMPUTED)
            return plain(tensor, *args, **kwargs)

        return convert

    # The converter's name in safetensors 0.5 to 0.7, and since 0.8.
    for name in ("_tobytes", "_to_ndarray"):
        if name in vars(files):
            patches.replace(files, name, checked(vars(files)[name]))


def _refuse_replicas(patches: Patches) -> None:
    """`DataParallel` over one card is a call of its module; over several it runs threads, which are not carried."""

    def forward(replicated: Any, *inputs: Any, **kwargs: Any) -> Any:
        if len(replicated.device_ids or ()) > 1:
            raise NotCarriedError("torch.nn.DataParallel over several cards", "its replicas run in threads")
        moved = torch.utils._pytree.tree_map_only(Tensor, lambda tensor: tensor.cuda(), (inputs, kwargs))
        return replicated.module(*moved[0], **moved[1])

    patches.replace(nn.DataParallel, "forward", forward)
