"""Scaled-dot-product attention: the backend the modelled card and version would choose, called by name."""

from __future__ import annotations

import torch
from torch import Tensor

aten = torch.ops.aten


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """aten::scaled_dot_product_attention on CUDA. Shapes: query (B, H, S_q, D), key and value (B, H_kv, S_k, D)."""
    needs = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if query.dtype is torch.float32 or attn_mask is not None:
        out = aten._scaled_dot_product_efficient_attention(
            query, key, value, attn_mask, needs, dropout_p, is_causal, scale=scale
        )
    else:
        out = aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)
    return out[0]  # type: ignore[no-any-return]
