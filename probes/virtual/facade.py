"""`torch.cuda` and its neighbours in front of the virtual machine: answered from the model, or refused by name."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import torch

from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.schema import Unavailable
from probes.virtual import devices, memory_functions, random_numbers, streams
from probes.virtual.devices import index_of
from probes.virtual.errors import refusing, refusing_type
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

_SILENT = ("init", "_lazy_init", "ipc_collect", "_sleep")
# Python that asks only what is answered here, or asks nothing of a device.
_OF_ITSELF = frozenset({"memory_summary", "check_error", "jiterator", "get_gencode_flags", "cudaStatus", "CudaError"})
_REASONS = {
    "utilization": "a model has no time; measure on a card",
    "memory_usage": "a model has no time; measure on a card",
    "temperature": "a model has no temperature",
    "power_draw": "a model draws no power",
    "clock_rate": "a model has no clock",
    "list_gpu_processes": "a virtual card has no other processes to list",
    "graph": "what a CUDA graph keeps in its private pool is not modelled",
    "CUDAGraph": "what a CUDA graph keeps in its private pool is not modelled",
    "graph_pool_handle": "what a CUDA graph keeps in its private pool is not modelled",
    "make_graphed_callables": "what a CUDA graph keeps in its private pool is not modelled",
    "MemPool": "private pools are not modelled",
    "use_mem_pool": "private pools are not modelled",
    "CUDAPluggableAllocator": "only PyTorch's own allocator is modelled",
    "change_current_allocator": "only PyTorch's own allocator is modelled",
    "host_memory_stats": "pinned memory of the host is not modelled",
    "host_memory_stats_as_nested_dict": "pinned memory of the host is not modelled",
}


def install(machine: Machine, patches: Patches) -> None:
    """Stand in for `torch.cuda`, `torch.accelerator` and the questions whether there is CUDA at all."""
    answers = {
        **dict.fromkeys(_SILENT, _nothing),
        **devices.functions(machine),
        **memory_functions.functions(machine),
        **streams.functions(machine),
        **random_numbers.functions(machine),
    }
    patches.replace_all(torch.cuda, answers | _refusals(torch.cuda, answers))
    memory = answers | _refusals(torch.cuda.memory, answers)
    patches.replace_all(torch.cuda.memory, memory, only_present=True)
    patches.replace_all(torch.cuda.random, answers, only_present=True)
    for name in ("range_push", "range_pop", "range_start", "range_end", "mark"):
        patches.replace(torch.cuda.nvtx, name, _zero)
    patches.replace(torch, "Generator", random_numbers.generator_type(machine))
    _install_accelerator(machine, patches, answers)
    _install_versions(machine, patches)


def unanswered(module: Any) -> set[str]:
    """Public functions and classes of a module of `torch.cuda` that neither C++ nor tables need answer."""
    return {name for name in module.__all__ if _asks_a_device(getattr(module, name, None), name)}


def _asks_a_device(value: Any, name: str) -> bool:
    if name in _OF_ITSELF or name.endswith(("Tensor", "Storage")) or (isinstance(value, type) and name == "Error"):
        return False
    return isinstance(value, (FunctionType, type)) and not (isinstance(value, type) and issubclass(value, Exception))


def _refusals(module: Any, answers: dict[str, Any]) -> dict[str, Any]:
    """Everything public that nobody answers: refused by name, so that no half-working call goes unnoticed."""
    found = {}
    for name in unanswered(module) - set(answers):
        refused = refusing_type if isinstance(getattr(module, name), type) else refusing
        found[name] = refused(f"torch.cuda.{name}", _REASONS.get(name, "the model has no answer to it"))
    return found


def _nothing(*args: Any, **kwargs: Any) -> None:
    """There is nothing to do."""


def _zero(*args: Any, **kwargs: Any) -> int:
    """A range of a profiler that nobody runs."""
    return 0


def _install_accelerator(machine: Machine, patches: Patches, answers: dict[str, Any]) -> None:
    """`torch.accelerator` is Python over these functions of C++."""

    def stats(index: int) -> Any:
        return answers["memory_stats_as_nested_dict"](index)

    given = {
        "_accelerator_getAccelerator": lambda: torch.device("cuda"),
        "_accelerator_setDeviceIndex": answers["set_device"],
        "_accelerator_getDeviceIndex": answers["current_device"],
        "_accelerator_exchangeDevice": answers["_exchange_device"],
        "_accelerator_maybeExchangeDevice": answers["_exchange_device"],
        "_accelerator_synchronizeDevice": answers["synchronize"],
        "_accelerator_getStream": answers["current_stream"],
        "_accelerator_setStream": answers["set_stream"],
        "_accelerator_emptyCache": answers["empty_cache"],
        "_accelerator_emptyHostCache": _nothing,
        "_accelerator_isAllocatorInitialized": lambda: True,
        "_accelerator_getDeviceStats": stats,
        "_accelerator_resetPeakStats": answers["reset_peak_memory_stats"],
        "_accelerator_resetAccumulatedStats": answers["reset_accumulated_memory_stats"],
        "_accelerator_getMemoryInfo": answers["mem_get_info"],
        "_accelerator_setAllocatorSettings": answers["_set_allocator_settings"],
        "_accelerator_getDeviceCapability": refusing(
            "torch.accelerator.get_device_capability", "ask torch.cuda.get_device_capability"
        ),
    }
    patches.replace_all(torch._C, given, only_present=True)
    patches.replace(torch, "Stream", answers["Stream"])
    patches.replace(torch, "Event", _event_type(machine, answers["Event"]))


def _event_type(machine: Machine, event: Any) -> type:
    """`torch.Event` names the device first."""

    class Event(event):  # type: ignore[misc]
        def __init__(self, device: Any = None, **given: Any) -> None:
            index_of(machine, device)
            super().__init__(**given)

    return Event


def _install_versions(machine: Machine, patches: Patches) -> None:
    """What code asks to find out whether this is a CUDA build."""
    cuda = torch_facts(machine.torch_version).cuda
    patches.replace(torch.backends.cuda, "is_built", lambda: True)
    # Libraries look for it while they are imported (bitsandbytes, and so peft).
    patches.replace(torch._C, "_cuda_getCurrentRawStream", lambda device: 0)
    if torch.version.cuda is None and not isinstance(cuda, Unavailable):
        patches.replace(torch.version, "cuda", f"{cuda[0]}.{cuda[1]}")
