"""`torch.Tensor` while a virtual device is there: virtual tensors say they are on `cuda`.

C++ believes they are on `meta`, so the attributes and methods that ask C++ for the device are replaced. On every other
tensor they do what they always did.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probes.virtual.devices import index_of
from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Machine

_CUDA_KEY = torch._C.DispatchKey.CUDA
_base: Any = torch._C.TensorBase
_device, _is_meta, _is_cuda = _base.device.__get__, _base.is_meta.__get__, _base.is_cuda.__get__
_keys_of = torch._C._dispatch_keys


def replacements(machine: Machine) -> dict[str, Any]:
    """Attribute of `torch.Tensor` -> what stands there while the device is there."""
    devices = [torch.device("cuda", card.index) for card in machine.cards]

    def virtual(tensor: Tensor) -> bool:
        return _is_meta(tensor) and not machine.in_kernel and _keys_of(tensor).has(_CUDA_KEY)

    def device(tensor: Tensor) -> torch.device:
        found: torch.device = _device(tensor)
        if found.type != "meta" or not virtual(tensor):
            return found
        return devices[machine.device_of(tensor)]

    def numpy(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if virtual(tensor):
            raise TypeError(
                f"can't convert {device(tensor)} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                "host memory first."
            )
        return _base.numpy(tensor, *args, **kwargs)

    def array(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if virtual(tensor):
            return numpy(tensor)
        return original_array(tensor, *args, **kwargs)

    def deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
        if not virtual(tensor):
            return original_deepcopy(tensor, memo)
        if not tensor.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"
            )
        if id(tensor) in memo:
            return memo[id(tensor)]  # type: ignore[no-any-return]
        made: Tensor = tensor.detach().clone()
        if isinstance(tensor, torch.nn.Parameter):
            made = torch.nn.Parameter(made, tensor.requires_grad)
        else:
            made.requires_grad_(tensor.requires_grad)
        if tensor.grad is not None:
            made.grad = copy.deepcopy(tensor.grad, memo)
        memo[id(tensor)] = made
        return made

    def shallow(tensor: Tensor) -> Tensor:
        if not virtual(tensor):
            function, arguments, *_ = original_reduce(tensor, 4)
            return function(*arguments)  # type: ignore[no-any-return]
        made: Tensor = tensor.detach()
        if isinstance(tensor, torch.nn.Parameter):
            return torch.nn.Parameter(made, tensor.requires_grad)
        return made.requires_grad_(tensor.requires_grad)

    def reduce(tensor: Tensor, protocol: Any) -> Any:
        if virtual(tensor):
            raise NotCarriedError("saving a tensor of the card", "nobody computed its values; save from a real run")
        return original_reduce(tensor, protocol)

    def text(tensor: Tensor, *, tensor_contents: str | None = None) -> str:
        if not virtual(tensor):
            return original_repr(tensor, tensor_contents=tensor_contents)
        shape, dtype = tuple(tensor.shape), tensor.dtype
        return f"tensor(..., device='{device(tensor)}', size={shape}, dtype={dtype})"

    def tolist(tensor: Tensor) -> Any:
        return _base.tolist(tensor.cpu() if virtual(tensor) else tensor)

    original_array: Callable[..., Any] = Tensor.__array__
    original_deepcopy: Callable[..., Tensor] = Tensor.__deepcopy__
    original_reduce: Callable[..., Any] = Tensor.__reduce_ex__
    original_repr: Callable[..., str] = Tensor.__repr__
    return {
        "device": property(device),
        "is_cuda": property(lambda tensor: virtual(tensor) or _is_cuda(tensor)),
        "is_meta": property(lambda tensor: _is_meta(tensor) and not virtual(tensor)),
        "get_device": lambda tensor: machine.device_of(tensor) if virtual(tensor) else _base.get_device(tensor),
        "data_ptr": lambda tensor: _address(machine, tensor) if virtual(tensor) else _base.data_ptr(tensor),
        "record_stream": lambda tensor, stream: None,
        "share_memory_": lambda tensor: tensor,
        "pin_memory": lambda tensor, *_: _not_pinned(tensor) if virtual(tensor) else tensor,
        "is_pinned": lambda tensor, *_: False,
        "numpy": numpy,
        "tolist": tolist,
        "__array__": array,
        "__deepcopy__": deepcopy,
        "__copy__": shallow,
        "__reduce_ex__": reduce,
        "__repr__": text,
    }


def storages(machine: Machine) -> dict[str, Any]:
    """Attribute of `torch.UntypedStorage` -> what stands there: libraries tell shared weights by address."""
    storage_base: Any = torch._C.StorageBase
    plain_address, plain_device = storage_base.data_ptr, storage_base.device.__get__
    plain_resize = storage_base.resize_
    plain_to: Callable[..., torch.UntypedStorage] = torch.UntypedStorage.to

    def address(storage: torch.UntypedStorage) -> int:
        entry = machine.alive.get(storage._cdata)
        if entry is None:
            return int(plain_address(storage))
        return 0 if entry.block is None else entry.block.address

    def device(storage: torch.UntypedStorage) -> torch.device:
        entry = machine.alive.get(storage._cdata)
        found: torch.device = plain_device(storage)
        return found if entry is None else torch.device("cuda", entry.device)

    def resize(storage: torch.UntypedStorage, size: int) -> None:
        plain_resize(storage, size)
        if storage._cdata in machine.alive:
            machine.resize(storage)

    def to(storage: torch.UntypedStorage, *, device: Any, non_blocking: bool = False) -> torch.UntypedStorage:
        target = torch.device(device)
        if target.type != "cuda" or storage._cdata in machine.alive:
            return plain_to(storage, device=target, non_blocking=non_blocking)
        host = torch.empty(0, dtype=torch.uint8).set_(storage)
        return host.to(target).untyped_storage()

    def cuda(storage: torch.UntypedStorage, device: Any = None, non_blocking: bool = False) -> torch.UntypedStorage:
        return to(storage, device=torch.device("cuda", index_of(machine, device)))

    return {"data_ptr": address, "device": property(device), "resize_": resize, "to": to, "cuda": cuda}


def _address(machine: Machine, tensor: Tensor) -> int:
    """Where the tensor's first element would lie; different for every storage, as on a card."""
    entry = machine.alive.get(tensor.untyped_storage()._cdata)
    base = 0 if entry is None or entry.block is None else entry.block.address
    return base + int(tensor.storage_offset()) * tensor.element_size() if base else 0


def _not_pinned(tensor: Tensor) -> Tensor:
    raise RuntimeError(f"cannot pin 'torch.cuda.{tensor.dtype}' only dense CPU tensors can be pinned")
