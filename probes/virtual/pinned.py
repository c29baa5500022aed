"""Page-locked host memory. There is none without a driver, so host tensors are only marked as pinned.

Nothing of it is on a card. The mark goes with the storage, as it does there: a view of a pinned tensor is pinned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from probes.virtual.patches import Patches

_MANY = 1024
_marked: dict[int, Any] = {}  # while a weak reference is held, no other storage gets the address


def is_pinned(tensor: Tensor) -> bool:
    """Whether a host tensor was made pinned while a virtual device was there."""
    if tensor.layout is not torch.strided:
        return False
    found = _marked.get(tensor.untyped_storage()._cdata)
    return found is not None and not found.expired()


def pin(tensor: Tensor) -> Tensor:
    """A pinned copy of a host tensor; the tensor if it is pinned."""
    if tensor.layout is not torch.strided or is_pinned(tensor):
        return tensor
    return _mark(tensor.detach().clone())


def marked(made: Any) -> Any:
    """What a factory made, as pinned if it is on the host."""
    is_host = isinstance(made, Tensor) and made.layout is torch.strided and made.device.type == "cpu"
    return _mark(made) if is_host else made


def install(patches: Patches) -> None:
    """`torch.tensor` makes its tensor in C++, where nothing can be said."""
    plain: Callable[..., Tensor] = torch.tensor

    @wraps(plain)
    def tensor(data: Any, *, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        made = plain(data, **kwargs)
        return marked(made) if pin_memory else made

    patches.replace(torch, "tensor", tensor)


def _mark(tensor: Tensor) -> Tensor:
    if len(_marked) >= _MANY:
        for key in [key for key, found in _marked.items() if found.expired()]:
            del _marked[key]
    storage = tensor.untyped_storage()
    _marked[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
    return tensor
