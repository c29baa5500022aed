"""The gated low-rank update as one autograd node.

For a layer with rank r, N experts of rho = r / N, and rows m = (sample, position) of its input,

    h = A drop(x)^T                 (r, M)
    c = scaling * repeat(g, rho)    one factor per rank and sample
    y <- y + (c * h)^T B^T          (M, out)

which equals the sum over experts, since each expert's gate scales its own ranks: nothing of size N x out is ever made.
Backward needs x, h, g and the dropout mask, and dY:

    dh = c * (B^T dY^T)      dB = dY^T (c * h)^T      dA = dh drop(x)      dx = drop'(dh^T A)
    dg_n = scaling * sum over positions and the ranks of n of (B^T dY^T) * h

x is the layer's own input, which other layers on the same input share; everything else saved is small. Small operands
are kept rank-major, (r, M) and (r, out): BLAS for half precision on the CPU is an order of magnitude slower otherwise,
and the other libraries do not mind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def gated_update(
    base_output: Tensor, x: Tensor, lora_a: Tensor, lora_b: Tensor, gates: Tensor, *, scaling: float, dropout: float
) -> Tensor:
    """Adds the gated update to `base_output` in place and returns it.

    Computation follows the type of `x` before the rank and of `base_output` after it; only the small operands are
    converted, never an activation. Gates are applied in float32 or wider. Second derivatives are refused by autograd.

    Args:
        base_output: (M, out); written to. It must be no view and nothing autograd has saved.
        x: (M, in), rows of one sample next to each other.
        lora_a: (r, in), any floating type.
        lora_b: (out, r).
        gates: (B, N) where B divides M and N divides r.
        scaling: factor of the update.
        dropout: probability of dropping an element of `x`; 0 outside of training.
    """
    apply = cast("Callable[..., Tensor]", _GatedUpdate.apply)
    return apply(base_output, x, lora_a, lora_b, gates, _Settings(scaling, dropout))


class _Settings(NamedTuple):
    scaling: float
    dropout: float


class _GatedUpdate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        base_output: Tensor,
        x: Tensor,
        lora_a: Tensor,
        lora_b: Tensor,
        gates: Tensor,
        settings: _Settings,
    ) -> Tensor:
        scaling, dropout = settings
        with torch.autocast(device_type=x.device.type, enabled=False):
            mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1.0 - dropout) if dropout > 0.0 else None
            h = lora_a.to(x.dtype) @ (x if mask is None else x * mask).t()
            if mask is not None:
                h.mul_(1.0 / (1.0 - dropout))  # here and not on x: it is linear, and h is small
            mixed = _mix(h, gates, scaling, base_output.dtype)
            base_output.addmm_(mixed.t(), _rank_major(lora_b, base_output.dtype))
        ctx.mark_dirty(base_output)
        needs_x = ctx.needs_input_grad[2]
        ctx.save_for_backward(x if needs_x else None, lora_a, lora_b, gates, h, mask)
        ctx.settings, ctx.x_dtype = settings, x.dtype
        return base_output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, lora_a, lora_b, gates, h, mask = ctx.saved_tensors
        _, needs_x, needs_a, needs_b, needs_gates, *_ = ctx.needs_input_grad
        scaling, dropout = ctx.settings
        grad_x = grad_a = grad_b = grad_gates = None
        with torch.autocast(device_type=grad.device.type, enabled=False):
            if needs_b:
                mixed = _mix(h, gates, scaling, grad.dtype)
                grad_b = (_column_major(mixed) @ grad).t().to(lora_b.dtype)
            grad_mixed = _rank_major(lora_b, grad.dtype) @ grad.t()
            if needs_gates:
                grad_gates = _gate_gradient(grad_mixed, h, gates, scaling)
            grad_h = _mix(grad_mixed, gates, scaling, ctx.x_dtype)
            if mask is not None:
                grad_h.mul_(1.0 / (1.0 - dropout))
            if needs_a:
                grad_a = (_column_major(grad_h) @ (x if mask is None else x * mask)).to(lora_a.dtype)
            if needs_x:
                grad_x = grad_h.t() @ lora_a.to(ctx.x_dtype)
                if mask is not None:
                    grad_x.mul_(mask)
        return grad, grad_x, grad_a, grad_b, grad_gates, None


def _mix(h: Tensor, gates: Tensor, scaling: float, dtype: torch.dtype) -> Tensor:
    """Scales each rank of each sample by its expert's gate: (r, M) -> (r, M) in `dtype`, a new tensor."""
    rank, num_samples, num_experts = h.shape[0], gates.shape[0], gates.shape[1]
    wide = torch.promote_types(torch.promote_types(h.dtype, gates.dtype), torch.float32)
    factors = (gates.to(wide) * scaling).repeat_interleave(rank // num_experts, dim=1).t()
    mixed = h.view(rank, num_samples, -1).to(wide) * factors.unsqueeze(2)
    return mixed.to(dtype).view(rank, -1)


def _gate_gradient(grad_mixed: Tensor, h: Tensor, gates: Tensor, scaling: float) -> Tensor:
    """Gradient of the gates, (B, N): products summed over positions and over the ranks of an expert."""
    num_samples, num_experts = gates.shape
    wide = torch.promote_types(h.dtype, torch.float32)
    products = grad_mixed.to(wide) * h.to(wide)
    per_rank = products.view(num_experts, -1, num_samples, h.shape[1] // num_samples).sum(dim=(1, 3))
    return (per_rank.t() * scaling).to(gates.dtype)


def _rank_major(lora_b: Tensor, dtype: torch.dtype) -> Tensor:
    """(out, r) -> (r, out), contiguous in `dtype`."""
    return lora_b.to(dtype).t().contiguous()


def _column_major(h: Tensor) -> Tensor:
    """The same (r, M) matrix with the ranks of a row next to each other in memory."""
    return h.t().contiguous().t()
