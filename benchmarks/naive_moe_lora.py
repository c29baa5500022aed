"""MoE-LoRA as its formula is written, expert by expert: the oracle of the tests and the yardstick of the benchmark.

Each expert's output is made in full before the gate weighs it, in the order of the release: A, split into experts, B
per expert, gate, sum over experts, scaling, addition to the base layer's output.
"""

from __future__ import annotations

import torch
from torch import Tensor


def per_expert_update(
    base_output: Tensor, x: Tensor, lora_a: Tensor, lora_b: Tensor, gates: Tensor, scaling: float
) -> Tensor:
    """`base_output + scaling * sum_n g_n * B_n A_n x`, added in place as the release does.

    Args:
        base_output: (B, S, out).
        x: (B, S, in).
        lora_a: (r, in).
        lora_b: (out, r).
        gates: (B, N).
        scaling: factor of the update.
    """
    num_experts = gates.shape[1]
    lora_a, lora_b, gates = lora_a.to(x.dtype), lora_b.to(x.dtype), gates.to(x.dtype)
    h = (x @ lora_a.t()).view(*x.shape[:2], num_experts, -1)  # (B, S, N, rho)
    experts = lora_b.t().reshape(num_experts, -1, lora_b.shape[0])  # (N, rho, out)
    outputs = torch.einsum("bsnr,nro->bsno", h, experts)
    update = (outputs * gates[:, None, :, None]).sum(dim=2) * scaling
    return base_output.add_(update)
