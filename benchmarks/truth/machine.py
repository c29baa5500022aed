"""Facts of the machine that no configuration changes: versions, context, workspaces, choice of attention."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch
import torch.nn.functional as F


def versions() -> dict[str, Any]:
    """What the figures depend on."""
    from importlib.metadata import version

    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "compute_capability": [properties.major, properties.minor],
        "multi_processor_count": properties.multi_processor_count,
        "total_memory_bytes": properties.total_memory,
        "torch": torch.__version__,
        "cuda_runtime": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": _nvml("nvmlSystemGetDriverVersion"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("transformers", "peft", "lightning")},
    }


def context() -> dict[str, Any]:
    """Used memory of the card before and after the first touch, the first product, and attention; in bytes.

    The process must not have touched CUDA before.
    """
    found: dict[str, Any] = {"device_used_before_bytes": device_used_bytes()}
    torch.zeros(1, device="cuda")
    found["after_first_touch"] = used()
    a = torch.zeros(512, 512, device="cuda", requires_grad=True)
    (a @ a).sum().backward()
    found["after_matmul"] = used()
    q = torch.zeros(1, 8, 128, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    F.scaled_dot_product_attention(q, q, q).sum().backward()
    found["after_attention"] = used()
    return found


def used() -> dict[str, int | None]:
    """Bytes: of the whole card by NVML and by the driver, of this process by NVML, and what the allocator has."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return {
        "device_used_bytes": device_used_bytes(),
        "driver_used_bytes": total - free,
        "process_used_bytes": process_used_bytes(),
        "reserved_bytes": torch.cuda.memory_reserved(),
        "allocated_bytes": torch.cuda.memory_allocated(),
    }


def workspaces() -> dict[str, Any]:
    """Bytes cuBLAS takes from the allocator, per thread and type, and what clearing gives back."""
    found: dict[str, Any] = {"environment": os.environ.get("CUBLAS_WORKSPACE_CONFIG")}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a = torch.zeros(256, 256, device="cuda", dtype=dtype, requires_grad=True)
        bias = torch.zeros(256, device="cuda", dtype=dtype)
        a.grad = torch.zeros_like(a)
        before = torch.cuda.memory_allocated()
        product = a @ a
        found[f"{name} forward"] = torch.cuda.memory_allocated() - before - _bytes(product)
        before = torch.cuda.memory_allocated()
        linear = F.linear(a, a, bias)
        found[f"{name} linear with bias"] = torch.cuda.memory_allocated() - before - _bytes(linear)
        grad = torch.ones_like(product)
        before = torch.cuda.memory_allocated()
        product.backward(grad)
        found[f"{name} backward thread"] = torch.cuda.memory_allocated() - before
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        before = torch.cuda.memory_allocated()
        clear()
        found["given back by clearing"] = before - torch.cuda.memory_allocated()
    return found


def attention_choices() -> dict[str, str]:
    """The backend PyTorch picks, by type, shape and mask: its own answer (`torch._fused_sdp_choice`)."""
    from torch.nn.attention import SDPBackend

    names = {int(backend.value): backend.name for backend in SDPBackend.__members__.values()}
    found = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for batch, heads, length, width in ((2, 12, 128, 64), (4, 32, 512, 128), (4, 9, 256, 64), (2, 8, 128, 256)):
            for case in ("plain", "causal", "bias", "bool mask", "dropout", "grouped"):
                size = (batch, heads, length, width)
                q = torch.zeros(size, device="cuda", dtype=dtype, requires_grad=True)
                kv_heads = heads // 2 if case == "grouped" and heads % 2 == 0 else heads
                k = torch.zeros((batch, kv_heads, length, width), device="cuda", dtype=dtype, requires_grad=True)
                mask = None
                if case in ("bias", "bool mask"):
                    kind = dtype if case == "bias" else torch.bool
                    mask = torch.zeros((batch, 1, length, length), device="cuda", dtype=kind)
                choice = torch._fused_sdp_choice(
                    q, k, k, attn_mask=mask, dropout_p=0.1 if case == "dropout" else 0.0,
                    is_causal=case == "causal", enable_gqa=kv_heads != heads,
                )  # fmt: skip
                name = f"{str(dtype).removeprefix('torch.')} {'x'.join(map(str, size))} {case}"
                found[name] = names.get(int(choice), str(choice))
    return found


def device_used_bytes() -> int | None:
    """Used memory of the first card by NVML; None where NVML does not say."""
    info = _nvml("nvmlDeviceGetMemoryInfo", device=True)
    return None if info is None else int(info.used)


def process_used_bytes() -> int | None:
    """Used memory of this process by NVML; None where NVML does not say, as in containers without shared pids."""
    running = _nvml("nvmlDeviceGetComputeRunningProcesses", device=True) or []
    mine = [process.usedGpuMemory for process in running if process.pid == os.getpid()]
    return int(mine[0]) if mine and mine[0] is not None else None


def _nvml(function: str, *, device: bool = False) -> Any:
    import pynvml

    try:
        pynvml.nvmlInit()
        arguments = [pynvml.nvmlDeviceGetHandleByIndex(0)] if device else []
        return getattr(pynvml, function)(*arguments)
    except pynvml.NVMLError:
        return None


def _bytes(tensor: torch.Tensor) -> int:
    return -(-tensor.nbytes // 512) * 512
