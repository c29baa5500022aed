"""What makes a tensor virtual: storage on `meta`, dispatch keys of CUDA.

`is_meta` asks C++, past the attribute of the same name, which tells users that virtual tensors are on `cuda`. While a
function mode is active, such as a default device, or for a subclass, C++ itself would ask that attribute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_CUDA_KEY = torch._C.DispatchKey.CUDA
_CARD = torch.device("cuda", 0)
_keys_of = torch._C._dispatch_keys
_num_function_modes = torch._C._len_torch_function_stack
_asked_at_once = frozenset({Tensor, torch.nn.Parameter})
_is_meta = torch._C.TensorBase.is_meta.__get__  # type: ignore[attr-defined]


def is_meta(tensor: Tensor) -> bool:
    """Whether C++ takes a tensor to be on meta, which it does of virtual tensors."""
    if type(tensor) in _asked_at_once and not _num_function_modes():
        return _is_meta(tensor)  # type: ignore[no-any-return]
    with torch._C.DisableTorchFunction():
        return _is_meta(tensor)  # type: ignore[no-any-return]


def has_cuda_key(tensor: Tensor) -> bool:
    """Whether a tensor's operators go to CUDA; of one on meta: whether it is virtual already."""
    return _keys_of(tensor).has(_CUDA_KEY)


def is_virtual(value: object) -> bool:
    """Whether a value is a tensor of the virtual device."""
    return isinstance(value, Tensor) and is_meta(value) and has_cuda_key(value)


def as_virtual(meta: Tensor) -> Tensor:
    """A meta tensor as one of the virtual device: same storage, CUDA's dispatch keys."""
    made: Tensor = Tensor._make_subclass(Tensor, meta, False, device_for_backend_keys=_CARD)
    return made


def tensors_in(args: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments, one level of lists deep, as operators' schemas have them."""
    found = []
    for value in args:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found.extend(member for member in value if isinstance(member, Tensor))
    return found
