"""Tensors as torch's zip files describe them: typed storages in members of their own, views over them in the pickle.

What enters the unpickler's stack is sealed here, so that the pickle can pass it on but not alter it.
"""

from __future__ import annotations

import math
import pickle
import reprlib
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor

from ilora.safe_pickle import NUMPY_SCALARS, GlobalName, PlainDict


class _Sealed:
    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it tries to alter a tensor")


class Storage(_Sealed):
    """A flat tensor of all elements, in host memory whatever device the file names."""

    __slots__ = ("flat",)

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class StoredTensor(_Sealed):
    """A view over a storage."""

    __slots__ = ("view",)

    def __init__(self, view: Tensor) -> None:
        self.view = view


def rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> StoredTensor:
    """`torch._utils._rebuild_tensor_v2`; gradient flag, hooks and metadata are dropped.

    Raises:
        ValueError: the view reaches beyond its storage, or repeats elements (which could blow up when copied).
    """
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")  # noqa: TRY004 - the file's fault, as the rest
    shape, steps = _naturals(size), _naturals(stride)
    (start,) = _naturals((offset,))
    num_elements: int = math.prod(shape)
    available = storage.flat.numel()
    last = start + sum((extent - 1) * step for extent, step in zip(shape, steps, strict=True))
    if num_elements > available or (num_elements and last >= available):
        raise ValueError(f"a tensor of shape {reprlib.repr(shape)} does not fit its storage of {available} elements")
    return StoredTensor(storage.flat.as_strided(shape, steps, start))


def rebuild_parameter(data: object, *_: object) -> StoredTensor:
    """`torch._utils._rebuild_parameter`: the tensor itself."""
    if not isinstance(data, StoredTensor):
        raise ValueError("a parameter without a tensor")  # noqa: TRY004
    return data


def device_name(*parts: object) -> str:
    """`torch.device`: only its text; nothing is placed anywhere."""
    return ":".join(str(part) for part in parts if isinstance(part, (str, int)))


def _naturals(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(type(value) is int and 0 <= value < 1 << 62 for value in values):
        raise ValueError(f"tensor geometry {reprlib.repr(values)}")
    return values


STORAGE_TYPES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

ALLOWED: Mapping[GlobalName, Any] = {
    **NUMPY_SCALARS,
    **{("torch", name): dtype for name, dtype in STORAGE_TYPES.items()},
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch", "device"): device_name,
    ("torch", "Size"): tuple,
    ("collections", "OrderedDict"): PlainDict,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}
"""Every global that does something while a recommender's pickle is read."""
