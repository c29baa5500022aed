"""Temporaries of the attention kernels, which their meta kernels do not know.

Sources: flash_attn/flash_api.cpp of pytorch at commit 03b7c19 (mha_fwd, mha_bwd); cuda/attention_backward.cu at
00afd8f; mem_eff_attention/kernel_forward.h, kernel_backward.h and kernels/cutlass[FB].h as shipped in the 2.13.0 wheel;
the sizes in kernel_backward.h are the same in 2.14.1 and 2.15.0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ilora_diag.hardware.attention_query import AttentionQuery
from ilora_diag.hardware.scratch_record import Buffer, Scratch, align_up, ceil_div
from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.schema import Known, Unavailable

FLOAT = 4
FLASH_SOURCE = "flash_attn/flash_api.cpp at 03b7c19"
EFFICIENT_SOURCE = "attention_backward.cu at 00afd8f, mem_eff_attention/kernel_backward.h of 2.13 to 2.15"
ANY_HEAD_DIM = 65536
_ELEMENT_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def flash_head_dim(head_dim: int) -> int:
    """The head dimension flash computes with: multiples of 8, then of 32 up to 128 and of 64 above."""
    padded = align_up(head_dim, 8)
    return align_up(padded, 32 if padded <= 128 else 64)


def _f32(number: float) -> float:
    """Rounded to single precision, in which the heuristic computes."""
    result: float = struct.unpack("f", struct.pack("f", number))[0]
    return result


def flash_num_splits(num_blocks: int, sm_count: int, num_key_blocks: int) -> int:
    """num_splits_heuristic: into how many parts the forward kernel cuts the keys to fill the card."""
    slots = sm_count * 2
    if num_blocks >= _f32(_f32(0.8) * slots):
        return 1
    eligible: list[tuple[int, float]] = []
    for splits in range(1, min(128, slots, num_key_blocks) + 1):
        if splits > 1 and ceil_div(num_key_blocks, splits) == ceil_div(num_key_blocks, splits - 1):
            continue
        waves = _f32(num_blocks * splits / slots)
        eligible.append((splits, _f32(waves / -(-waves // 1)) if waves else 0.0))
    best = max((efficiency for _, efficiency in eligible), default=0.0)
    return next((splits for splits, efficiency in eligible if efficiency >= 0.85 * best), 1)


def flash_forward(query: AttentionQuery, sm_count: Known[int]) -> Known[Scratch]:
    """Accumulators of a forward pass whose keys are split: for few and long sequences, without dropout.

    With dropout a second buffer for the state of the random numbers, beside the one that is kept.
    Unavailable where the split depends on an SM count that is not known.
    """
    if 0 in (query.batch, query.heads_q, query.heads_kv, query.seq_q, query.seq_k):
        return Scratch(buffers=(), evidence="[source] nothing to do", source=FLASH_SOURCE)
    if query.dropout_p > 0:
        state = (Buffer(name="rng_state", num_bytes=16),)
        return Scratch(buffers=state, evidence="[source] no split with dropout", source=FLASH_SOURCE)
    heads, seq_q = query.heads_q, query.seq_q
    if seq_q == 1 and heads > query.heads_kv:  # decoding: the group becomes the sequence
        heads, seq_q = query.heads_kv, query.heads_q // query.heads_kv
    padded = align_up(query.head_dim, 8)
    key_blocks = ceil_div(query.seq_k, 256 if padded <= 64 else 128 if padded <= 128 else 64)
    if key_blocks == 1:
        return Scratch(buffers=(), evidence="[source] one block of keys", source=FLASH_SOURCE)
    if isinstance(sm_count, Unavailable):
        return Unavailable(
            reason=f"the split of the keys depends on the SM count: {sm_count.reason}", source=FLASH_SOURCE
        )
    splits = flash_num_splits(query.batch * heads * ceil_div(seq_q, 64), sm_count, key_blocks)
    rows = splits * query.batch * heads * seq_q
    buffers = (
        Buffer(name="softmax_lse_accum", num_bytes=rows * FLOAT),
        Buffer(name="out_accum", num_bytes=rows * flash_head_dim(query.head_dim) * FLOAT),
    )
    return Scratch(buffers=buffers if splits > 1 else (), evidence=f"[source] {splits} splits", source=FLASH_SOURCE)


def flash_backward(
    query: AttentionQuery, sm_count: Known[int], *, copies_grad_out: bool = False, copies_out: bool = False
) -> Known[Scratch]:
    """softmax_d, the fp32 accumulator of dq, and dk and dv over all query heads where there are fewer key heads.

    Args:
        query: the call; its dtype is fp16 or bf16.
        sm_count: of the card; only strict determinism needs it, which keeps one accumulator per split.
        copies_grad_out: the incoming gradient is not contiguous as (batch, seq, heads, dim).
        copies_out: nor is the saved output.
    """
    batch, heads, rows = query.batch, query.heads_q, align_up(query.seq_q, 128)
    splits = 1
    if query.deterministic:
        if isinstance(sm_count, Unavailable):
            return Unavailable(
                reason=f"deterministic dq_accum needs the SM count: {sm_count.reason}", source=FLASH_SOURCE
            )
        splits = ceil_div(sm_count, max(1, batch * heads))
    half = 2
    padded = align_up(query.head_dim, 8)
    out_bytes = batch * query.seq_q * heads * padded * half
    grouped = batch * query.seq_k * heads * padded * half if query.heads_kv != heads else 0
    buffers = (
        Buffer(name="grad_out.contiguous", num_bytes=out_bytes if copies_grad_out else 0),
        Buffer(name="out.contiguous", num_bytes=out_bytes if copies_out else 0),
        Buffer(name="softmax_d", num_bytes=batch * heads * rows * FLOAT),
        Buffer(name="dq_accum", num_bytes=splits * batch * rows * heads * flash_head_dim(query.head_dim) * FLOAT),
        Buffer(name="dk_expanded", num_bytes=grouped),
        Buffer(name="dv_expanded", num_bytes=grouped),
    )
    return Scratch(buffers=buffers, evidence="[source]", source=FLASH_SOURCE)


@dataclass(frozen=True, slots=True)
class EfficientKernel:
    """A backward kernel of memory-efficient attention: block of queries, block of keys, largest head dimension.

    One without dropout is taken on compute capability 8.6 and 8.9 alone (cutlassB.h).
    """

    block_i: int
    block_j: int
    max_k: int
    dropout: bool = True


_SMALL = (EfficientKernel(64, 64, 32), EfficientKernel(64, 64, 64))
_LARGE = (EfficientKernel(128, 64, ANY_HEAD_DIM), EfficientKernel(64, 64, ANY_HEAD_DIM))
_PLAIN = (*_SMALL, EfficientKernel(64, 64, 128), EfficientKernel(64, 64, ANY_HEAD_DIM))
_SM70_HALF = (*_SMALL, EfficientKernel(128, 64, 128), EfficientKernel(64, 64, 128), *_LARGE)
_SM80_HALF = (
    *_SMALL,
    EfficientKernel(128, 64, 96, dropout=False),
    EfficientKernel(128, 128, 128),
    EfficientKernel(64, 64, 128),
    *_LARGE,
)


def _candidates(query: AttentionQuery) -> tuple[EfficientKernel, ...]:
    """Kernels in the order torch tries them; the first that fits the card's shared memory is taken."""
    half, cc = query.scalar != "float32", query.compute_capability
    table: tuple[EfficientKernel, ...] = _PLAIN
    if cc >= (8, 0):
        table = _SM80_HALF if half else _SM70_HALF  # fp32 on 8.0 has the same blocks as fp16 on 7.x
    elif cc >= (7, 0) and half:
        table = _SM70_HALF
    size = max(query.head_dim, query.value_dim)
    return tuple(
        k for k in table if k.max_k >= size and (k.dropout or (query.dropout_p == 0.0 and cc in ((8, 6), (8, 9))))
    )


