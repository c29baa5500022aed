"""Pieces that several of the hand-written language models share: shapes, weights without initialisation, projections.

The models reproduce which operations ran, in which order, and what stays alive meanwhile; the evidence is the frames
and sizes of the recorded snapshots. Values do not matter, so weights are left uninitialised.

Shapes: B samples, S tokens, H width, N heads, D = H / N, F inner width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

NEG_INF = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class LmShape:
    """Sizes of a language model.

    Attributes:
        context: positions its rotary tables cover.
    """

    hidden: int
    layers: int
    heads: int
    inner: int
    vocab: int
    context: int

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


def weight(*size: int, device: str) -> nn.Parameter:
    """An uninitialised float32 parameter."""
    return nn.Parameter(torch.empty(*size, device=device))


def project(x: Tensor, w: Tensor) -> Tensor:
    """(..., i) by (o, i) -> (..., o), as einsum: one batched product, and a transposed gradient of the weight."""
    return torch.einsum("...i,oi->...o", x, w)


def project_weight_first(w: Tensor, x: Tensor) -> Tensor:
    """The same with the weight as first operand, laid out as torch 2.6 did: the result is stored transposed.

    Newer versions of einsum swap the operands so that the result is contiguous; written over the flat batch, they have
    no reason to.
    """
    flat = torch.einsum("oi,ni->on", w, x.flatten(0, -2))
    return flat.unflatten(1, x.shape[:-1]).movedim(0, -1)


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, S, N*D) -> (B, N, S, D), a view."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, N, S, D) -> (B, S, N*D), a copy."""
    return x.transpose(-3, -2).flatten(-2)


def scores_of(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("...qd,...kd->...qk", q, k)


def weighted(p: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("...qk,...kd->...qd", p, v)


class Linear(nn.Module):
    """A projection without bias."""

    def __init__(self, inputs: int, outputs: int, device: str) -> None:
        super().__init__()
        self.weight = weight(outputs, inputs, device=device)

    def forward(self, x: Tensor) -> Tensor:
        return project(x, self.weight)


class Table(nn.Module):
    """Rotary table (2, context, D/2): cosines and sines, float32, in a buffer."""

    table: Tensor

    def __init__(self, shape: LmShape, device: str) -> None:
        super().__init__()
        self.register_buffer("table", torch.empty(2, shape.context, shape.head_dim // 2, device=device))
