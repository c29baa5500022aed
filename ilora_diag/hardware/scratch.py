"""Temporaries of kernels that tensors do not show: sorts, partial sums, workspaces. Bytes, before the allocator rounds.

Attention's are in `scratch_attention` and can be taken from here too. A size nobody has published is Unavailable or
named in `Scratch.missing`, never 0.
"""

from __future__ import annotations

from ilora_diag.hardware.scratch_attention import (
    cudnn_workspace,
    efficient_backward,
    efficient_forward,
    flash_backward,
    flash_forward,
)
from ilora_diag.hardware.scratch_record import Buffer, Scratch
from ilora_diag.schema import Known, Unavailable

__all__ = [
    "Buffer",
    "Scratch",
    "cudnn_workspace",
    "efficient_backward",
    "efficient_forward",
    "embedding_dense_backward",
    "flash_backward",
    "flash_forward",
    "group_norm_backward",
    "index_put_accumulate",
    "sort_pairs_bytes",
]

FLOAT = 4
LONG = 8
DIRECT_INDICES = 3072
"""Up to so many indices the embedding's backward adds rows directly (Embedding.cu at 1c94016)."""

ROWS_PER_PARTIAL = 10

SINGLE_TILE = 2304
"""Pairs that one block of 256 threads sorts, 9 each for keys of 8 bytes ([derived] from cub's tuning policies)."""

_EMBEDDING_SOURCE = "ATen/native/cuda/Embedding.cu at 1c94016, EmbeddingBackwardKernel.cu (tree of 2.1 or later)"
_INDEX_SOURCE = "ATen/native/cuda/Indexing.cu, index_put_with_sort_kernel (tree of 2026)"


def sort_pairs_bytes(num_items: int, key_bytes: int = LONG, value_bytes: int = LONG, num_bits: int = 64) -> int:
    """What cub's radix sort of pairs takes beside its inputs and outputs.

    Up to `SINGLE_TILE` items one block sorts alone and the request is 1 byte; recordings of 512 to 2000 items on torch
    2.6 and 2.11 show it. Above, [derived] from cub's DispatchRadixSort: second copies of keys and values, or none for
    up to 8 bits (one pass); histograms, some KiB, come on top.
    """
    if num_items <= SINGLE_TILE:
        return 1
    return num_items * (key_bytes + value_bytes) if num_bits > 8 else 0


def embedding_dense_backward(
    num_indices: int,
    num_weights: int,
    embedding_dim: int,
    *,
    index_bytes: int = LONG,
    double: bool = False,
    scale_grad_by_freq: bool = False,
    copied_grad_bytes: int = 0,
) -> Scratch:
    """Backward of `nn.Embedding`: nothing up to 3072 indices, else a sort and partial sums in fp32.

    The buffers alive at the last step are exactly what a public benchmark measured on an A100 in 2024 (tables of 16384
    rows and 768 or 4096 columns, against a kernel without scratch).

    Args:
        num_indices: elements of the index tensor.
        num_weights: rows of the table.
        embedding_dim: columns.
        index_bytes: of one index, 8 or 4.
        double: the gradient is fp64, and so are the partial sums.
        scale_grad_by_freq: the option of that name; it always sorts.
        copied_grad_bytes: of the incoming gradient where it is not contiguous.
    """
    grad = (Buffer(name="grad.contiguous", num_bytes=copied_grad_bytes, last=5),)
    if num_indices <= DIRECT_INDICES and not scale_grad_by_freq:
        return Scratch(buffers=grad, evidence="[source] direct path", source=_EMBEDDING_SOURCE)
    indices = num_indices * index_bytes
    segments = min(num_indices, num_weights)
    partials = num_indices // ROWS_PER_PARTIAL + segments
    buffers = (
        *grad,
        Buffer(name="sorted_indices", num_bytes=indices, last=5),
        Buffer(name="orig_indices", num_bytes=indices, last=5),
        Buffer(name="range", num_bytes=indices, last=1),
        Buffer(name="sort scratch", num_bytes=sort_pairs_bytes(num_indices, index_bytes, index_bytes), first=1, last=1),
        Buffer(name="count", num_bytes=indices if scale_grad_by_freq else 0, first=2, last=5),
        Buffer(name="segment_offsets", num_bytes=indices, first=3, last=5),
        Buffer(name="num_of_segments", num_bytes=LONG, first=3, last=5),
        Buffer(name="partials_per_segment", num_bytes=segments * index_bytes, first=4, last=5),
        Buffer(name="partials_per_segment_offset", num_bytes=segments * index_bytes, first=4, last=5),
        Buffer(name="num_of_partial_segments", num_bytes=LONG, first=4, last=5),
        Buffer(name="partial_segment_offset", num_bytes=partials * index_bytes, first=4, last=5),
        Buffer(
            name="grad_weight_per_segment",
            num_bytes=partials * embedding_dim * (LONG if double else FLOAT),
            first=5,
            last=5,
        ),
    )
    return Scratch(
        buffers=buffers,
        evidence="[source]; at the peak [measured] to the byte on an A100 (2024); [derived] sort scratch",
        source=_EMBEDDING_SOURCE,
        missing=("histograms of the sort", "cub scratch of unique-by-key and of the prefix sum"),
    )


