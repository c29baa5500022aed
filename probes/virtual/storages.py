"""Storages of a virtual card: libraries tell shared weights by their addresses; checkpoints load them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from probes.virtual.devices import index_of
from probes.virtual.machine import Machine


def replacements(machine: Machine) -> dict[str, Any]:
    """Attribute of `torch.UntypedStorage` -> what stands there while the device is there."""
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
        host = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage)
        return host.to(target).untyped_storage()

    def cuda(storage: torch.UntypedStorage, device: Any = None, non_blocking: bool = False) -> torch.UntypedStorage:
        return to(storage, device=torch.device("cuda", index_of(machine, device)))

    return {"data_ptr": address, "device": property(device), "resize_": resize, "to": to, "cuda": cuda}
