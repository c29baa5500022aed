"""The virtual machine: its cards, what is alive on them, and who is told."""

from __future__ import annotations

import os
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.hardware.workspaces import WorkspaceRule, cublas_workspace
from ilora_diag.memory.allocator import AllocatorOutOfMemory, Block, CachingAllocator, VmmUnsupported
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema import Category
from probes.virtual.ledger import Ledger, Notes
from probes.virtual.watch import Watch


@dataclass(slots=True)
class Card:
    """One virtual device: its model, and the allocator that serves it."""

    index: int
    spec: GpuSpec
    total_bytes: int
    context_bytes: int
    other_bytes: int
    allocator: CachingAllocator

    @property
    def free_bytes(self) -> int:
        """What the driver would say is free."""
        return max(0, self.total_bytes - self.context_bytes - self.other_bytes - self.allocator.reserved_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request that a card could not meet: what asked, when, and what the user would read."""

    device: int
    size: int
    module: str
    op: str
    phase: str
    step: int
    num_events: int
    message: str


@dataclass(slots=True)
class Alive:
    """A storage on a card: the block under it, and its number in the ledger."""

    number: int
    device: int
    block: Block | None
    guard: weakref.ref[torch.UntypedStorage]


class Machine:
    """Cards, live storages, and the record of what happened.

    Args:
        cards: at least one.
        torch_version: whose rules are modelled.
        settings: of the allocator, as that version read them from the environment.
        environ: variables that change what kernels do.
    """

    def __init__(
        self, cards: list[Card], *, torch_version: str, settings: AllocatorSettings, environ: Mapping[str, str]
    ) -> None:
        self.cards = cards
        self.torch_version = torch_version
        self.facts = torch_facts(torch_version)
        self.settings = settings
        self.environ = environ
        self.current_device = 0
        self.streams = [0 for _ in cards]
        self.in_kernel = False
        self.ledger = Ledger()
        self.notes = Notes()
        self.watch = Watch(self)
        self.alive: dict[int, Alive] = {}
        self.values: dict[int, torch.UntypedStorage | bool] = {}  # by storage; a bool stands for every element
        self.imagined: set[int] = set()  # storages whose values nobody knows, though there are some
        self.picture: Callable[[Tensor], tuple[Any, ...]] | None = None  # what pickle is given for a tensor of ours
        self.asking = ""
        self.refused: list[Refused] = []
        self.attention: Counter[str] = Counter()
        self.substitutes: dict[Any, Any] = {}
        self.workspace_sizes: dict[str, int] = {}
        self._rules: dict[int, WorkspaceRule] = {}
        self._workspaces: dict[tuple[int, str], tuple[int, Block | None]] = {}

    def device_of(self, tensor: Tensor) -> int:
        """Index of the card a virtual tensor lives on."""
        if len(self.cards) == 1:
            return 0
        entry = self.alive.get(tensor.untyped_storage()._cdata)
        return entry.device if entry is not None else self.current_device

    def adopt(self, storage: torch.UntypedStorage, device: int, op: str, *, module: str | None = None) -> int:
        """Give a new storage its block. Returns its number in the ledger.

        Raises:
            torch.OutOfMemoryError: the card is full, in the words of the real message.
            RuntimeError: expandable segments on a card without virtual memory management.
        """
        key = storage._cdata
        size = storage.nbytes()
        number, block = self.allocate(size, device, op, module=module)
        guard = weakref.ref(storage, lambda _: self._released(key))
        self.alive[key] = Alive(number, device, block, guard)
        if module is not None:
            self.watch.inherit(key, module)
        return number

    def allocate(self, size: int, device: int, op: str, *, module: str | None = None) -> tuple[int, Block | None]:
        """Take a block from a card's allocator and note it. Raises as `adopt`."""
        watch = self.watch
        self.asking = op
        block = self._take(size, device) if size else None
        where = watch.module() if module is None else module
        number = self.ledger.add(size, device, where, op, watch.phase(), watch.step)
        return number, block

    def release(self, number: int, device: int, block: Block | None) -> None:
        """Give a block back."""
        self.ledger.free(number, self.watch.phase(), self.watch.step)
        if block is not None:
            self.cards[device].allocator.free(block)

    def scratch(self, size: int, device: int, op: str) -> None:
        """A kernel's own scratch: taken and given back within the call."""
        if size > 0:
            number, block = self.allocate(size, device, op)
            self.release(number, device, block)

    def keep_workspace(self, key: str, size: int, device: int, op: str) -> None:
        """A library's buffer, made at its first use and kept until a larger one is needed."""
        kept = self._workspaces.get((device, key))
        if size <= (0 if kept is None else self.ledger.sizes[kept[0]]):
            return
        number, block = self.allocate(size, device, op)
        self.ledger.fixed[number] = Category.WORKSPACE
        self._workspaces[device, key] = (number, block)
        if kept is not None:
            self.release(kept[0], device, kept[1])

    def workspace_rule(self, device: int) -> WorkspaceRule:
        """The cuBLAS rule of this card, torch version and environment, with the sizes the program set."""
        if device not in self._rules:
            capability = self.cards[device].spec.compute_capability
            rule = cublas_workspace(self.torch_version, capability, self.environ)
            cublas_bytes = self.workspace_sizes.get("cublas", rule.cublas_bytes)
            lt_bytes = 0 if rule.lt_shares_cublas else self.workspace_sizes.get("cublaslt", rule.lt_bytes)
            self._rules[device] = replace(rule, cublas_bytes=cublas_bytes, lt_bytes=lt_bytes)
        return self._rules[device]

    def set_workspace_size(self, library: str, size: int | None) -> None:
        """From now on "cublas" or "cublaslt" takes a buffer of this size; None: what the environment says."""
        self.workspace_sizes.pop(library, None)
        if size is not None:
            self.workspace_sizes[library] = size
        self._rules.clear()

    def drop_workspaces(self) -> None:
        """Give the libraries' buffers back, as `torch._C._cuda_clearCublasWorkspaces` does."""
        for (device, _), (number, block) in self._workspaces.items():
            self.release(number, device, block)
        self._workspaces.clear()

    def resize(self, storage: torch.UntypedStorage) -> None:
        """A storage changed its size in place: the old block goes, a new one comes."""
        key = storage._cdata
        entry = self.alive.pop(key)
        self.forget_values(key)
        self.release(entry.number, entry.device, entry.block)
        self.adopt(storage, entry.device, "resize_")

    def forget_values(self, key: int) -> None:
        """What a storage holds is no longer known."""
        self.values.pop(key, None)
        self.imagined.discard(key)

    def _released(self, key: int) -> None:
        entry = self.alive.pop(key, None)
        self.forget_values(key)
        self.watch.forget(key)
        if entry is not None:
            self.release(entry.number, entry.device, entry.block)

    def _take(self, size: int, device: int) -> Block | None:
        card = self.cards[device]
        try:
            return card.allocator.malloc(size, stream=self.streams[device])
        except VmmUnsupported as error:
            raise RuntimeError(str(error)) from None
        except AllocatorOutOfMemory as error:
            self._note_refusal(size, device, str(error))
            raise torch.OutOfMemoryError(str(error)) from None

    def _note_refusal(self, size: int, device: int, message: str) -> None:
        watch = self.watch
        self.refused.append(
            Refused(
                device=device,
                size=size,
                module=watch.module(),
                op=self.asking,
                phase=watch.phase(),
                step=watch.step,
                num_events=len(self.ledger.events),
                message=message,
            )
        )


def environment() -> dict[str, str]:
    """The variables of this process that the allocator, cuBLAS and the choice of attention read."""
    prefixes = ("PYTORCH_", "TORCH_", "CUBLAS", "CUDA_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
