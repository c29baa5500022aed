"""The rows of op_cases.jsonl that determine what ran: plain PyTorch, shapes stated, nothing compiled.

The harness of those rows resets the peak, calls the function and reads `max_memory_allocated`, ten times; inputs,
weights and gradients of earlier calls stay, and the median is of a later call. The module of the repository's own
provider is made too, so its weights are there. The version of torch is not recorded: the newest release at the row's
date is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Call = Callable[[], object]
_RELEASES = (
    ("2024-07-24", "2.4.0"), ("2024-10-17", "2.5.1"), ("2025-01-29", "2.6.0"), ("2025-04-23", "2.7.1"),
    ("2025-08-06", "2.8.0"), ("2025-10-15", "2.9.1"), ("2026-01-21", "2.10.0"), ("2026-03-23", "2.11.0"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCase:
    """One measured operator.

    Attributes:
        id: the row's.
        op: its name there.
        gpu: key of the card.
        torch_version: assumed from the date.
        build: makes the inputs and gives the function that was measured.
        measured_bytes: `max_memory_allocated`, as printed in MiB.
    """

    id: str
    op: str
    gpu: str
    torch_version: str
    build: Callable[[], Call]
    measured_bytes: int


def release_at(date: str) -> str:
    """The newest torch release of a day, "2.4.0" before the first one listed."""
    return next((version for day, version in reversed(_RELEASES) if day <= date[:10]), _RELEASES[0][1])


def normal(*size: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> Tensor:
    return torch.randn(*size, dtype=dtype, device="cuda").requires_grad_(grad)


def holding(call: Call, *values: object) -> Call:
    """The call, and what lies beside it on the card."""
    kept = values

    def run() -> object:
        assert kept is values
        return call()

    return run


def cross_entropy(tokens: int, vocab: int) -> Call:
    x = normal(tokens, vocab, grad=True)
    target = torch.randint(vocab, (tokens, 1), device="cuda").squeeze(1)
    return lambda: F.cross_entropy(x, target).backward()


def head_and_loss(tokens: int, width: int, vocab: int) -> Call:
    head, other = (nn.Linear(width, vocab, bias=False, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    x = normal(tokens, width, dtype=torch.bfloat16, grad=True)
    target = torch.randint(vocab, (tokens, 1), device="cuda").squeeze(1)
    return holding(lambda: F.cross_entropy(head(x), target).backward(), other)


class Gated(nn.Module):
    """The MLP of Llama: down(act(gate(x)) * up(x)), no biases."""

    def __init__(self, width: int, inner: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        given: dict[str, Any] = {"bias": False, "dtype": torch.bfloat16, "device": "cuda"}
        self.gate, self.up = nn.Linear(width, inner, **given), nn.Linear(width, inner, **given)
        self.down, self.act = nn.Linear(inner, width, **given), act

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.down(self.act(self.gate(x)) * self.up(x))
        return made


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def gated(batch: int, length: int, width: int, inner: int, act: Callable[[Tensor], Tensor]) -> Call:
    x = normal(batch, length, width, dtype=torch.bfloat16, grad=True)
    layer = Gated(width, inner, act)

    def full() -> None:
        out = layer(x)
        out.backward(torch.randn_like(out), retain_graph=True)

    return full


def gated_forward(batch: int, length: int, width: int, inner: int, act: Callable[[Tensor], Tensor]) -> Call:
    """The forward alone, in a process that has run a backward before: both threads have their workspace."""
    square = normal(4, 4, grad=True)
    (square @ square).exp().sum().backward()
    x = normal(batch, length, width, dtype=torch.bfloat16, grad=True)
    layer = Gated(width, inner, act)
    return lambda: layer(x)


def rms_norm(rows: int, width: int) -> Call:
    """Llama's: in float32, the result cast to the input's type and multiplied with a float32 weight."""
    weight, other = (nn.Parameter(torch.ones(width, device="cuda")) for _ in range(2))
    x = normal(rows, width, dtype=torch.bfloat16)
    gradient = torch.randn_like(x)
    x.requires_grad_(True)

    def forward() -> Tensor:
        wide = x.to(torch.float32)
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        wide = wide * scale
        return weight * wide.to(torch.bfloat16)

    return holding(lambda: forward().backward(gradient, retain_graph=True), other)


def layer_norm(rows: int, width: int) -> Call:
    norm, other = (nn.LayerNorm(width, eps=1e-6, device="cuda") for _ in range(2))
    x = normal(rows, width)
    gradient = torch.randn_like(x)
    x.requires_grad_(True)
    return holding(lambda: norm(x).backward(gradient, retain_graph=True), other)


def group_norm(batch: int, channels: int, length: int, per_group: int) -> Call:
    """Forward and backward; the figures of the other modes are those of the whole call too."""
    norm, other = (nn.GroupNorm(channels // per_group, channels, eps=1e-6, device="cuda") for _ in range(2))
    x = normal(batch, channels, length)
    gradient = torch.randn_like(x)
    x.requires_grad_(True)
    return holding(lambda: norm(x).backward(gradient, retain_graph=True), other)


def rotary(length: int, width: int, heads: int, kv_heads: int) -> Call:
    """Llama's, on queries and keys, both laid out (1, S, N, D) and transposed."""
    dim = width // heads
    q = normal(1, length, heads, dim, dtype=torch.bfloat16, grad=True).transpose(1, 2)
    k = normal(1, length, kv_heads, dim, dtype=torch.bfloat16, grad=True).transpose(1, 2)
    dq, dk = torch.randn_like(q), torch.randn_like(k)
    positions = torch.arange(length, device="cuda").unsqueeze(0)
    rates = 1.0 / (10000.0 ** (torch.arange(0, dim, 2, device="cuda").float() / dim))
    angles = (rates[None, :, None] @ positions[:, None, :].float()).transpose(1, 2)  # a product, with its workspace
    both = torch.cat((angles, angles), dim=-1)
    cos, sin = both.cos().to(torch.bfloat16), both.sin().to(torch.bfloat16)
    del angles, both

    def turned(x: Tensor) -> Tensor:
        first, second = x[..., : dim // 2], x[..., dim // 2 :]
        return torch.cat((-second, first), dim=-1)

    def full() -> None:
        c, s = cos.unsqueeze(1), sin.unsqueeze(1)
        made_q = (q * c) + (turned(q) * s)
        made_k = (k * c) + (turned(k) * s)
        torch.autograd.grad((made_q, made_k), (q, k), (dq, dk), allow_unused=True, retain_graph=True)

    return holding(full, positions, rates)


def kl_div(tokens: int, vocab: int) -> Call:
    x = normal(tokens, vocab, grad=True).log_softmax(dim=-1)
    target = normal(tokens, vocab).softmax(dim=-1)
    loss = nn.KLDivLoss(reduction="batchmean")
    return lambda: loss(x, target).backward(retain_graph=True)


# Row id -> card, what ran.
RECIPES: dict[str, tuple[str, Callable[[], Call]]] = {
    "liger-32": ("a100-80gb", lambda: cross_entropy(8 * 2048, 4096)),
    "liger-204": ("a100-80gb", lambda: head_and_loss(16384, 4096, 128256)),
    "liger-234": ("a100-80gb", lambda: gated(8, 1024, 4096, 11008, gelu_tanh)),
    "liger-252": ("a100-80gb", lambda: gated(8, 4096, 4096, 11008, gelu_tanh)),
    "liger-326": ("a100-80gb", lambda: rms_norm(2048, 1024)),
    "liger-392": ("a100-80gb", lambda: rotary(2048, 8192, 32, 8)),
    "liger-418": ("h100", lambda: kl_div(8 * 2048, 4096)),
    "liger-1384": ("h100", lambda: layer_norm(4096, 8192)),
    "liger-1666": ("rtx-4090", lambda: gated(2, 4096, 2048, 4096, gelu_tanh)),
    "liger-1678": ("rtx-4090", lambda: gated_forward(2, 16384, 2048, 4096, gelu_tanh)),
    "liger-1684": ("rtx-4090", lambda: gated(2, 1024, 2048, 4096, gelu_tanh)),
    "liger-1726": ("rtx-4090", lambda: gated(2, 4096, 2048, 4096, F.silu)),
    "liger-1738": ("rtx-4090", lambda: gated_forward(2, 16384, 2048, 4096, F.silu)),
    "liger-1744": ("rtx-4090", lambda: gated(2, 1024, 2048, 4096, F.silu)),
    "liger-1852": ("b200", lambda: group_norm(128, 64, 512, 4)),
    "liger-1870": ("b200", lambda: group_norm(128, 1024, 512, 4)),
    "liger-1882": ("b200", lambda: group_norm(128, 256, 512, 4)),
}

REASONS = (
    ("provider", ("liger", "liger_rms_norm", "liger_fused_add_rms_norm", "liger_in_place", "liger_tiled", "triton"),
     "Triton kernels"),
    ("provider", ("torch_compile", "compile", "torch.compile"), "compiled by torch.compile"),
    ("provider", ("deepspeed_tiled", "megatron", "megatron-fused", "megatron-unfused"), "another library's own code"),
    ("op", ("naive attention", "naive causal attention", "pytorch_attention"), "the script is not recorded"),
    ("op", ("softmax", "relu_squared"), "the figure is smaller than one input of the stated shape"),
    ("op", ("embedding",), "12 GiB and more are alive than the stated shapes explain, for every provider alike"),
    ("provider", ("torch", "huggingface", "eager", "pytorch"), "a reference implementation of that repository's own"),
)  # fmt: skip


def load_op_cases(rows: list[dict[str, Any]]) -> tuple[list[OpCase], dict[str, str]]:
    """The comparable rows, and for every other one the reason it is left out.

    Raises:
        ValueError: a row with neither.
    """
    cases: list[OpCase] = []
    left_out: dict[str, str] = {}
    for row in rows:
        if row["id"] in RECIPES:
            gpu, build = RECIPES[row["id"]]
            measured = round(row["measured"]["peak_allocated_mib"] * 2**20)
            cases.append(
                OpCase(
                    id=row["id"], op=row["op"], gpu=gpu, torch_version=release_at(row["date"]), build=build,
                    measured_bytes=measured,
                )
            )  # fmt: skip
            continue
        reason = next((text for name, values, text in REASONS if row.get(name) in values), None)
        if reason is None:
            raise ValueError(f"row {row['id']} has neither a recipe nor a reason to leave it out")
        left_out[row["id"]] = reason
    return cases, left_out
