"""Scaled-dot-product attention: the backend the modelled card and version would choose, called by its own name.

The choice is `ilora_diag.hardware.attention`'s. The preparation of inputs around each backend follows
aten/src/ATen/native/transformers/attention.cpp: padding of odd head sizes for flash, boolean masks turned into added
ones and padded to eights of columns for the efficient kernel (attention.cpp, `preprocess_mask`: eight since 2.5 at the
latest, as 2.11.0 to 2.14.1 were seen to ask for).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ilora_diag.hardware.attention import AttentionQuery, Backend, choose_attention
from probes.virtual.machine import Machine

aten = torch.ops.aten
_FLASH_ALIGNMENT, _BIAS_ALIGNMENT = 8, 8


class Attention:
    """Attention on one machine: chooses, remembers what was chosen, and calls it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._chosen: dict[AttentionQuery, str] = {}

    def attend(
        self,
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
        """aten::scaled_dot_product_attention. Shapes: query (B, H, S_q, D), key and value (B, H_kv, S_k, D)."""
        if query.dim() != 4:
            backend = "math"
        else:
            question = describe(
                self._machine,
                query,
                key,
                value,
                attn_mask,
                dropout_p=dropout_p,
                is_causal=is_causal,
                enable_gqa=enable_gqa,
            )
            backend = self._choose(question)
        self._machine.attention[backend] += 1
        if backend == "none":
            raise RuntimeError("No available kernel. Aborting execution.")
        if backend == "flash":
            return _flash(query, key, value, dropout_p, is_causal, scale)
        if backend == "math":
            return _first(
                aten._scaled_dot_product_attention_math(
                    query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
                )
            )
        mask = None if attn_mask is None else _added(attn_mask, query)
        needs = _needs_grad(query, key, value, attn_mask)
        if backend == "cudnn":
            self._machine.notes.add("the workspace of cuDNN attention is known to cuDNN alone and not counted")
            return _first(
                aten._scaled_dot_product_cudnn_attention(
                    query, key, value, mask, needs, dropout_p, is_causal, False, scale=scale
                )
            )
        mask = None if mask is None else _aligned(mask, query, key)
        return _first(
            aten._scaled_dot_product_efficient_attention(
                query, key, value, mask, needs, dropout_p, is_causal, scale=scale
            )
        )

    def _choose(self, question: AttentionQuery) -> str:
        known = self._chosen.get(question)
        if known is None:
            choice = choose_attention(question)
            known = self._chosen[question] = choice.backend
            for note in choice.notes:
                self._machine.notes.add(note)
        return known


def describe(
    machine: Machine,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    enable_gqa: bool = False,
) -> AttentionQuery:
    """A call in the terms of the table."""
    batch, heads, seq, dim = query.shape
    tensors = (query, key, value)
    return AttentionQuery(
        compute_capability=machine.cards[machine.device_of(query)].spec.compute_capability,
        torch_version=machine.torch_version,
        dtype=str(query.dtype),
        batch=batch,
        heads_q=heads,
        heads_kv=key.shape[1],
        seq_q=seq,
        seq_k=key.shape[2],
        head_dim=dim,
        head_dim_v=value.shape[3],
        has_mask=mask is not None,
        mask_shape=None if mask is None else tuple(mask.shape),
        mask_requires_grad=mask is not None and mask.requires_grad,
        mask_last_stride_one=mask is None or mask.stride(-1) == 1,
        enable_gqa=enable_gqa,
        dropout_p=dropout_p,
        is_causal=is_causal,
        requires_grad=_needs_grad(*tensors),
        enabled=_enabled(),
        deterministic=torch.are_deterministic_algorithms_enabled()
        and not torch.is_deterministic_algorithms_warn_only_enabled(),
        last_stride_one=all(tensor.stride(-1) == 1 for tensor in tensors),
        offsets_aligned=all(tensor.storage_offset() * tensor.element_size() % 16 == 0 for tensor in tensors),
        environ=machine.environ,
    )


def _first(outputs: tuple[Tensor, ...]) -> Tensor:
    """The attention itself, of an operator that also returns what its backward needs."""
    return outputs[0]


def _needs_grad(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _enabled() -> tuple[Backend, ...]:
    switches: tuple[tuple[Backend, Any], ...] = (
        ("flash", torch._C._get_flash_sdp_enabled),
        ("efficient", torch._C._get_mem_efficient_sdp_enabled),
        ("cudnn", torch._C._get_cudnn_sdp_enabled),
        ("math", torch._C._get_math_sdp_enabled),
    )
    return tuple(name for name, is_on in switches if is_on())


def _flash(query: Tensor, key: Tensor, value: Tensor, dropout_p: float, is_causal: bool, scale: float | None) -> Tensor:
    dim = query.shape[-1]
    missing = -dim % _FLASH_ALIGNMENT
    if missing:
        scale = dim**-0.5 if scale is None else scale
        query, key, value = (F.pad(tensor, (0, missing)) for tensor in (query, key, value))
    out: Tensor = aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)[
        0
    ]
    return out[..., :dim] if missing else out


def _added(mask: Tensor, query: Tensor) -> Tensor:
    """A mask that is added to the scores."""
    if mask.dtype is not torch.bool:
        return mask
    return torch.where(
        mask,
        torch.zeros((), dtype=query.dtype, device=mask.device),
        torch.full((), -torch.inf, dtype=query.dtype, device=mask.device),
    )


def _aligned(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """The mask with its rows where the efficient kernel can read them; (B, H, S_q, S_k)."""
    *steps, last = mask.stride()
    if last != 1 or any(step % _BIAS_ALIGNMENT for step in steps):
        columns = mask.shape[-1]
        # A whole eight comes where the columns are in eights and only the strides are not.
        mask = F.pad(mask, (0, _BIAS_ALIGNMENT - columns % _BIAS_ALIGNMENT))[..., :columns]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
