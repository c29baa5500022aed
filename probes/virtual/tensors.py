"""`torch.Tensor` while a virtual device is there: virtual tensors say they are on `cuda`.

C++ believes they are on `meta`, so the attributes and methods that ask C++ for the device are replaced. On every other
tensor they do what they always did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probes.virtual import pinned
from probes.virtual.keys import has_cuda_key, is_meta
from probes.virtual.machine import Machine

_base: Any = torch._C.TensorBase
_device, _is_cuda = _base.device.__get__, _base.is_cuda.__get__


def replacements(machine: Machine) -> dict[str, Any]:
    """Attribute of `torch.Tensor` -> what stands there while the device is there."""
    devices = [torch.device("cuda", card.index) for card in machine.cards]

    def virtual(tensor: Tensor) -> bool:
        return is_meta(tensor) and not machine.in_kernel and has_cuda_key(tensor)

    def device(tensor: Tensor) -> torch.device:
        found: torch.device = _device(tensor)
        if found.type != "meta" or not virtual(tensor):
            return found
        return devices[machine.device_of(tensor)]

    def numpy(tensor: Tensor, *args: Any, force: bool = False, **kwargs: Any) -> Any:
        if virtual(tensor) and force:
            return _base.numpy(tensor.detach().cpu(), *args, **kwargs)
        if virtual(tensor):
            raise TypeError(
                f"can't convert {device(tensor)} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                "host memory first."
            )
        return _base.numpy(tensor, *args, force=force, **kwargs)

    def array(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if virtual(tensor):
            return numpy(tensor)
        return original_array(tensor, *args, **kwargs)

    def text(tensor: Tensor, *, tensor_contents: str | None = None) -> str:
        if not virtual(tensor):
            return original_repr(tensor, tensor_contents=tensor_contents)
        shape, dtype = tuple(tensor.shape), tensor.dtype
        return f"tensor(..., device='{device(tensor)}', size={shape}, dtype={dtype})"

    def tolist(tensor: Tensor) -> Any:
        return _base.tolist(tensor.cpu() if virtual(tensor) else tensor)

    original_array: Callable[..., Any] = Tensor.__array__
    original_share: Callable[..., Tensor] = Tensor.share_memory_
    original_repr: Callable[..., str] = Tensor.__repr__
    return {
        "device": property(device),
        "is_cuda": property(lambda tensor: virtual(tensor) or _is_cuda(tensor)),
        "is_meta": property(lambda tensor: is_meta(tensor) and not virtual(tensor)),
        "get_device": lambda tensor: machine.device_of(tensor) if virtual(tensor) else _base.get_device(tensor),
        "data_ptr": lambda tensor: _address(machine, tensor) if virtual(tensor) else _base.data_ptr(tensor),
        "record_stream": lambda tensor, stream: None,
        "share_memory_": lambda tensor: tensor if virtual(tensor) else original_share(tensor),
        "pin_memory": lambda tensor, *_: _not_pinned(tensor) if virtual(tensor) else pinned.pin(tensor),
        "is_pinned": lambda tensor, *_: not virtual(tensor) and pinned.is_pinned(tensor),
        "numpy": numpy,
        "tolist": tolist,
        "__array__": array,
        "__repr__": text,
    }


def _address(machine: Machine, tensor: Tensor) -> int:
    """Where the tensor's first element would lie; different for every storage, as on a card."""
    entry = machine.alive.get(tensor.untyped_storage()._cdata)
    base = 0 if entry is None or entry.block is None else entry.block.address
    return base + int(tensor.storage_offset()) * tensor.element_size() if base else 0


def _not_pinned(tensor: Tensor) -> Tensor:
    raise RuntimeError(f"cannot pin '{tensor.type()}' only dense CPU tensors can be pinned")
