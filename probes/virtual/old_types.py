"""`torch.cuda.FloatTensor` and its like, by which older scripts make and convert tensors.

A build without CUDA has them as names of types that it cannot make. Here they are made of `torch.empty` and
`torch.tensor`; `x.type(torch.cuda.FloatTensor)` is in `probes.virtual.moves`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probes.virtual.patches import Patches

_DTYPES = {
    "FloatTensor": torch.float32,
    "DoubleTensor": torch.float64,
    "HalfTensor": torch.float16,
    "BFloat16Tensor": torch.bfloat16,
    "LongTensor": torch.int64,
    "IntTensor": torch.int32,
    "ShortTensor": torch.int16,
    "CharTensor": torch.int8,
    "ByteTensor": torch.uint8,
    "BoolTensor": torch.bool,
}


class OldType(type):
    """The type of such a type: it decides what is an instance, since tensors have one type only."""

    dtype: torch.dtype

    def __instancecheck__(cls, value: object) -> bool:
        """Whether a value is a tensor of the card with this type of element."""
        return isinstance(value, Tensor) and value.is_cuda and value.dtype is cls.dtype

    def __call__(cls, *args: Any) -> Tensor:
        """A tensor of sizes, of data, or the tensor itself.

        Raises:
            TypeError: a tensor of another type or device.
        """
        if len(args) == 1 and isinstance(args[0], Tensor):
            if cls.__instancecheck__(args[0]):
                return args[0]
            raise TypeError(f"expected torch.cuda.{cls.__name__} (got {args[0].type()})")
        if len(args) == 1 and not isinstance(args[0], (int, torch.Size)):
            return torch.tensor(args[0], dtype=cls.dtype, device="cuda")
        sizes = args[0] if len(args) == 1 and isinstance(args[0], torch.Size) else args or (0,)
        return torch.empty(sizes, dtype=cls.dtype, device="cuda")


def named(text: str) -> OldType | None:
    """The type of a name such as "torch.cuda.FloatTensor"."""
    name = text.removeprefix("torch.cuda.")
    return _TYPES.get(name) if name != text else None


def install(patches: Patches) -> Callable[[], None]:
    """Put the types in place. Returns what takes back a default device that a script chose by one of them."""
    plain, chosen = torch.set_default_tensor_type, [False]

    def forget() -> None:
        if chosen[0]:
            torch.set_default_device(None)
            chosen[0] = False

    def set_default_tensor_type(t: Any) -> None:
        old = named(t) if isinstance(t, str) else t
        forget()
        if isinstance(old, OldType):
            torch.set_default_dtype(old.dtype)
            torch.set_default_device("cuda")
            chosen[0] = True
        else:
            plain(t)

    patches.replace_all(torch.cuda, dict(_TYPES), only_present=True)
    patches.replace(torch, "set_default_tensor_type", set_default_tensor_type)
    return forget


_TYPES = {name: OldType(name, (), {"dtype": dtype, "__module__": "torch.cuda"}) for name, dtype in _DTYPES.items()}
