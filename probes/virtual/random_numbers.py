"""Seeds and generators. Nothing random is computed on a virtual card, so states are kept and handed back, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from probes.virtual.devices import Device, completed, index_of
from probes.virtual.machine import Machine

_STATE_BYTES = 16  # seed and offset of Philox, as CUDAGeneratorImpl::get_state lays them out
_DEFAULT_SEED = 67280421310721  # c10/core/GeneratorImpl.h, default_rng_seed_val
_Host: Any = torch._C.Generator


class VirtualGenerator(_Host):  # type: ignore[misc]
    """A generator that says it is of a card; to C++ it is one of the host that nobody draws from."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._seed, self._offset = device, _DEFAULT_SEED, 0

    def __new__(cls, device: torch.device) -> VirtualGenerator:
        """The host generator underneath."""
        made: VirtualGenerator = _Host.__new__(cls, device="cpu")
        return made

    @property
    def device(self) -> torch.device:
        """Its card."""
        return self._device

    def manual_seed(self, seed: int) -> VirtualGenerator:
        """Set the seed."""
        self._seed, self._offset = int(seed) % 2**64, 0
        return self

    def seed(self) -> int:
        """Take a seed from the host's source of randomness."""
        self._seed, self._offset = _Host().seed(), 0
        return self._seed

    def initial_seed(self) -> int:
        """The seed set last."""
        return self._seed

    def get_offset(self) -> int:
        """How far the stream of numbers was read: as far as it was set."""
        return self._offset

    def set_offset(self, offset: int) -> None:
        """Continue elsewhere."""
        self._offset = offset

    def get_state(self) -> Tensor:
        """Seed and offset as bytes on the host."""
        data = self._seed.to_bytes(8, "little") + self._offset.to_bytes(8, "little")
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).clone()

    def set_state(self, state: Tensor) -> VirtualGenerator:
        """Continue from a state."""
        if state.numel() != _STATE_BYTES or state.dtype is not torch.uint8:
            raise RuntimeError("RNG state is wrong size")
        data = bytes(state.tolist())
        self._seed, self._offset = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")
        return self

    def clone_state(self) -> VirtualGenerator:
        """Another generator in the same state."""
        return VirtualGenerator(self._device).set_state(self.get_state())


def generator_type(machine: Machine) -> type:
    """What stands for `torch.Generator`: makes generators of either kind, and both are instances of it."""

    class Meta(type):
        def __call__(cls, device: Any = "cpu") -> Any:
            wanted = completed(machine, device)
            return VirtualGenerator(wanted) if wanted.type == "cuda" else _Host(device=wanted)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _Host)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, _Host)

    return Meta("Generator", (), {"__module__": "torch"})


def functions(machine: Machine) -> dict[str, Any]:
    """Name in `torch.cuda` and `torch.cuda.random` -> replacement."""
    generators = tuple(VirtualGenerator(torch.device("cuda", card.index)) for card in machine.cards)

    def of(device: Device = None) -> VirtualGenerator:
        return generators[index_of(machine, device)]

    def set_state(new_state: Tensor, device: Device = "cuda") -> None:
        of(device).set_state(new_state)

    def set_states(new_states: Iterable[Tensor]) -> None:
        for generator, state in zip(generators, new_states, strict=False):
            generator.set_state(state)

    def for_all(action: Callable[[VirtualGenerator], Any]) -> None:
        for generator in generators:
            action(generator)

    def manual_seed(seed: int) -> None:
        of().manual_seed(seed)

    def seed() -> None:
        of().seed()

    return {
        "default_generators": generators,
        "get_rng_state": lambda device="cuda": of(device).get_state(),
        "set_rng_state": set_state,
        "get_rng_state_all": lambda: [generator.get_state() for generator in generators],
        "set_rng_state_all": set_states,
        "manual_seed": manual_seed,
        "manual_seed_all": lambda seed: for_all(lambda generator: generator.manual_seed(seed)),
        "seed": seed,
        "seed_all": lambda: for_all(lambda generator: generator.seed()),
        "initial_seed": lambda: of().initial_seed(),
        "_get_generator": lambda device: of(device),
        "_get_rng_state_offset": lambda device="cuda": of(device).get_offset(),
        "_set_rng_state_offset": lambda offset, device="cuda": of(device).set_offset(offset),
    }
