"""Devices named by a number: `torch.device(0)`, `model.to(local_rank)`, `torch.zeros(3, device=0)`.

C++ asks which accelerator was compiled in, and a build without CUDA has none. So the number becomes `cuda:N` before C++
sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils._device import _device_constructors

from probes.virtual.patches import Patches

_Real = torch.device
_NEW = ("new_empty", "new_empty_strided", "new_zeros", "new_ones", "new_full")
_OF_DATA = {"tensor", "as_tensor", "asarray"}  # in `probes.virtual.data`
_LIKE = ("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like")


class _DeviceType(type):
    """The type of what stands for `torch.device`, which has no subclasses: it equals the real one."""

    def __call__(cls, *args: Any, **kwargs: Any) -> torch.device:
        if len(args) == 1 and _is_number(args[0]) and not kwargs:
            return _Real("cuda", args[0])
        return _Real(*args, **kwargs)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _Real)

    def __subclasscheck__(cls, other: type) -> bool:
        return other is cls or issubclass(other, _Real)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is _Real

    def __hash__(cls) -> int:
        return hash(_Real)


def install(patches: Patches) -> None:
    """Let numbers name cards wherever C++ reads a device."""
    constructors = {function.__name__ for function in _device_constructors()}  # gathered before any of them goes
    patches.replace(torch, "device", _DeviceType("device", (), {"__module__": "torch", "__doc__": _Real.__doc__}))
    for name in (*sorted(constructors - _OF_DATA), *_LIKE):
        if callable(vars(torch).get(name)):
            patches.replace(torch, name, named(vars(torch)[name]))
    for name in _NEW:
        patches.replace(Tensor, name, named(getattr(Tensor, name)))
    parse: Callable[..., Any] = torch._C._nn._parse_to

    def parse_to(*args: Any, **kwargs: Any) -> Any:
        if args and _is_number(args[0]):
            args = (_Real("cuda", args[0]), *args[1:])
        return parse(*args, **_with_name(kwargs))

    patches.replace(torch._C._nn, "_parse_to", parse_to)


def named(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose `device` may be a number."""

    @wraps(plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **(_with_name(kwargs) if "device" in kwargs else kwargs))

    return call


def _with_name(kwargs: dict[str, Any]) -> dict[str, Any]:
    device = kwargs.get("device")
    return {**kwargs, "device": _Real("cuda", device)} if _is_number(device) else kwargs


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
