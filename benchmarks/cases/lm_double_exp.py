"""A student's edition of the course model: softmax that takes every exponential twice, tables kept on the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases.lm_parts import (
    NEG_INF,
    Linear,
    LmShape,
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
        rms = torch.sqrt((x**2).mean(dim=-1, keepdim=True) + 1e-5)
        return x / rms * self.weight


def softmax(x: Tensor) -> Tensor:
    largest, _ = torch.max(x, dim=-1, keepdim=True)
    return torch.exp(x - largest) / torch.sum(torch.exp(x - largest), dim=-1, keepdim=True)


def last_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of (B, V) logits against (B,) ids, over a one-hot table."""
    largest, _ = torch.max(logits, dim=-1, keepdim=True)
    logs = (logits - largest) - torch.log(torch.sum(torch.exp(logits - largest), dim=-1, keepdim=True))
    one_hot = torch.zeros_like(logs).scatter_(-1, targets.unsqueeze(-1), 1.0)
    return -torch.sum(one_hot * logs) / logits.shape[0]


class Attention(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.shape = shape
        self.q, self.k, self.v, self.out = (Linear(shape.hidden, shape.hidden, device) for _ in range(4))

    def rotate(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], self.shape.head_dim // 2)
        cos = torch.ones(size, device="cpu").to(x.device)
        sin = torch.zeros(size, device="cpu").to(x.device)
        a = x[..., 0::2] * cos - x[..., 1::2] * sin
        b = x[..., 0::2] * sin + x[..., 1::2] * cos
        return torch.cat((a.unsqueeze(-1), b.unsqueeze(-1)), dim=-1).flatten(-2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        length = q.shape[-2]
        mask = torch.ones(length, length, device="cpu").tril().to(q.device)
        scores = scores_of(q, k)
        scaled = scores / torch.sqrt(torch.tensor(q.shape[-1], device="cpu").to(q.device))
        scaled.masked_fill_(~mask.to(torch.bool), NEG_INF)
        return weighted(softmax(scaled), v)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(each, self.shape.heads) for each in (self.q(x), self.k(x), self.v(x)))
        q = self.rotate(q)
        k = self.rotate(k)
        return self.out(merge_heads(self.attend(q, k, v)))


class SwiGlu(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.w1 = Linear(shape.hidden, shape.inner, device)
        self.w2 = Linear(shape.inner, shape.hidden, device)
        self.w3 = Linear(shape.hidden, shape.inner, device)

    def forward(self, x: Tensor) -> Tensor:
        gate = silu(self.w1(x))
        return self.w2(gate * self.w3(x))


class Block(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.ln1, self.ln2 = Norm(shape.hidden, device), Norm(shape.hidden, device)
        self.attn, self.ffn = Attention(shape, device), SwiGlu(shape, device)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attn(self.ln1(x))
        x = x + attended
        inner = self.ffn(self.ln2(x))
        return x + inner


class DoubleExpLm(nn.Module):
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
        return self.head(self.ln_final(x))


class PlainAdamW(torch.optim.Optimizer):
    """AdamW whose states are made with the optimizer and which replaces states and weights at every step."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {"lr": 1e-3, "decay": 0.01})
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"m": torch.zeros_like(p.data), "v": torch.zeros_like(p.data)}

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, decay = group["lr"], group["decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, grad = self.state[p], p.grad.data
                state["m"] = 0.9 * state["m"] + (1 - 0.9) * grad
                state["v"] = 0.999 * state["v"] + (1 - 0.999) * grad**2
                p.data = p.data - lr * (state["m"] / (torch.sqrt(state["v"]) + 1e-8))
                p.data = p.data - lr * decay * p.data
