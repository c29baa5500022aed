"""Tensors of Python and numpy data: `torch.tensor`, `torch.as_tensor`, `torch.asarray`.

C++ makes them past every mode and asks for the device's own hooks, which a build without CUDA does not have. So they
are made on the host and then moved, which is what CUDA does as well: the card holds the result and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from probes.virtual.devices import completed
from probes.virtual.keys import is_virtual
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

_CPU = torch.device("cpu")


def install(machine: Machine, patches: Patches) -> None:
    """Put the three constructors in place; after `by_number`, which gathers what a default device applies to."""
    for plain in (torch.tensor, torch.as_tensor, torch.asarray):
        patches.replace(torch, plain.__name__, _moving(machine, plain))


def _moving(machine: Machine, plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    copies = plain.__name__ == "tensor"

    @wraps(plain)
    def make(data: Any, *args: Any, requires_grad: bool = False, **kwargs: Any) -> Tensor:
        kwargs.update(zip(("dtype", "device"), args, strict=False))
        card = _card(machine, kwargs.get("device"))
        wanting = {"requires_grad": True} if requires_grad else {}
        if card is None:
            return plain(_on_host(data), **wanting, **kwargs)
        if isinstance(data, Tensor):
            copy = copies or bool(kwargs.get("copy"))
            made = (data.detach() if copies else data).to(card, kwargs.get("dtype"), copy=copy)
        else:
            made = plain(_on_host(data), **{**kwargs, "device": _CPU}).to(card)
        return made.requires_grad_() if requires_grad else made

    return make


def _card(machine: Machine, device: Any) -> torch.device | None:
    """The card a new tensor belongs on, None if it does not belong on one."""
    device = _default_device() if device is None else device
    found = None if device is None else completed(machine, device)
    return None if found is None or found.type != "cuda" else found


def _default_device() -> torch.device | None:
    """What `torch.set_default_device` or `with torch.device(...)` says; asking torch would make a tensor again."""
    if not torch._C._len_torch_function_stack():
        return None
    modes = reversed(_get_current_function_mode_stack())  # type: ignore[no-untyped-call]
    return next((mode.device for mode in modes if isinstance(mode, DeviceContext)), None)


def _on_host(data: Any) -> Any:
    """Nested lists with their tensors of the card read, as C++ reads them one by one."""
    if not isinstance(data, (list, tuple)) or not data:
        return data
    if isinstance(data[0], (list, tuple)):
        return [_on_host(member) for member in data]
    if not any(isinstance(member, Tensor) for member in data):
        return data
    return [member.detach().cpu() if isinstance(member, Tensor) and is_virtual(member) else member for member in data]
