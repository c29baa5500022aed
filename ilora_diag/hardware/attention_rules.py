"""The conditions under which each attention kernel can run, in the order torch asks them.

Sources: see `attention`. A check answers None or, in a few words, why the kernel would not do.
"""

from __future__ import annotations

from collections.abc import Callable

from ilora_diag.hardware.attention_query import AttentionCase, Backend
from ilora_diag.schema import Unavailable

SM80, SM121 = (8, 0), (12, 1)
HALF = ("float16", "bfloat16")
MAX_CUDNN_GRID = 65535

Check = Callable[[AttentionCase], str | None]


def _disabled(backend: Backend) -> Check:
    def check(case: AttentionCase) -> str | None:
        return None if backend in case.query.enabled else "switched off"

    return check


def _dims(case: AttentionCase) -> str | None:
    # From 2.15 on unbatched inputs get a batch dimension first (normalize_unbatched_input in sdp_utils_cpp.h).
    unbatched = case.query.num_dims == 3 and case.facts.minor >= (2, 15)
    return None if case.query.num_dims == 4 or unbatched else f"needs 4 dimensions, got {case.query.num_dims}"


def _no_mask(case: AttentionCase) -> str | None:
    return "takes no attention mask" if case.query.has_mask else None


def _flash_head_dim(case: AttentionCase) -> str | None:
    head, value = case.query.head_dim, case.query.value_dim
    return None if head == value <= 256 else f"needs equal head dimensions up to 256, got {head} and {value}"


def _sm_range(low: tuple[int, int]) -> Check:
    def check(case: AttentionCase) -> str | None:
        cc = case.query.compute_capability
        return (
            None if low <= cc <= SM121 else f"needs compute capability {low[0]}.{low[1]} to 12.1, got {cc[0]}.{cc[1]}"
        )

    return check


def _flash_large_head_with_grad(case: AttentionCase) -> str | None:
    query = case.query
    cc = query.compute_capability
    narrow = (8, 6) <= cc <= (8, 9) or (12, 0) <= cc <= SM121
    if not (query.requires_grad and narrow) or query.head_dim <= 192:
        return None
    if query.dropout_p == 0.0 and query.head_dim > 224:
        return None
    return f"cannot train head dimension {query.head_dim} (dropout {query.dropout_p}) on {cc[0]}.{cc[1]}"


def _flash_causal_square(case: AttentionCase) -> str | None:
    query = case.query
    if query.is_causal and query.seq_q != query.seq_k:
        return f"is_causal needs equal lengths, got {query.seq_q} and {query.seq_k}"
    return None


def _dtype_in(allowed: Callable[[AttentionCase], tuple[str, ...]]) -> Check:
    def check(case: AttentionCase) -> str | None:
        dtypes = allowed(case)
        return None if case.query.scalar in dtypes else f"takes {', '.join(dtypes)}, got {case.query.scalar}"

    return check


def _low_precision(case: AttentionCase) -> tuple[str, ...]:
    return HALF if case.query.compute_capability >= SM80 else ("float16",)


def _flash_dtypes(case: AttentionCase) -> tuple[str, ...]:
    if case.query.flash3 and case.query.compute_capability[0] >= 9:
        return ("float8_e4m3fn", *HALF)
    return _low_precision(case)


def _efficient_dtypes(case: AttentionCase) -> tuple[str, ...]:
    return ("float16", "float32", "bfloat16") if case.query.compute_capability >= SM80 else ("float16", "float32")


def _lengths(case: AttentionCase) -> str | None:
    return None if case.query.seq_q and case.query.seq_k else "takes no sequence of length 0"


def _last_stride(*, ignore_singleton: bool) -> Check:
    def check(case: AttentionCase) -> str | None:
        query = case.query
        contiguous = query.last_stride_one or (ignore_singleton and query.head_dim == 1)
        mask_ok = not query.has_mask or query.mask_last_stride_one
        return None if contiguous and mask_ok else "needs a contiguous last dimension"

    return check


def _heads(supports_gqa: Callable[[AttentionCase], bool]) -> Check:
    def check(case: AttentionCase) -> str | None:
        query = case.query
        if query.enable_gqa and supports_gqa(case):
            if query.heads_kv and query.heads_q % query.heads_kv == 0:
                return None
            return f"needs query heads in multiples of the {query.heads_kv} key heads, got {query.heads_q}"
        if query.heads_q == query.heads_kv or (case.facts.attention_2_14 and query.heads_kv == 1 and query.heads_q):
            return None
        return f"needs as many key as query heads here, got {query.heads_kv} and {query.heads_q}"

    return check


def _always(_case: AttentionCase) -> bool:
    return True


def _alignment(case: AttentionCase) -> int:
    """minimum_gemm_alignment: elements the head dimension must be a multiple of."""
    major, half = case.query.compute_capability[0], case.query.scalar in HALF
    if major >= 8:
        return 8 if half else 4
    return 8 if major == 7 and half else 1


def _efficient_head_dim(case: AttentionCase) -> str | None:
    step, head, value = _alignment(case), case.query.head_dim, case.query.value_dim
    if head > 0 and value > 0 and head % step == 0 and value % step == 0:
        return None
    return f"needs head dimensions in multiples of {step}, got {head} and {value}"


def _efficient_offsets(case: AttentionCase) -> str | None:
    # Asked from 2.13 on; before, the kernel failed instead.
    asked = case.facts.attention_2_13 and case.query.compute_capability >= SM80
    return "needs aligned storage offsets" if asked and not case.query.offsets_aligned else None


