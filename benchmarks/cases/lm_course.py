"""The course's own language model (public assignment of CS336), with its optimizer and losses, in two editions.

Pre-norm RMSNorm, rotary positions, SwiGLU, attention with materialised scores, projections by einsum, no biases. The
editions differ in how the rotary table is read: `gather` indexes it with position ids, `slice` takes its first rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases.lm_parts import (
    NEG_INF,
    Linear,
    LmShape,
    Table,
    merge_heads,
    scores_of,
    silu,
    split_heads,
    weight,
    weighted,
)


class Norm(nn.Module):
    def __init__(self, hidden: int, device: str) -> None:
        super().__init__()
        self.weight = weight(hidden, device=device)

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        x = x.to(torch.float32)
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        x = x * scale
        return (self.weight * x).to(dtype)


def softmax(x: Tensor) -> Tensor:
    shifted = x - torch.max(x, dim=-1, keepdim=True)[0]
    exponentials = torch.exp(shifted)
    return exponentials / torch.sum(exponentials, dim=-1, keepdim=True)


def log_softmax(x: Tensor) -> Tensor:
    largest = torch.max(x, dim=-1, keepdim=True)[0]
    x = x - largest
    return x - torch.log(torch.sum(torch.exp(x), dim=-1, keepdim=True))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    negative = -log_softmax(logits)
    return torch.mean(torch.gather(negative, -1, targets.unsqueeze(-1)))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = scores_of(q, k) / math.sqrt(k.shape[-1])
    scores = torch.where(mask, scores, NEG_INF)
    probabilities = softmax(scores)
    return weighted(probabilities, v)


class Attention(nn.Module):
    def __init__(self, shape: LmShape, rotary: Table, device: str, *, gather: bool) -> None:
        super().__init__()
        self.shape, self.gather = shape, gather
        self.q, self.k, self.v, self.out = (Linear(shape.hidden, shape.hidden, device) for _ in range(4))
        self.rotary = rotary

    def rotate(self, x: Tensor, positions: Tensor | None) -> Tensor:
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        table = self.rotary.table[:, : x.shape[-2]] if positions is None else self.rotary.table[:, positions]
        cos, sin = table.unbind(0)
        a = cos * first - sin * second
        b = sin * first + cos * second
        return torch.concat((a.unsqueeze(-1), b.unsqueeze(-1)), dim=-1).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        q, k, v = (split_heads(each, self.shape.heads) for each in (q, k, v))
        positions = torch.arange(x.shape[1], device=x.device) if self.gather else None
        q = self.rotate(q, positions)
        k = self.rotate(k, positions)
        order = torch.arange(x.shape[1], device=x.device)
        mask = order.view(1, 1, -1, 1) >= order.view(1, 1, 1, -1)
        return self.out(merge_heads(attend(q, k, v, mask)))


class SwiGlu(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.w1 = Linear(shape.hidden, shape.inner, device)
        self.w2 = Linear(shape.inner, shape.hidden, device)
        self.w3 = Linear(shape.hidden, shape.inner, device)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, shape: LmShape, rotary: Table, device: str, *, gather: bool) -> None:
        super().__init__()
        self.attn = Attention(shape, rotary, device, gather=gather)
        self.ffn = SwiGlu(shape, device)
        self.ln1, self.ln2 = Norm(shape.hidden, device), Norm(shape.hidden, device)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attn(self.ln1(x))
        middle = x + attended
        inner = self.ffn(self.ln2(middle))
        return middle + inner


class CourseLm(nn.Module):
    """The model: (B, S) token ids -> (B, S, V) logits.

    Args:
        shape: sizes.
        device: where it is made.
        gather: the older edition, which reads the rotary table by position ids.
    """

    def __init__(self, shape: LmShape, device: str, *, gather: bool = False) -> None:
        super().__init__()
        self.gather = gather
        self.embedding = weight(shape.vocab, shape.hidden, device=device)
        rotary = Table(shape, device)
        self.blocks = nn.ModuleList(Block(shape, rotary, device, gather=gather) for _ in range(shape.layers))
        self.ln_final = Norm(shape.hidden, device)
        self.head = Linear(shape.hidden, shape.vocab, device)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding[ids]
        embedded = None if self.gather else x  # the newer edition keeps the name until it returns
        for block in self.blocks:
            x = block(x)
        x = self.ln_final(x)
        logits = self.head(x)
        del embedded
        return logits


class CourseAdamW(torch.optim.Optimizer):
    """The course's AdamW: a Python loop that makes every intermediate anew and replaces the states each step."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {"lr": 1e-3, "decay": 0.01})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, decay = group["lr"], group["decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                t = state.get("t", 0) + 1
                p.data -= lr * decay * p.data
                # The zeros are made also where a state exists, and are dropped again.
                first = state.get("first", torch.zeros_like(p.grad))
                second = state.get("second", torch.zeros_like(p.grad))
                state["first"] = m = 0.9 * first + (1 - 0.9) * p.grad
                state["second"] = v = 0.95 * second + (1 - 0.95) * torch.square(p.grad)
                state["t"] = t
                rate = lr * math.sqrt(1 - 0.95**t) / (1 - 0.9**t)
                p.data -= rate * m / (torch.sqrt(v) + 1e-8)
