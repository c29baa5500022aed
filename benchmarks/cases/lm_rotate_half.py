"""A student's edition of the course model: a rotary table of full width for each layer, the mask compared with zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmarks.cases.lm_parts import (
    NEG_INF,
    Linear,
    LmShape,
    merge_heads,
    project_weight_first,
    scores_of,
    silu,
    split_heads,
    weight,
    weighted,
)


class Norm(nn.Module):
    def __init__(self, hidden: int, device: str) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight = weight(hidden, device=device)

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        mean = torch.einsum("...d,...d->...", x, x) / self.hidden + 1e-5
        rms = torch.sqrt(mean)
        return (x / rms.unsqueeze(-1) * self.weight).to(dtype)


class Rotary(nn.Module):
    cos: Tensor
    sin: Tensor

    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        for name in ("cos", "sin"):
            self.register_buffer(name, torch.empty(shape.context, shape.head_dim, device=device))

    @staticmethod
    def half_turn(x: Tensor) -> Tensor:
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((-odd, even), dim=-1).flatten(-2)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        cos = self.cos[positions]
        sin = self.sin[positions]
        return x * cos + self.half_turn(x) * sin


def softmax(x: Tensor) -> Tensor:
    largest = torch.max(x, dim=-1, keepdim=True).values
    exponentials = torch.exp(x - largest)
    total = torch.sum(exponentials, dim=-1, keepdim=True)
    return exponentials / total


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = scores_of(q, k) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(mask == 0, NEG_INF)
    return weighted(softmax(scores), v)


class Attention(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q, self.k, self.v, self.out = (Linear(shape.hidden, shape.hidden, device) for _ in range(4))
        self.rotary = Rotary(shape, device)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        q, k, v = (split_heads(each, self.heads) for each in (q, k, v))
        q = self.rotary(q, positions)
        k = self.rotary(k, positions)
        mask = torch.tril(torch.ones(x.shape[1], x.shape[1], device=x.device)).to(torch.bool)
        mixed = merge_heads(attend(q, k, v, mask))
        return self.out(mixed)


class SwiGlu(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.w1 = weight(shape.inner, shape.hidden, device=device)
        self.w2 = weight(shape.hidden, shape.inner, device=device)
        self.w3 = weight(shape.inner, shape.hidden, device=device)

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype
        gate = project_weight_first(self.w1, x)
        up = project_weight_first(self.w3, x)
        result = project_weight_first(self.w2, silu(gate) * up)
        return result.to(dtype)


class Block(nn.Module):
    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.ln1, self.attn = Norm(shape.hidden, device), Attention(shape, device)
        self.ln2, self.ffn = Norm(shape.hidden, device), SwiGlu(shape, device)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        first = self.ln1(x)
        attended = self.attn(first, positions)
        middle = x + attended
        second = self.ln2(middle)
        inner = self.ffn(second)
        return middle + inner


class RotateHalfLm(nn.Module):
    """The model: (B, S) token ids -> (B, S, V) logits."""

    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.embedding = weight(shape.vocab, shape.hidden, device=device)
        self.blocks = nn.ModuleList(Block(shape, device) for _ in range(shape.layers))
        self.ln_final = Norm(shape.hidden, device)
        self.head = Linear(shape.hidden, shape.vocab, device)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding[ids]
        positions = torch.arange(0, ids.shape[1], device=ids.device)
        for block in self.blocks:
            x = block(x, positions)
        x = self.ln_final(x)
        logits = self.head(x)
        del positions
        return logits