def _cudnn_present(case: AttentionCase) -> str | None:
    if isinstance(case.cudnn, Unavailable):
        return f"cuDNN version unknown: {case.cudnn.reason}"
    return None if case.cudnn >= 90000 else "needs cuDNN 9"


def cudnn_number(case: AttentionCase) -> int:
    """The cuDNN version as a number, 0 where it is not known (and `_cudnn_present` refuses)."""
    return 0 if isinstance(case.cudnn, Unavailable) else case.cudnn


def _cudnn_dropout_version(case: AttentionCase) -> str | None:
    broken = 91100 < cudnn_number(case) < 91400
    return "cuDNN 9.11 to 9.13 have no dropout" if broken and case.query.dropout_p > 0 else None


def _cudnn_deterministic(case: AttentionCase) -> str | None:
    return "is not deterministic" if case.query.deterministic else None


def _cudnn_mask(case: AttentionCase) -> str | None:
    query = case.query
    if not query.has_mask:
        return None
    if query.mask_requires_grad:
        return "cannot train the mask"
    if query.mask_shape is None:
        return None
    target = (query.batch, query.heads_q, query.seq_q, query.seq_k)[-len(query.mask_shape) :]
    fits = all(size in (1, wanted) for size, wanted in zip(query.mask_shape, target, strict=False))
    if len(query.mask_shape) in (2, 4) and fits:
        return None
    return f"takes masks of 2 or 4 dimensions that broadcast, got {query.mask_shape}"


def _cudnn_dropout_step(case: AttentionCase) -> str | None:
    sixteenths = case.query.dropout_p * 16.0
    if not case.facts.attention_2_12 or sixteenths == int(sixteenths):
        return None
    return f"takes dropout in sixteenths, got {case.query.dropout_p}"


def _cudnn_d256(case: AttentionCase) -> bool:
    """Whether cuDNN takes head dimensions up to 256 here, by the rules of 2.14."""
    cc, cudnn = case.query.compute_capability, cudnn_number(case)
    return (cc == (9, 0) or cc[0] == 10) and cudnn > 92200 and not (cc == (10, 7) and cudnn <= 92500)


def _cudnn_head_limit(case: AttentionCase) -> int:
    query, cudnn = case.query, cudnn_number(case)
    deepseek = (query.head_dim, query.value_dim) == (192, 128) and cudnn >= 91100
    cc = query.compute_capability
    if case.facts.attention_2_14:
        if _cudnn_d256(case):
            return 256
        return 192 if deepseek and (cc == (9, 0) or cc[0] == 10) else 128
    if cc == (9, 0) and cudnn >= 91000:
        return 256
    return 192 if deepseek and cc[0] == 10 else 128


def _cudnn_decodes(case: AttentionCase) -> bool:
    """Whether cuDNN takes a single query: 9.19 to 9.25.0, except 9.24.1, do not on compute capability 10.x and 11.x."""
    cudnn, major = cudnn_number(case), case.query.compute_capability[0]
    broken = 91900 <= cudnn <= 92500 and not 92401 <= cudnn <= 92499
    return not (case.facts.attention_2_14 and major in (10, 11) and broken)


def _cudnn_shapes(case: AttentionCase) -> str | None:
    query = case.query
    if case.facts.attention_2_13 and max(query.batch, query.heads_q) > MAX_CUDNN_GRID:
        return f"takes at most {MAX_CUDNN_GRID} sequences and heads"
    if query.seq_q == 1 and not _cudnn_decodes(case):
        return "takes no query of length 1 on this card"
    limit = _cudnn_head_limit(case)
    if max(query.head_dim, query.value_dim) > limit:
        return f"takes head dimensions up to {limit} here, got {query.head_dim} and {query.value_dim}"
    if query.head_dim % 8 or query.value_dim % 8:
        return f"needs head dimensions in multiples of 8, got {query.head_dim} and {query.value_dim}"
    if query.seq_k == 1:
        return "takes no key of length 1"
    if query.seq_q == 1 and query.dropout_p > 0:
        return "takes no query of length 1 with dropout"
    return None


def _cudnn_backward_dims(case: AttentionCase) -> str | None:
    query = case.query
    if not (case.facts.attention_2_14 and query.requires_grad and _cudnn_d256(case)):
        return None
    dims = (query.head_dim, query.value_dim)
    if max(dims) <= 128 or dims in ((192, 128), (256, 256)):
        return None
    return f"cannot train head dimensions {dims[0]} and {dims[1]}"


CHECKS: dict[Backend, tuple[Check, ...]] = {
    "flash": (
        _disabled("flash"),
        _dims,
        _no_mask,
        _flash_head_dim,
        _sm_range(SM80),
        _flash_large_head_with_grad,
        _flash_causal_square,
        _dtype_in(_flash_dtypes),
        _heads(_always),
        _lengths,
        _last_stride(ignore_singleton=True),
    ),
    "efficient": (
        _disabled("efficient"),
        _sm_range((5, 0)),
        _dims,
        _efficient_head_dim,
        _efficient_offsets,
        _lengths,
        _last_stride(ignore_singleton=False),
        _heads(lambda case: case.facts.attention_2_14),
        _dtype_in(_efficient_dtypes),
    ),
    "cudnn": (
        _cudnn_present,
        _cudnn_dropout_version,
        _disabled("cudnn"),
        _dims,
        _cudnn_deterministic,
        _dtype_in(_low_precision),
        _cudnn_mask,
        _sm_range(SM80),
        _cudnn_dropout_step,
        _lengths,
        _last_stride(ignore_singleton=True),
        _heads(_always),
        _cudnn_shapes,
        _cudnn_backward_dims,
    ),
    "math": (_disabled("math"),),
}
