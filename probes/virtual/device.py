"""`virtual_cuda`: code written for `torch.cuda` runs unchanged inside, on a card that is only a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch

from ilora_diag.hardware.gpus import GpuSpec, find_gpu, with_memory
from ilora_diag.memory.allocator import CachingAllocator
from ilora_diag.memory.oom import ProcessUse
from ilora_diag.memory.settings import AllocatorSettings, parse_allocator_settings
from ilora_diag.schema import Unavailable
from probes.virtual import (
    accumulate,
    by_number,
    copies,
    data,
    facade,
    moves,
    old_types,
    pinned,
    refusals,
    storages,
    substitutes,
    tensors,
    workspace_sizes,
)
from probes.virtual.autocast import autocast_kernels
from probes.virtual.compiler_stub import without_compiler
from probes.virtual.dispatch import VirtualDispatch
from probes.virtual.errors import VirtualDeviceError
from probes.virtual.history import History
from probes.virtual.machine import Card, Machine, environment
from probes.virtual.patches import Patches

_active: list[Machine] = []


@contextmanager
def virtual_cuda(
    gpu: str | GpuSpec = "h100",
    memory: int | None = None,
    torch_version: str | None = None,
    vmm: bool | None = None,
    *,
    devices: int = 1,
    other_bytes: int = 0,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Machine]:
    """Put virtual cards behind `torch.cuda` inside the block; everything is restored after it, also after an error.

    Args:
        gpu: name of a card, or its row of the table.
        memory: bytes of each card; default: the card's own.
        torch_version: whose allocator, workspaces and choice of attention are modelled; default: the installed one.
        vmm: whether the driver has virtual memory management, which expandable segments need; default: the card's.
        devices: number of cards.
        other_bytes: what other processes hold on each card.
        environ: variables such as PYTORCH_CUDA_ALLOC_CONF; default: this process's.

    Yields:
        The machine: its cards, its ledger of allocations, its notes of what could not be known.

    Raises:
        UnknownGpu: no such card.
        SettingsError: allocator settings that the torch version refuses.
        VirtualDeviceError: a virtual device is there already.
    """
    if _active:
        raise VirtualDeviceError("a virtual CUDA device is active already: leave its block first")
    version = torch_version or torch.__version__
    machine = _machine(gpu, memory, version, vmm, devices, other_bytes, environment() if environ is None else environ)
    accumulate.sole_holders()
    with ExitStack() as stack:
        patches = stack.enter_context(Patches())
        stack.enter_context(without_compiler(patches))
        _active.append(machine)
        stack.callback(_active.clear)
        history = History(machine)
        patches.replace_all(torch.Tensor, tensors.replacements(machine))
        moves.install(machine, patches)
        patches.replace_all(torch.UntypedStorage, storages.replacements(machine))
        patches.replace_all(torch.Tensor, copies.replacements(machine))
        facade.install(machine, patches)
        history.install(patches)
        substitutes.install(machine, patches)
        by_number.install(patches)
        data.install(machine, patches)
        pinned.install(patches)
        stack.callback(old_types.install(patches))
        refusals.install(machine, patches)
        workspace_sizes.install(machine, patches)
        stack.enter_context(substitutes.registered(machine))
        stack.enter_context(autocast_kernels(machine, patches))
        stack.enter_context(machine.watch.installed())
        stack.enter_context(_device_guards())
        mode = VirtualDispatch(machine)
        stack.enter_context(mode)
        yield machine


@contextmanager
def _device_guards() -> Iterator[None]:
    """Let C++ name CUDA devices without a driver: guards that do nothing, and data of an index made on the host."""
    torch._C._ensureCUDADeviceGuardSet()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _machine(
    gpu: str | GpuSpec,
    memory: int | None,
    version: str,
    vmm: bool | None,
    devices: int,
    other_bytes: int,
    environ: Mapping[str, str],
) -> Machine:
    spec = find_gpu(gpu) if isinstance(gpu, str) else gpu
    if memory is not None:
        spec = with_memory(spec, memory)
    settings = parse_allocator_settings(environ, version)
    has_vmm = vmm if vmm is not None else (True if isinstance(spec.vmm, Unavailable) else spec.vmm)
    cards = [_card(spec, index, other_bytes, settings, has_vmm, version) for index in range(devices)]
    return Machine(cards, torch_version=version, settings=settings, environ=environ)


def _card(spec: GpuSpec, index: int, other_bytes: int, settings: AllocatorSettings, vmm: bool, version: str) -> Card:
    total = spec.usable_total_bytes
    context = spec.context_bytes.high_bytes
    allocator = CachingAllocator(
        max(0, total - context - other_bytes),
        total_bytes=total,
        settings=settings,
        device=index,
        vmm=vmm,
        torch_version=version,
    )
    allocator.processes = (ProcessUse(pid=None, used_bytes=context),)
    return Card(index, spec, total, context, other_bytes, allocator)
