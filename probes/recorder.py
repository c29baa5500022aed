"""The recorder on a real card: the same ledger as the virtual device keeps, read off PyTorch's allocator.

A dispatch mode sees every operator, in backward too. After each it asks the allocator what is allocated and what the
peak was, and gives the operator's new storages their numbers. Three kinds of bytes show themselves without a storage:

* what stays (a library's workspace, memory taken by C++ alone): noted under the operator after which it was there;
* what a kernel took and gave back while it ran: seen where it raised the peak;
* what was freed between two operators is gone by the next.

So the ledger's sum is the allocator's own number after every operator, and its maximum the allocator's own peak. It has
not been run on a card yet: its tests use an allocator of their own on CPU tensors.
"""

from __future__ import annotations

import re
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from ilora_diag.hardware.gpus import GpuSpec, UnknownGpu, find_gpu
from ilora_diag.schema import Category, Interval, Unavailable
from probes.run_ledger import MeasuredLedger
from probes.run_station import Station
from probes.virtual.ledger import Notes
from probes.virtual.machine import Refused
from probes.virtual.patches import Patches
from probes.virtual.substitutes import told
from probes.virtual.watch import Watch

_Mode: Any = TorchDispatchMode  # its constructor is not typed
_GRANULE = 512  # c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize
_MATRIX = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::_scaled_mm")
_TRIED = re.compile(r"Tried to allocate (?P<number>[\d.]+) (?P<unit>bytes|KiB|MiB|GiB)")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_ATTENTION = {
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What an allocator says: bytes now, and the highest since somebody reset it."""

    allocated_bytes: int
    reserved_bytes: int
    peak_bytes: int


class Clock(Protocol):
    """An allocator that can be asked."""

    def read(self) -> Reading:
        """Now."""

    def has(self, tensor: Tensor) -> bool:
        """Whether a tensor's storage is its."""


class CudaClock:
    """PyTorch's allocator on the current device."""

    def read(self) -> Reading:
        """From its own statistics."""
        stats = torch.cuda.memory_stats_as_nested_dict()
        allocated = stats["allocated_bytes"]["all"]
        return Reading(allocated["current"], stats["reserved_bytes"]["all"]["current"], allocated["peak"])

    def has(self, tensor: Tensor) -> bool:
        """Tensors on the card."""
        return tensor.is_cuda


@dataclass(slots=True)
class _Seen:
    """A storage and its number, as `probes.virtual.watch` looks them up."""

    number: int
    guard: weakref.ref[torch.UntypedStorage]


@dataclass(slots=True)
class Books:
    """The ledger of a real card, kept so that its sum is what the allocator says.

    Attributes:
        clock: the allocator.
        ledger: allocations and frees.
        alive: storages by key.
        unseen: (number, bytes) of what is allocated under no storage, the oldest first.
    """

    clock: Clock
    ledger: MeasuredLedger = field(default_factory=MeasuredLedger)
    alive: dict[int, _Seen] = field(default_factory=dict)
    unseen: list[tuple[int, int]] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    attention: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    watch: Watch = field(init=False)
    _reserved: int = 0
    _top: int = 0

    def __post_init__(self) -> None:
        self.watch = Watch(cast(Any, self))
        self.ledger.read = lambda: (self._allocated, self._reserved)
        first = self.clock.read()
        self._reserved, self._top = first.reserved_bytes, first.peak_bytes

    @property
    def _allocated(self) -> int:
        return self.ledger.allocated[-1] if self.ledger.allocated else 0

    def take(self, storages: list[torch.UntypedStorage], op: str, heir: str | None) -> None:
        """Note what an operator left behind: its new storages, then what no storage explains."""
        reading = self.clock.read()
        self._reserved = reading.reserved_bytes
        module = self.watch.module() if heir is None else heir
        for storage in storages:
            size = storage.nbytes()
            number = self._note(size, -(-size // _GRANULE) * _GRANULE, module, op)
            key = storage._cdata
            self.alive[key] = _Seen(number, weakref.ref(storage, partial(self._gone, key)))
            if heir is not None:
                self.watch.inherit(key, heir)
        self._level(reading.allocated_bytes, module, op)
        scratch = reading.peak_bytes - reading.allocated_bytes
        if reading.peak_bytes > self._top and scratch > 0:
            self._free(self._note(scratch, scratch, module, f"{op} (scratch)"))
        self._top = max(self._top, reading.peak_bytes)

    def refuse(self, op: str, message: str) -> None:
        """Note an out-of-memory error; what it asked for stands in its message alone."""
        found = _TRIED.search(message)
        size = int(float(found["number"]) * _UNITS[found["unit"]]) if found else 0
        watch = self.watch
        self.refused.append(
            Refused(
                device=0,
                size=size,
                module=watch.module(),
                op=op,
                phase=watch.phase(),
                step=watch.step,
                num_events=len(self.ledger.events),
                message=message,
            )
        )

    def _note(self, size: int, block_size: int, module: str, op: str) -> int:
        ledger, watch = self.ledger, self.watch
        number = ledger.add(size, 0, module, op, watch.phase(), watch.step)
        ledger.block_sizes[number] = block_size
        ledger.allocated[-1] = (ledger.allocated[-2] if len(ledger.allocated) > 1 else 0) + block_size
        return number

    def _free(self, number: int) -> None:
        self.ledger.free(number, self.watch.phase(), self.watch.step)

    def _gone(self, key: int, _: object) -> None:
        entry = self.alive.pop(key, None)
        self.watch.forget(key)
        if entry is not None:
            self._free(entry.number)

    def _level(self, allocated: int, module: str, op: str) -> None:
        """Bring the ledger's sum to what the allocator says."""
        missing = allocated - self._allocated
        while missing < 0 and self.unseen:
            number, size = self.unseen.pop()
            self._free(number)
            missing += size
        if missing > 0:
            is_workspace = op.startswith(_MATRIX)
            number = self._note(missing, missing, module, "cublas workspace" if is_workspace else f"{op} (inside)")
            self.ledger.fixed[number] = Category.WORKSPACE if is_workspace else Category.UNKNOWN
            self.unseen.append((number, missing))


class Recorder(_Mode):  # type: ignore[misc]
    """Runs every operator as it is, and lets the books see what it left."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self.books = books

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator. Raises what it raises."""
        books = self.books
        try:
            out = func(*args, **(kwargs or {}))
        except torch.OutOfMemoryError as error:
            books.refuse(func._name, str(error))
            raise
        outs = [one for one in _tensors(out) if books.clock.has(one)]
        if outs or any(books.clock.has(one) for one in _tensors(args)):
            fresh = {one.untyped_storage()._cdata: one.untyped_storage() for one in outs}
            new = [storage for key, storage in fresh.items() if key not in books.alive and storage.nbytes()]
            books.take(new, func._name, books.watch.heir_of(args))
            books.attention.update([_ATTENTION[func._name]] if func._name in _ATTENTION else [])
            if func is torch.ops.aten._to_copy.default and not books.clock.has(args[0]):
                books.watch.mark_input(out)
        return out


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors of an operator's arguments or results, one level of lists deep."""
    for value in values if isinstance(values, (list, tuple)) else (values,):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            for member in value:
                if isinstance(member, Tensor):
                    yield member


@contextmanager
def recording(books: Books) -> Iterator[None]:
    """Record inside the block."""
    with ExitStack() as stack:
        patches = stack.enter_context(Patches())
        for name in ("backward", "grad"):
            patches.replace(torch.autograd, name, told(getattr(torch.autograd, name), books.watch))
        stack.enter_context(books.watch.installed())
        stack.enter_context(Recorder(books))
        yield


def why_no_cuda() -> str:
    """Why there is no card to record on; empty if there is one."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    if not torch.cuda.is_available():
        return "torch.cuda.is_available() is False"
    return ""


def refusal_without_cuda(purpose: str) -> str:
    """What is said to somebody who wants to do something with a card where there is none; empty if there is one."""
    why = why_no_cuda()
    if not why:
        return ""
    return (
        f"--device cuda: torch sees no CUDA device here ({why}); to {purpose} on a modelled card, "
        "say --device virtual:NAME, such as virtual:h100"
    )


@contextmanager
def recorded_cuda() -> Iterator[Station]:
    """The current real card with a recorder on it."""
    torch.cuda.init()  # type: ignore[no-untyped-call]
    books = Books(CudaClock())
    with recording(books):
        station = Station(
            device="cuda",
            spec=this_card(),
            is_real=True,
            torch_version=torch.__version__.partition("+")[0],
            ledger=books.ledger,
            watch=books.watch,
            notes=books.notes,
            attention=books.attention,
            refused=books.refused,
            num_alloc_retries=lambda: int(torch.cuda.memory_stats()["num_alloc_retries"]),
        )
        station.finish = lambda: setattr(station, "spec", this_card(torch.cuda.memory_reserved()))
        yield station


def this_card(reserved_bytes: int = 0) -> GpuSpec:
    """The current card as it says itself; what is in use beside the allocator counts as context."""
    free, total = torch.cuda.mem_get_info()
    properties = torch.cuda.get_device_properties()
    outside = max(0, total - free - reserved_bytes)
    basis = "mem_get_info: what was in use beside the allocator at the end, other processes included"
    try:
        key = find_gpu(properties.name).key
    except UnknownGpu:
        key = re.sub(r"[^a-z0-9]+", "-", properties.name.lower()).strip("-")
    total_is = Interval(low_bytes=total, high_bytes=total, basis="mem_get_info")
    return GpuSpec(
        key=key,
        nvml_name=properties.name,
        aliases=(),
        compute_capability=(properties.major, properties.minor),
        memory_bytes=total,
        torch_total_bytes=total,
        torch_total=total_is,
        sm_count=properties.multi_processor_count,
        context_bytes=Interval(low_bytes=outside, high_bytes=outside, basis=basis),
        vmm=Unavailable(reason="not asked", source="recorder"),
        sources=("the card",),
        unverified_fields=(),
    )