def index_put_accumulate(num_indices: int, *, num_bits: int = 64, copied_value_bytes: int = 0) -> Scratch:
    """`index_put_(accumulate=True)` and the backward of indexing with tensors: linear indices and their sort.

    Args:
        num_indices: elements of the broadcast index tensors.
        num_bits: of the largest slice number, which the sort looks at; all 64 is the safe side.
        copied_value_bytes: of the values where they are broadcast or not contiguous.
    """
    longs = num_indices * LONG
    buffers = (
        Buffer(name="wrapped indices", num_bytes=longs),
        Buffer(name="linearIndex", num_bytes=longs, last=2),
        Buffer(name="expandedValue", num_bytes=copied_value_bytes, first=1, last=2),
        Buffer(name="sorted_indices", num_bytes=longs, first=1, last=2),
        Buffer(name="orig_indices", num_bytes=longs, first=1, last=2),
        Buffer(name="range", num_bytes=longs, first=1, last=2),
        Buffer(name="sort scratch", num_bytes=sort_pairs_bytes(num_indices, num_bits=num_bits), first=2, last=2),
    )
    return Scratch(
        buffers=buffers,
        evidence="[measured] in recordings of up to 2000 indices; [derived] sort scratch above 2304",
        source=_INDEX_SOURCE,
        missing=("histograms of the sort", "temporaries that build linearIndex from several index tensors"),
    )


def group_norm_backward(batch: int, channels: int, groups: int, positions: int, *, has_weight: bool) -> Known[Scratch]:
    """Backward of group norm over several positions: two sums and a factor per channel, two constants per group.

    A public benchmark on a B200 in 2026 (128 samples, 64 channels, 16 groups of 4, 512 positions, fp32) shows these
    114,688 bytes.

    Args:
        batch: samples.
        channels: of the input.
        groups: of the norm.
        positions: elements per channel; for one position another kernel runs, which was not looked up.
        has_weight: whether the norm has one.
    """
    source = "ATen/native/cuda/group_norm_kernel.cu, GroupNormBackwardKernelImplInternal"
    if positions == 1:
        return Unavailable(reason="the kernel for one position per channel was not looked up", source=source)
    by_channel, by_group = batch * channels * FLOAT, batch * groups * FLOAT
    buffers = (
        Buffer(name="ds", num_bytes=by_channel),
        Buffer(name="db", num_bytes=by_channel),
        Buffer(name="c2", num_bytes=by_group),
        Buffer(name="c3", num_bytes=by_group),
        Buffer(name="c1", num_bytes=by_channel if has_weight else 0),
    )
    return Scratch(buffers=buffers, evidence="[measured] on a B200, op_cases row liger-1852", source=source)
