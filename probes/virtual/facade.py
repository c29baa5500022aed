"""`torch.cuda` in front of the virtual machine: every function a training asks, answered from the model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Machine

Device = Any


@dataclass(frozen=True)
class Properties:
    """What `get_device_properties` returns; the fields code asks for."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    warp_size: int = 32
    is_integrated: int = 0
    is_multi_gpu_board: int = 0
    max_threads_per_multi_processor: int = 2048
    regs_per_multiprocessor: int = 65536
    shared_memory_per_block: int = 49152
    shared_memory_per_block_optin: int = 101376
    L2_cache_size: int = 0
    gcnArchName: str = ""  # noqa: N815  (torch's own name)
    uuid: str = "00000000-0000-0000-0000-000000000000"


class Stream:
    """A stream on which everything is done at once: the model has no time."""

    def __init__(self, device: Device = None, priority: int = 0, **_: Any) -> None:
        self.device = torch.device("cuda", 0) if device is None else torch.device(device)
        self.stream_id, self.cuda_stream, self.priority = 0, 0, priority

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None: ...

    def synchronize(self) -> None: ...

    def wait_stream(self, stream: Stream) -> None: ...

    def wait_event(self, event: Event) -> None: ...

    def record_event(self, event: Event | None = None) -> Event:
        return event or Event()

    def query(self) -> bool:
        return True


