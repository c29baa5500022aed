"""Small probes: which requests one kernel makes besides its outputs.

Each probe prepares its inputs and gives back the op; only the op is recorded. The answer is the sequence of requests:
a positive number for an allocation, and for a release minus the number (from 1) of the allocation it ends, 0 for one
made before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Op = Callable[[], object]
Make = Callable[[str], Op]

HALF = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ATTENTION_SHAPES = ((2, 12, 128, 64), (2, 12, 300, 64), (1, 32, 2048, 128), (4, 8, 512, 96))


def probes() -> dict[str, Make]:
    """All probes by name."""
    found: dict[str, Make] = {}
    for name, make in (*_attention(), *_losses(), *_norms(), *_indexing(), *_optimizers(), *_reductions()):
        if name in found:
            raise ValueError(f"two probes named {name}")
        found[name] = make
    return found


def sequence(op: Op) -> list[int]:
    """The requests `op` makes on the current CUDA device, as the module describes them."""
    torch.cuda.memory._record_memory_history(enabled="all", context=None, stacks="python", max_entries=100_000)
    try:
        kept = op()
        torch.cuda.synchronize()
        events = torch.cuda.memory._snapshot()["device_traces"][torch.cuda.current_device()]
        del kept
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
    numbers: list[int] = []
    made: dict[int, int] = {}
    for event in events:
        if event["action"] == "alloc":
            made[event["addr"]] = len(made) + 1
            numbers.append(int(event["size"]))
        elif event["action"] == "free_requested":
            numbers.append(-made.get(event["addr"], 0))
    return numbers


def backward_of(output: Tensor) -> Op:
    """The backward pass from a gradient of ones that exists already."""
    grad = torch.ones_like(output)
    return lambda: output.backward(grad)


def _attention() -> Iterator[tuple[str, Make]]:
    for backend in (
        SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH, None,
    ):  # fmt: skip
        for dtype in HALF:
            for shape in ATTENTION_SHAPES:
                for direction in ("forward", "backward"):
                    for mask in ("none", "causal", "bias"):
                        name = f"sdpa {backend.name if backend else 'default'} {dtype} {'x'.join(map(str, shape))}"
                        make = partial(_sdpa, backend, HALF[dtype], shape, direction, mask)
                        yield f"{name} {mask} {direction}", make


def _sdpa(
    backend: SDPBackend | None, dtype: torch.dtype, shape: tuple[int, ...], direction: str, mask: str, device: str
) -> Op:
    q, k, v = (torch.zeros(shape, dtype=dtype, device=device, requires_grad=True) for _ in range(3))
    size = (shape[0], 1, shape[2], shape[2])
    bias = torch.zeros(size, dtype=dtype, device=device) if mask == "bias" else None

    def forward() -> Tensor:
        if backend is None:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=mask == "causal")
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=mask == "causal")

    return forward if direction == "forward" else backward_of(forward())


def _losses() -> Iterator[tuple[str, Make]]:
    for dtype in HALF:
        for rows, vocab in ((256, 50272), (2048, 32000), (1000, 1682)):

            def forward(device: str, d: str = dtype, n: int = rows, v: int = vocab) -> Tensor:
                logits = torch.zeros(n, v, dtype=HALF[d], device=device, requires_grad=True)
                return F.cross_entropy(logits, torch.zeros(n, dtype=torch.int64, device=device))

            yield f"cross_entropy {dtype} {rows}x{vocab} forward", lambda device, f=forward: partial(f, device)
            yield f"cross_entropy {dtype} {rows}x{vocab} backward", lambda device, f=forward: backward_of(f(device))


def _norms() -> Iterator[tuple[str, Make]]:
    for dtype in HALF:
        for rows, width in ((256, 768), (4096, 2048)):

            def inputs(device: str, d: str = dtype, n: int = rows, w: int = width) -> tuple[Tensor, Tensor, Tensor]:
                x = torch.zeros(n, w, dtype=HALF[d], device=device, requires_grad=True)
                weight, bias = (torch.ones(w, dtype=HALF[d], device=device, requires_grad=True) for _ in range(2))
                return x, weight, bias

            def layer(device: str, make: Any = inputs, w: int = width) -> Tensor:
                x, weight, bias = make(device)
                return F.layer_norm(x, (w,), weight, bias)

            def rms(device: str, make: Any = inputs, w: int = width) -> Tensor:
                x, weight, _ = make(device)
                return F.rms_norm(x, (w,), weight)

            for name, op in (("layer_norm", layer), ("rms_norm", rms)):
                yield f"{name} {dtype} {rows}x{width} forward", lambda device, f=op: partial(f, device)
                yield f"{name} {dtype} {rows}x{width} backward", lambda device, f=op: backward_of(f(device))

    def dropped(device: str) -> Tensor:
        return torch.ones(2**20, device=device, requires_grad=True)

    yield "dropout forward", lambda device: partial(F.dropout, dropped(device), 0.1)
    yield "dropout backward", lambda device: backward_of(F.dropout(dropped(device), 0.1))


def _indexing() -> Iterator[tuple[str, Make]]:
    for number in (256, 3072, 3073, 16384):
        for dtype in ("float32", "bfloat16"):

            def embedding(device: str, n: int = number, d: str = dtype) -> Op:
                table = torch.zeros(50272, 768, dtype=HALF[d], device=device, requires_grad=True)
                return backward_of(F.embedding(torch.arange(n, device=device) % 1000, table))

            def index(device: str, n: int = number, d: str = dtype) -> Op:
                table = torch.zeros(50272, 768, dtype=HALF[d], device=device, requires_grad=True)
                return backward_of(table[torch.arange(n, device=device) % 1000])

            yield f"embedding {dtype} {number} backward", embedding
            yield f"index {dtype} {number} backward", index

        def put(device: str, n: int = number) -> Op:
            target, values = torch.zeros(n, 768, device=device), torch.ones(n, 768, device=device)
            rows = torch.arange(n, device=device) % 100
            return lambda: target.index_put_((rows,), values, accumulate=True)

        yield f"index_put accumulate {number}", put


def _optimizers() -> Iterator[tuple[str, Make]]:
    sizes = (5_000_000, 2_000_000, 1000)
    flags: dict[str, dict[str, bool]] = {
        "foreach": {"foreach": True},
        "fused": {"fused": True},
        "single": {"foreach": False},
    }

    def params(device: str) -> list[nn.Parameter]:
        found = [nn.Parameter(torch.zeros(size, device=device)) for size in sizes]
        for parameter in found:
            parameter.grad = torch.ones_like(parameter)
        return found

    for name, flag in flags.items():
        for step in (1, 2):

            def adamw(device: str, f: dict[str, bool] = flag, number: int = step) -> Op:
                optimizer = torch.optim.AdamW(params(device), **f)  # type: ignore[arg-type]
                for _ in range(number - 1):
                    optimizer.step()
                return lambda: optimizer.step()

            yield f"adamw {name} step {step}", adamw
    yield "sgd step", lambda device: torch.optim.SGD(params(device), lr=0.1).step
    yield "clip_grad_norm_", lambda device: partial(nn.utils.clip_grad_norm_, params(device), 1.0)


def _reductions() -> Iterator[tuple[str, Make]]:
    def simple(op: Callable[[Tensor], object], *size: int) -> Make:
        return lambda device: partial(op, torch.rand(*size, device=device))

    for n in (1000, 50272, 2**20):
        yield f"sort {n}", simple(lambda x: x.sort(), n)
        yield f"topk {n}", simple(lambda x: x.topk(10), n)
        yield f"cumsum {n}", simple(lambda x: x.cumsum(0), n)
        yield f"nonzero {n}", simple(lambda x: (x > 0.5).nonzero(), n)
        yield f"multinomial {n}", simple(lambda x: torch.multinomial(x, 4), n)
        yield f"sum {n}", simple(lambda x: x.sum(), n)
    for rows, columns in ((1024, 1280), (1024, 10_000), (8192, 768), (512, 50272), (2000, 512)):
        yield f"sum dim 0 {rows}x{columns}", simple(lambda x: x.sum(0), rows, columns)
        yield f"sum dim 1 {rows}x{columns}", simple(lambda x: x.sum(1), rows, columns)
        yield f"sum dim 1 strided {rows}x{columns}", simple(lambda x: x.t().sum(1), columns, rows)
        yield f"amax dim 1 strided {rows}x{columns}", simple(lambda x: x.t().amax(1), columns, rows)