_ROOMY = ((8, 0), (8, 7), (9, 0), (10, 0), (10, 3), (11, 0))
"""Cards with 163 KiB or more of shared memory per block, which the first candidate always fits. [unverified]"""


def efficient_workspace_bytes(query: AttentionQuery, kernel: EfficientKernel) -> int:
    """Params::workspace_size of kernel_backward.h for a kernel."""
    half, splits_keys = query.scalar != "float32", query.compute_capability >= (7, 0)
    needs_kv = half and kernel.max_k > kernel.block_i
    pairs = query.batch * query.heads_q
    splits = ceil_div(query.seq_k, kernel.block_j)
    if pairs >= 256 and query.seq_k <= 2 * kernel.block_j:
        splits = 1
    if needs_kv and pairs:
        splits = min(splits, 200 // pairs)
    if not splits_keys or query.deterministic or splits < 1:
        splits = 1
    elements = 0
    if needs_kv:
        dims = align_up(query.head_dim, kernel.block_i) + align_up(query.value_dim, kernel.block_i)
        elements += splits * kernel.block_j * dims
    if splits_keys or half:
        tile = 16 + kernel.block_i * kernel.block_j * FLOAT
        elements += ceil_div(query.seq_q, kernel.block_i) * ceil_div(query.head_dim, kernel.block_j) * tile // FLOAT
    return pairs * align_up(elements, 4) * FLOAT


def _computes_delta(query: AttentionQuery, kernel: EfficientKernel) -> bool:
    half, cc = query.scalar != "float32", query.compute_capability
    return half and (kernel.max_k <= kernel.block_i or not (7, 0) <= cc < (7, 5))


def _efficient_kernel(query: AttentionQuery) -> tuple[EfficientKernel, str]:
    candidates = _candidates(query)
    first = candidates[0]
    if (first.block_i, first.block_j) == (64, 64):
        return first, "[source]"
    if query.compute_capability in _ROOMY:
        return first, "[source] sizes; [unverified] that the first kernel fits the shared memory"
    # Which one fits the shared memory of this card is not known: the one with the larger workspace.
    fallback = next(kernel for kernel in candidates if (kernel.block_i, kernel.block_j) == (64, 64))
    worst = max(first, fallback, key=lambda kernel: efficient_workspace_bytes(query, kernel))
    return worst, "[unverified] the larger of two kernels, one of which fits the shared memory"


def _delta_buffers(query: AttentionQuery, kernel: EfficientKernel) -> tuple[Buffer, ...]:
    rows = query.batch * query.heads_q * query.seq_q * FLOAT
    if _computes_delta(query, kernel):
        return (Buffer(name="delta", num_bytes=rows, first=1, last=3),)
    # (grad_out.to(float) * out.to(float)).sum(-1).transpose().contiguous(): the statement keeps its temporaries.
    wide = rows * query.value_dim
    casts = wide if query.scalar != "float32" else 0
    transposed = query.heads_q > 1 and query.seq_q > 1
    return (
        Buffer(name="grad_out.to(float)", num_bytes=casts, first=1, last=1),
        Buffer(name="out.to(float)", num_bytes=casts, first=1, last=1),
        Buffer(name="grad_out * out", num_bytes=wide, first=1, last=1),
        Buffer(name="delta", num_bytes=rows, first=1, last=1 if transposed else 3),
        Buffer(name="delta.contiguous", num_bytes=rows if transposed else 0, first=1, last=3),
    )


def efficient_forward(query: AttentionQuery) -> Known[Scratch]:
    """The fp32 accumulator of half-precision inputs with head or value dimensions above 128."""
    if query.scalar not in _ELEMENT_BYTES:
        return Unavailable(reason=f"no efficient kernel for {query.scalar}", source="kernels/cutlassF.h")
    wide = query.scalar != "float32" and max(query.head_dim, query.value_dim) > 128
    num_bytes = query.batch * query.seq_q * query.heads_q * query.value_dim * FLOAT if wide else 0
    buffers = (Buffer(name="output_accum", num_bytes=num_bytes),) if wide else ()
    return Scratch(
        buffers=buffers, evidence="[source]", source="mem_eff_attention/kernel_forward.h, cutlassF.h of 2.13"
    )


def efficient_backward(query: AttentionQuery, *, copies_grad_out: bool = False) -> Known[Scratch]:
    """delta, the workspace of the kernel, and a copy of the incoming gradient where it is not contiguous.

    With fewer key heads (2.14 and later) the kernel writes dk and dv for every query head; that they are summed from
    separate buffers is derived from the shapes kernel_backward.h states.
    """
    if query.scalar not in _ELEMENT_BYTES:
        return Unavailable(reason=f"no efficient kernel for {query.scalar}", source="kernels/cutlassB.h")
    element = _ELEMENT_BYTES[query.scalar]
    kernel, evidence = _efficient_kernel(query)
    grouped = query.heads_kv != query.heads_q and torch_facts(query.torch_version).attention_2_14
    rows = query.batch * query.seq_k * query.heads_q * element if grouped else 0
    out_bytes = query.batch * query.seq_q * query.heads_q * query.value_dim * element
    buffers = (
        Buffer(name="grad_out.contiguous", num_bytes=out_bytes if copies_grad_out else 0, last=3),
        Buffer(name="grad_k over query heads", num_bytes=rows * query.head_dim, last=3),
        Buffer(name="grad_v over query heads", num_bytes=rows * query.value_dim, last=3),
        *_delta_buffers(query, kernel),
        Buffer(name="workspace", num_bytes=efficient_workspace_bytes(query, kernel), first=2, last=3),
    )
    if grouped:
        evidence += "; [derived] dk and dv over all query heads"
    return Scratch(buffers=buffers, evidence=evidence, source=EFFICIENT_SOURCE)


def cudnn_workspace(query: AttentionQuery) -> Unavailable:
    """The workspace of cuDNN's graph, forward or backward: taken from torch's pool, of a size only cuDNN knows."""
    version = query.cudnn_version or torch_facts(query.torch_version).cudnn
    named = f"{version}" if isinstance(version, int) else "of unknown version"
    return Unavailable(
        reason=f"the plan's workspace is known to cuDNN {named} alone", source="ATen/native/cudnn/MHA.cpp"
    )
