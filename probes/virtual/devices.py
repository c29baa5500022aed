"""Cards behind `torch.cuda`: which there are, what they say of themselves, which is current."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch

from ilora_diag.schema import Unavailable
from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Card, Machine

Device = Any

# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": resident threads per multiprocessor
# and shared memory a block may opt in to, in KiB.
_THREADS = {(7, 5): 1024, (8, 6): 1536, (8, 7): 1536, (8, 9): 1536, (12, 0): 1536, (12, 1): 1536}
_SHARED_KIB = {(7, 0): 96, (7, 5): 64, (8, 0): 163, (8, 6): 99, (8, 7): 163, (8, 9): 99, (9, 0): 227, (10, 0): 227}
_HELP = (
    "\nGPU device may be out of range, do you have enough GPUs?"
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
    "\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)


class Properties:
    """What `get_device_properties` returns. A property the table of cards does not have is refused by name."""

    warp_size = 32
    max_threads_per_block = 1024
    regs_per_multiprocessor = 65536
    shared_memory_per_block = 49152
    is_integrated = 0
    is_multi_gpu_board = 0
    gcnArchName = ""  # noqa: N815  (torch's own name; empty on CUDA)

    def __init__(self, card: Card) -> None:
        self.name = card.spec.nvml_name
        self.major, self.minor = card.spec.compute_capability
        self.total_memory = card.total_bytes
        self.max_threads_per_multi_processor = _THREADS.get((self.major, self.minor), 2048)
        if not isinstance(card.spec.sm_count, Unavailable):
            self.multi_processor_count = card.spec.sm_count
        if (self.major, self.minor) in _SHARED_KIB:
            self.shared_memory_per_block_optin = _SHARED_KIB[self.major, self.minor] * 1024

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotCarriedError(f"torch.cuda.get_device_properties().{name}", f"it is not known of the {self.name}")

    def __repr__(self) -> str:
        mib = self.total_memory // 2**20
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, total_memory={mib}MB)"
        )


class DeviceGuard:
    """`torch.cuda.device(...)`: another current card inside the block; None or a negative index changes nothing."""

    def __init__(self, machine: Machine, device: Device) -> None:
        self._machine = machine
        self.idx = -1 if device is None or device == -1 else index_of(machine, device)
        self.prev_idx = -1

    def __enter__(self) -> None:
        self.prev_idx = self._machine.current_device
        if self.idx >= 0:
            self._machine.current_device = self.idx

    def __exit__(self, *error: object) -> None:
        self._machine.current_device = self.prev_idx


def index_of(machine: Machine, device: Device = None) -> int:
    """The card a device argument names: nothing, a number, a string or a device.

    Raises:
        ValueError: it names no CUDA device.
        torch.AcceleratorError: there is no such card, in the words of the runtime.
    """
    if device is None:
        return machine.current_device
    if isinstance(device, str):
        device = torch.device(device)
    if isinstance(device, torch.device):
        if device.type != "cuda":
            raise ValueError(f"Expected a cuda device, but got: {device}")
        index = machine.current_device if device.index is None else device.index
    elif isinstance(device, int) and not isinstance(device, bool):
        index = machine.current_device if device < 0 else device
    else:
        wanted = "Expected a torch.device with a specified index or an integer, but got"
        raise ValueError(f"{wanted}:{device}")  # noqa: TRY004  (torch raises ValueError)
    return checked(machine, index)


def completed(machine: Machine, device: Device) -> torch.device:
    """The device that an argument names; a card with its index, also where a number names it. Raises as `index_of`."""
    found = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return torch.device("cuda", index_of(machine, found)) if found.type == "cuda" else found


def checked(machine: Machine, index: int) -> int:
    """The index, if there is such a card. Raises torch.AcceleratorError else."""
    if index >= len(machine.cards):
        raise torch.AcceleratorError("CUDA error: invalid device ordinal" + _HELP)
    return index


def functions(machine: Machine) -> dict[str, Callable[..., Any]]:
    """Name in `torch.cuda` -> replacement, for what concerns devices."""

    def card(device: Device = None) -> Card:
        try:
            return machine.cards[index_of(machine, device)]
        except torch.AcceleratorError:
            raise AssertionError("Invalid device id") from None

    def set_device(device: Device) -> None:
        machine.current_device = index_of(machine, device)

    def exchange(index: int) -> int:
        before = machine.current_device
        if index >= 0:
            machine.current_device = checked(machine, index)
        return before

    def can_access(device: Device, peer_device: Device) -> bool:
        if len(machine.cards) > 1 and index_of(machine, device) != index_of(machine, peer_device):
            raise NotCarriedError("torch.cuda.can_device_access_peer", "how the cards are connected is not modelled")
        return False

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return bool(card().spec.compute_capability[0] >= 8 or including_emulation)

    class Guard(DeviceGuard):
        def __init__(self, device: Device) -> None:
            super().__init__(machine, device)

    class GuardOf(Guard):
        def __init__(self, obj: Any) -> None:
            super().__init__(obj.get_device() if obj.is_cuda else -1)

    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_is_compiled": lambda: True,
        "device_count": lambda: len(machine.cards),
        "current_device": lambda: machine.current_device,
        "set_device": set_device,
        "_exchange_device": exchange,
        "_maybe_exchange_device": exchange,
        "device": Guard,
        "device_of": GuardOf,
        "_DeviceGuard": Guard,
        "get_device_name": lambda device=None: card(device).spec.nvml_name,
        "get_device_capability": lambda device=None: card(device).spec.compute_capability,
        "get_device_properties": lambda device=None: Properties(card(device)),
        "get_arch_list": lambda: sorted(
            f"sm_{major}{minor}" for major, minor in {each.spec.compute_capability for each in machine.cards}
        ),
        "is_bf16_supported": is_bf16_supported,
        "is_tf32_supported": lambda: card().spec.compute_capability[0] >= 8,
        "can_device_access_peer": can_access,
    }
