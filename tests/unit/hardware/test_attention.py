"""The attention kernel by card, version and shape: each condition with the nearest call that passes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ilora_diag.hardware.attention import (
    AttentionQuery,
    AttentionQueryError,
    choose_attention,
    priority_order,
    why_not,
)

A100, L4, H100, B200, T4, RTX5090 = (8, 0), (8, 9), (9, 0), (10, 0), (7, 5), (12, 0)
BASE = AttentionQuery(
    compute_capability=A100,
    torch_version="2.14.1",
    dtype="bfloat16",
    batch=2,
    heads_q=12,
    heads_kv=12,
    seq_q=128,
    seq_k=128,
    head_dim=64,
)


@pytest.mark.parametrize(
    ("changes", "backend"),
    [
        ({}, "flash"),
        ({"dtype": "torch.float32"}, "efficient"),
        ({"has_mask": True}, "efficient"),
        ({"dtype": "float64"}, "math"),
        ({"compute_capability": H100}, "cudnn"),
        ({"compute_capability": H100, "has_mask": True}, "cudnn"),
        ({"compute_capability": H100, "dropout_p": 0.1}, "flash"),
        ({"compute_capability": H100, "dropout_p": 0.1, "has_mask": True}, "efficient"),
        ({"compute_capability": H100, "dropout_p": 0.125}, "cudnn"),
        ({"compute_capability": H100, "dtype": "float32"}, "efficient"),
        ({"compute_capability": B200}, "cudnn"),
        ({"compute_capability": RTX5090}, "flash"),
        ({"compute_capability": T4, "dtype": "float16"}, "efficient"),
        ({"compute_capability": T4}, "math"),
        ({"compute_capability": (3, 5), "dtype": "float16"}, "math"),
        ({"num_dims": 3}, "math"),
        ({"num_dims": 3, "torch_version": "2.15.0"}, "flash"),
    ],
)
def test_typical_calls(changes: dict[str, object], backend: str) -> None:
    assert choose_attention(replace(BASE, **changes)).backend == backend  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "changes", "backend"),
    [
        ("2.8.0", {}, "flash"),
        ("2.9.1", {}, "cudnn"),
        ("2.9.1", {"environ": {"TORCH_CUDNN_SDPA_PREFERRED": "0"}}, "flash"),
        ("2.10.0", {}, "flash"),
        ("2.11.0", {}, "cudnn"),
        ("2.11.0", {"cudnn_version": 91500}, "flash"),
        ("2.11.0", {"cudnn_version": 91501}, "cudnn"),
        ("2.13.0", {}, "cudnn"),
        ("2.13.0", {"environ": {"TORCH_CUDNN_SDPA_DEPRIORITIZED": "1"}}, "flash"),
        ("2.13.0", {"environ": {"TORCH_CUDNN_SDPA_DEPRIORITIZED": "true"}}, "cudnn"),
        ("2.13.0+cu126", {}, "flash"),
        ("2.15.0", {}, "cudnn"),
    ],
)
def test_what_a_hopper_takes_first_depends_on_the_version(
    version: str, changes: dict[str, object], backend: str
) -> None:
    query = replace(BASE, compute_capability=H100, torch_version=version, **changes)  # type: ignore[arg-type]
    assert choose_attention(query).backend == backend


def test_an_unknown_cudnn_is_said() -> None:
    choice = choose_attention(replace(BASE, compute_capability=H100, torch_version="2.13.0+cu126"))
    assert "was not looked up" in choice.notes[0]


PAIRS = [
    ("flash", {"head_dim": 264}, {"head_dim": 256}, "up to 256"),
    ("flash", {"head_dim_v": 32}, {"head_dim_v": 64}, "equal head dimensions"),
    ("flash", {"has_mask": True}, {}, "no attention mask"),
    ("flash", {"compute_capability": T4, "dtype": "float16"}, {"dtype": "float16"}, "compute capability"),
    ("flash", {"compute_capability": L4, "head_dim": 200}, {"compute_capability": L4, "head_dim": 192}, "cannot train"),
    (
        "flash",
        {"compute_capability": L4, "head_dim": 256, "dropout_p": 0.1},
        {"compute_capability": L4, "head_dim": 256},
        "cannot train",
    ),
    (
        "flash",
        {"compute_capability": RTX5090, "head_dim": 224},
        {"compute_capability": RTX5090, "head_dim": 224, "requires_grad": False},
        "cannot train",
    ),
    ("flash", {"is_causal": True, "seq_k": 256}, {"is_causal": True}, "equal lengths"),
    (
        "flash",
        {"dtype": "float8_e4m3fn"},
        {"dtype": "float8_e4m3fn", "flash3": True, "compute_capability": H100},
        "got",
    ),
    ("flash", {"heads_kv": 4}, {"heads_kv": 4, "enable_gqa": True}, "as many key as query heads"),
    ("flash", {"heads_kv": 5, "enable_gqa": True}, {"heads_kv": 6, "enable_gqa": True}, "multiples of the 5"),
    ("flash", {"heads_kv": 1, "torch_version": "2.13.0"}, {"heads_kv": 1}, "as many key"),
    ("flash", {"seq_q": 0}, {"seq_q": 1}, "length 0"),
    ("flash", {"last_stride_one": False}, {"last_stride_one": False, "head_dim": 1}, "contiguous"),
    ("flash", {"enabled": ("efficient", "math")}, {"enabled": ("flash",)}, "switched off"),
    ("efficient", {"head_dim": 60}, {"head_dim": 56}, "multiples of 8"),
    ("efficient", {"head_dim": 62, "dtype": "float32"}, {"head_dim": 60, "dtype": "float32"}, "multiples of 4"),
    (
        "efficient",
        {"head_dim": 62, "dtype": "float16", "compute_capability": T4},
        {"head_dim": 61, "dtype": "float32", "compute_capability": T4},
        "multiples of 8",
    ),
    ("efficient", {"compute_capability": T4}, {"compute_capability": T4, "dtype": "float16"}, "takes float16, float32"),
    ("efficient", {"offsets_aligned": False}, {"offsets_aligned": False, "torch_version": "2.12.1"}, "aligned"),
    (
        "efficient",
        {"heads_kv": 4, "enable_gqa": True, "torch_version": "2.13.0"},
        {"heads_kv": 4, "enable_gqa": True},
        "as many key",
    ),
    (
        "efficient",
        {"has_mask": True, "mask_last_stride_one": False},
        {"has_mask": True, "mask_last_stride_one": True},
        "contiguous",
    ),
    ("cudnn", {"dropout_p": 0.1}, {"dropout_p": 0.0625}, "sixteenths"),
    (
        "cudnn",
        {"dropout_p": 0.125, "cudnn_version": 91200},
        {"dropout_p": 0.125, "cudnn_version": 91400},
        "9.11 to 9.13",
    ),
    ("cudnn", {"cudnn_version": 8907}, {"cudnn_version": 90000}, "cuDNN 9"),
    ("cudnn", {"deterministic": True}, {}, "not deterministic"),
    ("cudnn", {"has_mask": True, "mask_requires_grad": True}, {"has_mask": True}, "train the mask"),
    (
        "cudnn",
        {"has_mask": True, "mask_shape": (2, 1, 128)},
        {"has_mask": True, "mask_shape": (2, 1, 128, 128)},
        "2 or 4 dimensions",
    ),
    (
        "cudnn",
        {"has_mask": True, "mask_shape": (3, 1, 1, 128)},
        {"has_mask": True, "mask_shape": (1, 128)},
        "broadcast",
    ),
    ("cudnn", {"head_dim": 136}, {"head_dim": 128}, "up to 128"),
    (
        "cudnn",
        {"head_dim": 136, "compute_capability": H100},
        {"head_dim": 256, "compute_capability": H100},
        "train head",
    ),
    (
        "cudnn",
        {"head_dim": 256, "compute_capability": H100, "cudnn_version": 92200},
        {"head_dim": 256, "compute_capability": H100, "cudnn_version": 92201},
        "up to 128",
    ),
    (
        "cudnn",
        {"head_dim": 136, "torch_version": "2.13.0"},
        {"head_dim": 136, "torch_version": "2.13.0", "compute_capability": H100},
        "up to 128",
    ),
    ("cudnn", {"head_dim": 60}, {"head_dim": 56}, "multiples of 8"),
    ("cudnn", {"seq_k": 1}, {"seq_k": 2}, "key of length 1"),
    ("cudnn", {"seq_q": 1, "dropout_p": 0.5}, {"seq_q": 1}, "query of length 1"),
    (
        "cudnn",
        {"seq_q": 1, "compute_capability": B200, "cudnn_version": 92500},
        {"seq_q": 1, "compute_capability": B200, "cudnn_version": 92501},
        "length 1 on this card",
    ),
    (
        "cudnn",
        {"seq_q": 1, "compute_capability": B200},
        {"seq_q": 1, "compute_capability": B200, "cudnn_version": 92401},
        "length 1 on this card",
    ),
    (
        "cudnn",
        {"seq_q": 1, "compute_capability": B200, "cudnn_version": 91900},
        {"seq_q": 1, "compute_capability": B200, "cudnn_version": 91801},
        "length 1 on this card",
    ),
    (
        "cudnn",
        {"seq_q": 1, "compute_capability": (11, 0)},
        {"seq_q": 1, "compute_capability": H100},
        "length 1 on this card",
    ),
    ("cudnn", {"batch": 65536}, {"batch": 65535}, "at most 65535"),
    ("cudnn", {"dtype": "float32"}, {"dtype": "float16"}, "takes float16, bfloat16"),
]


@pytest.mark.parametrize(("backend", "refused", "taken", "reason"), PAIRS, ids=range(len(PAIRS)))
def test_each_condition_refuses_and_its_neighbour_passes(
    backend: str, refused: dict[str, object], taken: dict[str, object], reason: str
) -> None:
    answer = why_not(replace(BASE, **refused), backend)  # type: ignore[arg-type]
    assert answer is not None
    assert reason in answer
    assert why_not(replace(BASE, **taken), backend) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "since", "before", "after"),
    [
        ({"dropout_p": 0.1}, 12, "cudnn", "flash"),
        ({"batch": 65536}, 13, "cudnn", "flash"),
        ({"compute_capability": (10, 7)}, 13, "flash", "cudnn"),
        ({"has_mask": True, "compute_capability": A100, "offsets_aligned": False}, 13, "efficient", "math"),
        ({"dtype": "float32", "heads_kv": 4, "enable_gqa": True}, 14, "math", "efficient"),
        ({"head_dim": 136}, 14, "cudnn", "flash"),
        ({"compute_capability": B200, "seq_q": 1}, 14, "cudnn", "flash"),
    ],
)
def test_a_condition_holds_from_its_version_on(changes: dict[str, object], since: int, before: str, after: str) -> None:
    """What libtorch_cuda.so of 2.11.0, 2.12.1, 2.13.0 and 2.14.1 asks, and the cuDNN that comes with each."""
    query = replace(BASE, **{"compute_capability": H100, **changes})  # type: ignore[arg-type]
    for minor in (11, 12, 13, 14):
        choice = choose_attention(replace(query, torch_version=f"2.{minor}.0"))
        assert (choice.backend, choice.notes) == (after if minor >= since else before, ())


def test_reasons_of_the_backends_asked_before_are_kept_in_order() -> None:
    choice = choose_attention(replace(BASE, compute_capability=H100, dropout_p=0.1, has_mask=True))
    assert [backend for backend, _ in choice.refused] == ["cudnn", "flash"]


def test_cudnn_stands_behind_math_where_it_is_not_preferred() -> None:
    assert priority_order(BASE) == ("flash", "efficient", "math", "cudnn")
    only = replace(BASE, enabled=("cudnn",))
    assert choose_attention(only).backend == "cudnn"


def test_no_backend_left_is_said() -> None:
    choice = choose_attention(replace(BASE, enabled=()))
    assert choice.backend == "none"
    assert len(choice.refused) == 4


def test_calls_torch_refuses_are_refused() -> None:
    with pytest.raises(AttentionQueryError, match="is_causal"):
        replace(BASE, has_mask=True, is_causal=True)
    with pytest.raises(AttentionQueryError, match="dropout_p"):
        replace(BASE, dropout_p=1.5)
    with pytest.raises(AttentionQueryError, match="negative"):
        replace(BASE, seq_q=-1)
    with pytest.raises(AttentionQueryError, match="unknown backends"):
        replace(BASE, enabled=("fast",))  # type: ignore[arg-type]
