"""A student's edition of the course model: one projection for q, k and v, einsum also inside the norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmarks.cases.lm_parts import (
    NEG_INF,
    LmShape,
    merge_heads,
    project_weight_first,
    scores_of,
    silu,
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
        self.hidden = hidden
        self.weight = weight(hidden, device=device)

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        rms = torch.sqrt(torch.einsum("...d,...d->...", x, x) / self.hidden + 1e-5)
        y = torch.einsum("...d,...,d->...d", x, 1 / rms, self.weight)
        return y.to(dtype)


class Rotary(nn.Module):
    cos: Tensor
    sin: Tensor

    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.empty(shape.context, shape.head_dim // 2, device=device))
        self.register_buffer("known", torch.arange(shape.context, device=device))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        # Compares the positions with the ones it has tables for; the answer is read on the host.
        _ = (positions.expand(*x.shape[:-1]) == self.known).all()
        cos, sin = self.cos.to(x), self.sin.to(x)
        a = x[..., 0::2] * cos - x[..., 1::2] * sin
        b = x[..., 0::2] * sin + x[..., 1::2] * cos
        return torch.stack((a, b), dim=-1).flatten(-2)


def softmax(x: Tensor) -> Tensor:
    largest = x.amax(dim=-1, keepdim=True)
    exponentials = torch.exp(x - largest)
    total = exponentials.sum(dim=-1, keepdim=True)
    return exponentials / total


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    picked = shifted.gather(-1, targets.unsqueeze(-1))
    return (torch.log(torch.exp(shifted).sum(dim=-1, keepdim=True)) - picked).mean()


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = scores_of(q, k)
    masked = scores.masked_fill(~mask, NEG_INF)
    probabilities = softmax(masked / math.sqrt(q.shape[-1]))
    return weighted(probabilities, v)


class Attention(nn.Module):
    mask: Tensor

    def __init__(self, shape: LmShape, rotary: Rotary, device: str) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = Linear(shape.hidden, 3 * shape.hidden, device)
        self.out = Linear(shape.hidden, shape.hidden, device)
        self.rotary = rotary
        self.register_buffer("mask", torch.empty(shape.context, shape.context, dtype=torch.bool, device=device))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        q, k, v = (split_heads(each, self.heads) for each in self.qkv(x).chunk(3, dim=-1))
        q = self.rotary(q, positions)
        k = self.rotary(k, positions)
        mixed = merge_heads(attend(q, k, v, self.mask))
        return self.out(mixed)


class SwiGlu(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.w1 = Linear(shape.hidden, shape.inner, device)
        self.w2 = Linear(shape.inner, shape.hidden, device)
        self.w3 = Linear(shape.hidden, shape.inner, device)

    def forward(self, x: Tensor) -> Tensor:
        gate = silu(self.w1(x))
        up = self.w3(x)
        inner = gate * up
        return self.w2(inner)


class Block(nn.Module):
    def __init__(self, shape: LmShape, rotary: Rotary, device: str) -> None:
        super().__init__()
        self.attn, self.ffn = Attention(shape, rotary, device), SwiGlu(shape, device)
        self.ln1, self.ln2 = Norm(shape.hidden, device), Norm(shape.hidden, device)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x), positions)
        return x + self.ffn(self.ln2(x))


class FusedQkvLm(nn.Module):
    """The model: (B, S) token ids -> (B, S, V) logits."""

    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.embedding = weight(shape.vocab, shape.hidden, device=device)
        rotary = Rotary(shape, device)
        self.blocks = nn.ModuleList(Block(shape, rotary, device) for _ in range(shape.layers))
        self.ln_final = Norm(shape.hidden, device)
        self.head = Linear(shape.hidden, shape.vocab, device)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding[ids]
        positions = torch.arange(ids.shape[1], device=ids.device)
        for block in self.blocks:
            x = block(x, positions)
        x = self.ln_final(x)
        return self.head(x)
