"""A call of scaled-dot-product attention, as the choice of its kernel sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ilora_diag.hardware.torch_versions import TorchFacts
from ilora_diag.schema import Known

Backend = Literal["flash", "efficient", "cudnn", "math"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


class AttentionQueryError(ValueError):
    """A query torch would refuse before it chooses, or one that means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionQuery:
    """One call of `scaled_dot_product_attention`; query (batch, heads_q, seq_q, head_dim).

    Attributes:
        compute_capability: of the card.
        torch_version: as `torch.__version__` prints it.
        dtype: of query, key and value: "float32", "bfloat16", "float16", ... ("torch." may stand before it).
        heads_kv: of key and value.
        head_dim_v: last dimension of value; that of query where None.
        has_mask: an `attn_mask` is given.
        mask_shape: of it, where known; its last dimension counts as contiguous unless `mask_last_stride_one` is False.
        mask_requires_grad: the mask is trained.
        enable_gqa: the argument of that name.
        requires_grad: query, key or value needs a gradient and grad mode is on.
        enabled: backends not switched off (`torch.backends.cuda.enable_flash_sdp` and so on, `sdpa_kernel`).
        deterministic: `use_deterministic_algorithms(True)`, not warn-only.
        flash3: FlashAttention-3 was switched on.
        last_stride_one: the last dimension of query, key and value is contiguous.
        offsets_aligned: storage offsets are multiples of the kernels' alignment (16 bytes).
        num_dims: of query, key and value.
        cudnn_version: of the cuDNN loaded (92400 is 9.24.0); that of the PyPI wheel where None.
        environ: variables of the process; only TORCH_CUDNN_SDPA_* count.
    """

    compute_capability: tuple[int, int]
    torch_version: str
    dtype: str
    batch: int
    heads_q: int
    heads_kv: int
    seq_q: int
    seq_k: int
    head_dim: int
    head_dim_v: int | None = None
    has_mask: bool = False
    mask_shape: tuple[int, ...] | None = None
    mask_requires_grad: bool = False
    mask_last_stride_one: bool = True
    enable_gqa: bool = False
    dropout_p: float = 0.0
    is_causal: bool = False
    requires_grad: bool = True
    enabled: tuple[Backend, ...] = BACKENDS
    deterministic: bool = False
    flash3: bool = False
    last_stride_one: bool = True
    offsets_aligned: bool = True
    num_dims: int = 4
    cudnn_version: int | None = None
    environ: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.has_mask and self.is_causal:
            raise AttentionQueryError("torch refuses attn_mask together with is_causal=True")
        if min(self.batch, self.heads_q, self.heads_kv, self.seq_q, self.seq_k, self.head_dim, self.value_dim) < 0:
            raise AttentionQueryError("sizes are not negative")
        if not 0.0 <= self.dropout_p <= 1.0:
            raise AttentionQueryError(f"dropout_p is in 0 .. 1, got {self.dropout_p}")
        if (unknown := set(self.enabled) - set(BACKENDS)) != set():
            raise AttentionQueryError(f"unknown backends {sorted(unknown)}: known are {', '.join(BACKENDS)}")

    @property
    def value_dim(self) -> int:
        """Last dimension of value."""
        return self.head_dim if self.head_dim_v is None else self.head_dim_v

    @property
    def scalar(self) -> str:
        """The dtype without `torch.`."""
        return self.dtype.removeprefix("torch.")


@dataclass(frozen=True, slots=True)
class AttentionCase:
    """A query and what its torch version brings."""

    query: AttentionQuery
    facts: TorchFacts
    cudnn: Known[int]
