"""A student's edition of the course model: rotary tables made anew in every forward, results written into slices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases.lm_parts import (
    NEG_INF,
    LmShape,
    merge_heads,
    project_weight_first,
    scores_of,
    split_heads,
    weight,
    weighted,
)


class Linear(nn.Module):
    def __init__(self, inputs: int, outputs: int, device: str) -> None:
        super().__init__()
        self.weight = weight(outputs, inputs, device=device)

    def forward(self, x: Tensor) -> Tensor:
        return project_weight_first(self.weight, x)


class Norm(nn.Module):
    def __init__(self, hidden: int, device: str) -> None:
        super().__init__()
        self.weight = weight(hidden, device=device)

    def forward(self, x: Tensor) -> Tensor:
        mean = (x**2).mean(-1, keepdim=True)
        rms = torch.sqrt(mean + 1e-5)
        return x / rms * self.weight


def rotary_table(width: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=device)
    exponents = steps / width
    rates = 1.0 / (10000.0**exponents)
    positions = torch.arange(length, dtype=torch.float32, device=device)
    angles = torch.einsum("i,j->ij", positions, rates)
    return torch.cos(angles), torch.sin(angles)


def rotate(x: Tensor, table: tuple[Tensor, Tensor], positions: Tensor) -> Tensor:
    cos = table[0][positions].unsqueeze(1)
    sin = table[1][positions].unsqueeze(1)
    even, odd = x[..., 0::2], x[..., 1::2]
    a = even * cos - odd * sin
    b = even * sin + odd * cos
    result = torch.empty_like(x)
    result[..., 0::2] = a
    result[..., 1::2] = b
    return result


def softmax(x: Tensor) -> Tensor:
    largest = torch.max(x, dim=-1, keepdim=True).values
    shifted = x - largest
    exponentials = torch.exp(shifted)
    total = torch.sum(exponentials, dim=-1, keepdim=True)
    return exponentials / total


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = scores_of(q, k)
    masked = torch.where(mask, scores, NEG_INF)
    probabilities = softmax(masked / math.sqrt(q.shape[-1]))
    return weighted(probabilities, v)


class Attention(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.shape = shape
        self.q, self.k, self.v, self.out = (Linear(shape.hidden, shape.hidden, device) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        hq, hk, hv = (split_heads(each, self.shape.heads) for each in (q, k, v))
        positions = torch.arange(x.shape[1], device=x.device)
        everyone = positions.expand(x.shape[0], -1)
        table = rotary_table(self.shape.head_dim, x.shape[1], x.device)
        hq = rotate(hq, table, everyone)
        hk = rotate(hk, table, everyone)
        mask = torch.tril(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device))
        mixed = merge_heads(attend(hq, hk, hv, mask))
        return self.out(mixed)


class SwiGlu(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.w1 = Linear(shape.hidden, shape.inner, device)
        self.w2 = Linear(shape.inner, shape.hidden, device)
        self.w3 = Linear(shape.hidden, shape.inner, device)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.w1(x)
        up = self.w3(x)
        activated = gate * torch.sigmoid(gate)
        inner = activated * up
        return self.w2(inner)


class Block(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.ln1, self.attn = Norm(shape.hidden, device), Attention(shape, device)
        self.ln2, self.ffn = Norm(shape.hidden, device), SwiGlu(shape, device)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class AdaptersLm(nn.Module):
    """The model: (B, S) token ids -> (B, S, V) logits."""

    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.embedding = weight(shape.vocab, shape.hidden, device=device)
        self.blocks = nn.ModuleList(Block(shape, device) for _ in range(shape.layers))
        self.ln_final = Norm(shape.hidden, device)
        self.head = Linear(shape.hidden, shape.vocab, device)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding[ids]
        for block in self.blocks:
            x = block(x)
        x = self.ln_final(x)
        return self.head(x)


class InPlaceAdamW(torch.optim.Optimizer):
    """AdamW that updates its states in place and makes one temporary per parameter."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {"lr": 1e-3, "decay": 0.01})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
                state["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                state["v"].mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                # Rebinding the name frees the previous parameter's temporary only after this one is made.
                denominator = state["v"].sqrt().add_(1e-8)
                p.addcdiv_(state["m"], denominator, value=-group["lr"])
                p.mul_(1 - group["lr"] * group["decay"])
