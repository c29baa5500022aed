"""The memory functions of `torch.cuda`, answered by the allocator's model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ilora_diag.memory.allocator import CachingAllocator
from ilora_diag.memory.settings import parse_allocator_settings
from probes.virtual.devices import Device, index_of
from probes.virtual.machine import Machine


def functions(machine: Machine) -> dict[str, Callable[..., Any]]:
    """Name in `torch.cuda` and `torch.cuda.memory` -> replacement."""

    def allocator(device: Device = None) -> CachingAllocator:
        return machine.cards[index_of(machine, device)].allocator

    def memory_stats(device: Device = None) -> OrderedDict[str, int]:
        return OrderedDict(sorted(allocator(device).memory_stats().items()))

    def empty_cache() -> None:
        for card in machine.cards:
            card.allocator.empty_cache()

    def synchronize(device: Device = None) -> None:
        allocator(device).synchronize()

    def mem_get_info(device: Device = None) -> tuple[int, int]:
        card = machine.cards[index_of(machine, device)]
        return card.free_bytes, card.total_bytes

    def device_memory_used(device: Device = None) -> int:
        free, total = mem_get_info(device)
        return total - free

    def set_settings(env: str) -> None:
        settings = parse_allocator_settings({"PYTORCH_CUDA_ALLOC_CONF": env}, machine.torch_version)
        machine.settings = replace(settings, variable="torch.cuda.memory._set_allocator_settings")
        for card in machine.cards:
            card.allocator.settings = machine.settings

    def reset_peaks(device: Device = None) -> None:
        allocator(device).reset_peaks()

    return {
        "memory_allocated": lambda device=None: allocator(device).allocated_bytes,
        "max_memory_allocated": lambda device=None: allocator(device).peak_allocated_bytes,
        "memory_reserved": lambda device=None: allocator(device).reserved_bytes,
        "max_memory_reserved": lambda device=None: allocator(device).peak_reserved_bytes,
        "memory_cached": lambda device=None: allocator(device).reserved_bytes,
        "max_memory_cached": lambda device=None: allocator(device).peak_reserved_bytes,
        "memory_stats": memory_stats,
        "memory_stats_as_nested_dict": lambda device=None: _nested(memory_stats(device)),
        "reset_peak_memory_stats": reset_peaks,
        "reset_max_memory_allocated": reset_peaks,
        "reset_max_memory_cached": reset_peaks,
        "reset_accumulated_memory_stats": lambda device=None: allocator(device).reset_accumulated(),
        "empty_cache": empty_cache,
        "synchronize": synchronize,
        "mem_get_info": mem_get_info,
        "device_memory_used": device_memory_used,
        "get_allocator_backend": lambda: machine.settings.backend,
        "_set_allocator_settings": set_settings,
        **_fraction(machine),
    }


def _nested(stats: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in stats.items():
        *path, leaf = name.split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = value
    return found


def _fraction(machine: Machine) -> dict[str, Callable[..., Any]]:
    """The share of a card this process may take; its checks are torch's own."""
    given = machine.settings.per_process_memory_fraction
    fractions = [1.0 if given is None else given for _ in machine.cards]

    def set_fraction(fraction: float, device: Device = None) -> None:
        index = index_of(machine, device)
        if not isinstance(fraction, float):
            raise TypeError("Invalid type for fraction argument, must be `float`")
        if fraction < 0 or fraction > 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        machine.cards[index].allocator.set_memory_fraction(fraction)
        fractions[index] = fraction

    return {
        "set_per_process_memory_fraction": set_fraction,
        "get_per_process_memory_fraction": lambda device=None: fractions[index_of(machine, device)],
    }