class Event:
    """An event that has always happened."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None: ...

    def record(self, stream: Stream | None = None) -> None: ...

    def wait(self, stream: Stream | None = None) -> None: ...

    def query(self) -> bool:
        return True

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: Event) -> float:
        raise NotCarriedError("torch.cuda.Event.elapsed_time", "a model has no time; measure on a card")


class DeviceGuard(AbstractContextManager[None]):
    """`torch.cuda.device(...)`: another current card inside the block."""

    def __init__(self, machine: Machine, device: Device) -> None:
        self._machine, self._index = machine, index_of(machine, device)

    def __enter__(self) -> None:
        self._before, self._machine.current_device = self._machine.current_device, self._index

    def __exit__(self, *error: object) -> None:
        self._machine.current_device = self._before


def index_of(machine: Machine, device: Device = None) -> int:
    """The card a device argument names: nothing, a number, a string or a device.

    Raises:
        torch.AcceleratorError: there is no such card, in the words of the runtime.
    """
    if device is None:
        return machine.current_device
    if isinstance(device, bool) or not isinstance(device, (int, str, torch.device)):
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got: {device}")
    if isinstance(device, int):
        index = machine.current_device if device < 0 else device
    else:
        found = torch.device(device)
        if found.type != "cuda":
            raise ValueError(f"Expected a cuda device, but got: {found}")
        index = machine.current_device if found.index is None else found.index
    if index >= len(machine.cards):
        raise torch.AcceleratorError("CUDA error: invalid device ordinal")
    return index


class Facade:
    """The functions that replace those of `torch.cuda`, by name."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._rng = [torch.zeros(16, dtype=torch.uint8) for _ in machine.cards]

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Name in `torch.cuda` -> replacement."""
        own = {name: getattr(self, name) for name in dir(type(self)) if not name.startswith("_") and name != "functions"}
        quiet = ("synchronize", "init", "_lazy_init", "ipc_collect", "manual_seed", "manual_seed_all", "seed", "seed_all")
        silent: Callable[..., None] = lambda *_, **__: None  # noqa: E731
        machine = self.machine
        return own | dict.fromkeys(quiet, silent) | {
            "is_initialized": lambda: True,
            "device": lambda device: DeviceGuard(machine, device),
            "device_of": lambda tensor: DeviceGuard(machine, machine.device_of(tensor)),
            "_DeviceGuard": lambda index: DeviceGuard(machine, index),
            "stream": lambda stream: stream if stream is not None else Stream(),
            "StreamContext": lambda stream: stream if stream is not None else Stream(),
            "set_stream": silent,
            "current_stream": lambda device=None: Stream(torch.device("cuda", index_of(machine, device))),
            "default_stream": lambda device=None: Stream(torch.device("cuda", index_of(machine, device))),
            "Stream": Stream,
            "Event": Event,
            "is_current_stream_capturing": lambda: False,
            "_sleep": silent,
        }

    # -- devices --------------------------------------------------------------------------------------------------

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return len(self.machine.cards)

    def current_device(self) -> int:
        return self.machine.current_device

    def set_device(self, device: Device) -> None:
        self.machine.current_device = index_of(self.machine, device)

    def get_device_name(self, device: Device = None) -> str:
        return self.machine.cards[index_of(self.machine, device)].spec.nvml_name

    def get_device_capability(self, device: Device = None) -> tuple[int, int]:
        return self.machine.cards[index_of(self.machine, device)].spec.compute_capability

    def get_device_properties(self, device: Device = None) -> Properties:
        card = self.machine.cards[index_of(self.machine, device)]
        major, minor = card.spec.compute_capability
        count = card.spec.sm_count
        return Properties(
            name=card.spec.nvml_name,
            major=major,
            minor=minor,
            total_memory=card.total_bytes,
            multi_processor_count=count if isinstance(count, int) else 0,
        )

    def get_arch_list(self) -> list[str]:
        return [f"sm_{major}{minor}" for major, minor in {card.spec.compute_capability for card in self.machine.cards}]

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        major = self.machine.cards[self.machine.current_device].spec.compute_capability[0]
        return major >= 8 or including_emulation

    def is_tf32_supported(self) -> bool:
        return self.machine.cards[self.machine.current_device].spec.compute_capability[0] >= 8

    def can_device_access_peer(self, device: Device, peer: Device) -> bool:
        return False

    def utilization(self, device: Device = None) -> int:
        raise NotCarriedError("torch.cuda.utilization", "a model has no time; measure on a card")

    def current_blas_handle(self) -> int:
        raise NotCarriedError("torch.cuda.current_blas_handle", "there is no cuBLAS behind the device")

    # -- memory ---------------------------------------------------------------------------------------------------

    def memory_allocated(self, device: Device = None) -> int:
        return self._allocator(device).allocated_bytes

    def max_memory_allocated(self, device: Device = None) -> int:
        return self._allocator(device).peak_allocated_bytes

    def memory_reserved(self, device: Device = None) -> int:
        return self._allocator(device).reserved_bytes

    def max_memory_reserved(self, device: Device = None) -> int:
        return self._allocator(device).peak_reserved_bytes

    def memory_cached(self, device: Device = None) -> int:
        return self.memory_reserved(device)

    def memory_stats(self, device: Device = None) -> dict[str, int]:
        return self._allocator(device).memory_stats()

    def memory_stats_as_nested_dict(self, device: Device = None) -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for name, value in self.memory_stats(device).items():
            *path, leaf = name.split(".")
            place = nested
            for part in path:
                place = place.setdefault(part, {})
            place[leaf] = value
        return nested

    def reset_peak_memory_stats(self, device: Device = None) -> None:
        self._allocator(device).reset_peaks()

    def reset_max_memory_allocated(self, device: Device = None) -> None:
        self.reset_peak_memory_stats(device)

    def reset_max_memory_cached(self, device: Device = None) -> None:
        self.reset_peak_memory_stats(device)

    def reset_accumulated_memory_stats(self, device: Device = None) -> None:
        self._allocator(device).reset_accumulated()

    def empty_cache(self) -> None:
        for card in self.machine.cards:
            card.allocator.empty_cache()

    def mem_get_info(self, device: Device = None) -> tuple[int, int]:
        card = self.machine.cards[index_of(self.machine, device)]
        return card.free_bytes, card.total_bytes

    def set_per_process_memory_fraction(self, fraction: float, device: Device = None) -> None:
        if not isinstance(fraction, float):
            raise TypeError("Invalid type for fraction argument, must be `float`")
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        self._allocator(device).set_memory_fraction(fraction)

    def get_allocator_backend(self) -> str:
        return "native"

    def list_gpu_processes(self, device: Device = None) -> str:
        raise NotCarriedError("torch.cuda.list_gpu_processes", "a virtual card has no other processes to list")

    # -- random numbers: nothing random is computed, so the state is kept and handed back --------------------------

    def get_rng_state(self, device: Device = "cuda") -> torch.Tensor:
        return self._rng[index_of(self.machine, device)].clone()

    def set_rng_state(self, new_state: torch.Tensor, device: Device = "cuda") -> None:
        self._rng[index_of(self.machine, device)] = new_state.clone()

    def get_rng_state_all(self) -> list[torch.Tensor]:
        return [state.clone() for state in self._rng]

    def set_rng_state_all(self, new_states: list[torch.Tensor]) -> None:
        self._rng = [state.clone() for state in new_states]

    def initial_seed(self) -> int:
        return 0

    def _allocator(self, device: Device) -> Any:
        return self.machine.cards[index_of(self.machine, device)].allocator


__all__ = ["DeviceGuard", "Event", "Facade", "Properties", "SimpleNamespace", "Stream", "index_of"]
