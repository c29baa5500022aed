"""Temporaries of kernels, against hand-computed sizes and a card's measurements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.hardware.attention import AttentionQuery
from ilora_diag.hardware.scratch import (
    Buffer,
    Scratch,
    cudnn_workspace,
    efficient_backward,
    efficient_forward,
    embedding_dense_backward,
    flash_backward,
    flash_forward,
    group_norm_backward,
    index_put_accumulate,
)
from ilora_diag.hardware.scratch_attention import flash_head_dim, flash_num_splits
from ilora_diag.schema import LawError, Unavailable

MIB = 1 << 20
UNKNOWN = Unavailable(reason="no source")
BASE = AttentionQuery(
    compute_capability=(8, 0),
    torch_version="2.14.1",
    dtype="bfloat16",
    batch=2,
    heads_q=12,
    heads_kv=12,
    seq_q=128,
    seq_k=128,
    head_dim=64,
)


def sizes(scratch: Scratch | Unavailable) -> dict[str, int]:
    assert isinstance(scratch, Scratch)
    return {buffer.name: buffer.num_bytes for _, buffer in scratch.events() if _ == "alloc"}


def test_buffers_come_and_go_in_order() -> None:
    scratch = Scratch(
        buffers=(
            Buffer(name="a", num_bytes=10, last=2),
            Buffer(name="none", num_bytes=0, last=2),
            Buffer(name="b", num_bytes=5, last=0),
            Buffer(name="c", num_bytes=7, first=1, last=2),
        ),
        evidence="[source]",
        source="",
    )
    events = [(action, buffer.name) for action, buffer in scratch.events()]
    assert events == [
        ("alloc", "a"),
        ("alloc", "b"),
        ("free", "b"),
        ("alloc", "c"),
        ("free", "c"),
        ("free", "a"),
    ]
    assert scratch.peak_bytes == 17
    assert Scratch(buffers=(), evidence="", source="").peak_bytes == 0


def test_buffers_that_cannot_be_are_refused() -> None:
    with pytest.raises(LawError):
        Buffer(name="x", num_bytes=-1)
    with pytest.raises(LawError):
        Buffer(name="x", num_bytes=1, first=2, last=1)


@pytest.mark.parametrize(
    ("head_dim", "rounded"), [(8, 32), (60, 64), (64, 64), (96, 96), (104, 128), (136, 192), (200, 256), (256, 256)]
)
def test_flash_rounds_head_dimensions(head_dim: int, rounded: int) -> None:
    assert flash_head_dim(head_dim) == rounded


def test_flash_backward_accumulates_dq_in_fp32() -> None:
    assert sizes(flash_backward(BASE, UNKNOWN)) == {
        "softmax_d": 2 * 12 * 128 * 4,
        "dq_accum": 2 * 128 * 12 * 64 * 4,
    }
    odd = sizes(flash_backward(replace(BASE, seq_q=129, head_dim=72), UNKNOWN))
    assert odd == {"softmax_d": 2 * 12 * 256 * 4, "dq_accum": 2 * 256 * 12 * 96 * 4}


def test_flash_backward_with_fewer_key_heads_expands_dk_and_dv() -> None:
    grouped = sizes(flash_backward(replace(BASE, heads_kv=4, enable_gqa=True), UNKNOWN))
    assert grouped["dk_expanded"] == grouped["dv_expanded"] == 2 * 128 * 12 * 64 * 2
    copied = sizes(flash_backward(BASE, UNKNOWN, copies_grad_out=True, copies_out=True))
    assert copied["grad_out.contiguous"] == copied["out.contiguous"] == 2 * 128 * 12 * 64 * 2


def test_flash_backward_needs_the_card_to_be_deterministic() -> None:
    strict = replace(BASE, deterministic=True)
    assert isinstance(flash_backward(strict, UNKNOWN), Unavailable)
    assert sizes(flash_backward(strict, 108))["dq_accum"] == 5 * 2 * 128 * 12 * 64 * 4  # ceil(108 / 24)
    assert sizes(flash_backward(BASE, 108))["dq_accum"] == 2 * 128 * 12 * 64 * 4


@pytest.mark.parametrize(
    ("blocks", "sms", "key_blocks", "splits"),
    [
        (173, 108, 100, 1),  # 80 % of 216 is 172.8
        (108, 108, 1, 1),
        (108, 108, 8, 2),  # two halves fill the card
        (1, 132, 4, 4),
        (72, 132, 16, 3),
    ],
)
def test_splits_fill_the_card(blocks: int, sms: int, key_blocks: int, splits: int) -> None:
    assert flash_num_splits(blocks, sms, key_blocks) == splits


def test_flash_forward_splits_few_long_sequences() -> None:
    long = replace(BASE, batch=1, heads_q=4, heads_kv=4, seq_q=64, seq_k=2048)
    split = sizes(flash_forward(long, 108))
    assert split == {"softmax_lse_accum": 8 * 4 * 64 * 4, "out_accum": 8 * 4 * 64 * 64 * 4}
    assert isinstance(flash_forward(long, UNKNOWN), Unavailable)
    assert sizes(flash_forward(replace(long, dropout_p=0.1), UNKNOWN)) == {"rng_state": 16}
    assert sizes(flash_forward(replace(long, dropout_p=0.1, seq_q=0), UNKNOWN)) == {}
    assert sizes(flash_forward(BASE, UNKNOWN)) == {}  # 128 keys are one block
    assert sizes(flash_forward(replace(long, batch=64), 108)) == {}


def test_efficient_backward_of_the_documented_example() -> None:
    """fp32, B=2, H=12, S=128, D=64: 24 x 2 x 16400 bytes of workspace (memory-model facts 7.2)."""
    parts = sizes(efficient_backward(replace(BASE, dtype="float32")))
    assert parts["workspace"] == 24 * 2 * 16_400
    assert parts["grad_out * out"] == 2 * 12 * 128 * 64 * 4
    assert parts["delta"] == parts["delta.contiguous"] == 2 * 12 * 128 * 4
    assert "grad_out.to(float)" not in parts


def test_efficient_backward_in_half_precision_computes_delta_in_the_kernel() -> None:
    parts = sizes(efficient_backward(BASE))
    assert parts == {"delta": 2 * 12 * 128 * 4, "workspace": 24 * 2 * 16_400}
    volta = replace(BASE, dtype="float16", compute_capability=(7, 0), head_dim=256)
    assert sizes(efficient_backward(volta))["grad_out.to(float)"] == 2 * 12 * 128 * 256 * 4
    assert "grad_out.to(float)" not in sizes(efficient_backward(replace(volta, compute_capability=(7, 5))))


def test_efficient_backward_of_large_heads_keeps_dk_and_dv_too() -> None:
    """D=256 in bf16 takes 128 x 64 blocks: splits = min(2, 200 // 24) = 2."""
    large = replace(BASE, head_dim=256)
    keys = 2 * 64 * (256 + 256)
    queries = 1 * 4 * (16 + 128 * 64 * 4) // 4
    assert sizes(efficient_backward(large))["workspace"] == 24 * (keys + queries) * 4
    strict = replace(large, deterministic=True)
    assert sizes(efficient_backward(strict))["workspace"] == 24 * (keys // 2 + queries) * 4
    crowded = replace(large, batch=20)  # 240 pairs: 200 // 240 is 0, so one split
    assert sizes(efficient_backward(crowded))["workspace"] == 240 * (keys // 2 + queries) * 4


def test_the_kernel_for_heads_of_96_is_of_ada_and_small_ampere_alone() -> None:
    """2.11.0 to 2.14.1 ask for 327,760 bytes a pair on 9.0; cutlassB.h names 8.6 and 8.9 for the blocks of 128 x 64."""
    query = replace(BASE, heads_q=2, heads_kv=2, batch=1, seq_q=513, seq_k=513, head_dim=80)
    assert sizes(efficient_backward(replace(query, compute_capability=(9, 0))))["workspace"] == 2 * 5 * 65_552
    ada = sizes(efficient_backward(replace(query, compute_capability=(8, 9))))["workspace"]
    assert ada >= 2 * 10 * 32_784  # which kernel fits there is not known; the larger one is counted


def test_efficient_backward_on_a_card_with_little_shared_memory_takes_the_larger_kernel() -> None:
    ada = efficient_backward(replace(BASE, head_dim=128, compute_capability=(8, 9)))
    assert isinstance(ada, Scratch)
    assert ada.evidence.startswith("[unverified]")
    ampere = efficient_backward(replace(BASE, head_dim=128))
    assert isinstance(ampere, Scratch)
    assert ada.peak_bytes >= ampere.peak_bytes


def test_efficient_backward_before_volta_keeps_no_dq_in_fp32() -> None:
    pascal = replace(BASE, dtype="float32", compute_capability=(6, 0))
    assert "workspace" not in sizes(efficient_backward(pascal))


def test_efficient_backward_with_fewer_key_heads_came_with_2_14() -> None:
    grouped = replace(BASE, heads_kv=4, enable_gqa=True)
    assert sizes(efficient_backward(grouped))["grad_k over query heads"] == 2 * 128 * 12 * 64 * 2
    assert "grad_k over query heads" not in sizes(efficient_backward(replace(grouped, torch_version="2.13.0")))
    assert sizes(efficient_backward(BASE, copies_grad_out=True))["grad_out.contiguous"] == 2 * 128 * 12 * 64 * 2


def test_efficient_forward_accumulates_wide_values_of_half_precision() -> None:
    assert sizes(efficient_forward(replace(BASE, head_dim=136))) == {"output_accum": 2 * 128 * 12 * 136 * 4}
    assert sizes(efficient_forward(replace(BASE, head_dim=192, head_dim_v=64))) == {
        "output_accum": 2 * 128 * 12 * 64 * 4
    }
    assert sizes(efficient_forward(replace(BASE, head_dim=128))) == {}
    assert sizes(efficient_forward(replace(BASE, head_dim=136, dtype="float32"))) == {}
    assert isinstance(efficient_forward(replace(BASE, dtype="float64")), Unavailable)
    assert isinstance(efficient_backward(replace(BASE, dtype="float64")), Unavailable)


def test_the_workspace_of_cudnn_is_unknown_and_never_zero() -> None:
    answer = cudnn_workspace(BASE)
    assert isinstance(answer, Unavailable)
    assert "92400" in answer.reason


def test_embedding_backward_sorts_above_3072_indices() -> None:
    assert sizes(embedding_dense_backward(3072, 50_000, 768)) == {}
    sorted_path = sizes(embedding_dense_backward(3073, 50_000, 768))
    assert sorted_path["grad_weight_per_segment"] == (307 + 3073) * 768 * 4
    assert sorted_path["sort scratch"] == 3073 * 16
    assert sizes(embedding_dense_backward(10, 5, 8, scale_grad_by_freq=True))["count"] == 80
    assert sizes(embedding_dense_backward(10, 5, 8, copied_grad_bytes=320)) == {"grad.contiguous": 320}


def test_embedding_backward_of_a_small_table_has_few_segments() -> None:
    parts = sizes(embedding_dense_backward(100_000, 50, 64, index_bytes=4, double=True))
    assert parts["grad_weight_per_segment"] == (10_000 + 50) * 64 * 8
    assert parts["partials_per_segment"] == 50 * 4


def test_index_put_sorts_its_linear_indices() -> None:
    # 1024 indices, as recorded: two steps of the linear index, the copied values, three lists, one byte for the sort.
    recorded = [buffer.num_bytes for buffer in index_put_accumulate(1024, copied_value_bytes=5_242_880).buffers]
    assert recorded == [8192, 8192, 5_242_880, 8192, 8192, 8192, 1]
    assert index_put_accumulate(1024).peak_bytes == 4 * 8192 + 1
    assert index_put_accumulate(10_000).peak_bytes == 4 * 80_000 + 10_000 * 16
    assert index_put_accumulate(10_000, num_bits=8).peak_bytes == 4 * 80_000
    assert index_put_accumulate(1024).missing


@pytest.mark.data
def test_embedding_backward_is_what_an_a100_measured(shared_data: Path) -> None:
    """nn.Embedding against a kernel without scratch, same benchmark: the difference is the scratch, to the byte."""
    cases = [json.loads(line) for line in (shared_data / "op_cases.jsonl").read_text().splitlines()]
    peaks: dict[tuple[str, int, int], float] = {}
    for case in cases:
        if case["op"] == "embedding":
            config = json.loads(case["config"])
            key = (case["provider"], config["D"], int(case["x"]["V"]))
            peaks[key] = case["measured"]["peak_allocated_mib"] * MIB
            assert config["B"] * config["T"] == 16_384
    checked = 0
    for dim in (768, 4096):
        low, high = peaks["liger", dim, 1024], peaks["liger", dim, 65_536]
        without = low + (high - low) / (65_536 - 1024) * (16_384 - 1024)  # linear in the rows of the table
        measured = peaks["huggingface", dim, 16_384] - without
        scratch = embedding_dense_backward(16_384, 16_384, dim)
        alive = [buffer.num_bytes for buffer in scratch.buffers if buffer.last == 5 and buffer.num_bytes]
        rounded = sum(-(-num_bytes // 512) * 512 for num_bytes in alive)
        assert rounded == measured
        checked += 1
    assert checked == 2


def test_group_norm_backward_takes_what_a_b200_took() -> None:
    taken = group_norm_backward(128, 64, 16, 512, has_weight=True)
    assert isinstance(taken, Scratch)
    assert taken.peak_bytes == 114_688
    plain = group_norm_backward(128, 64, 16, 512, has_weight=False)
    assert isinstance(plain, Scratch)
    assert plain.peak_bytes == 114_688 - 32_768
    assert isinstance(group_norm_backward(128, 64, 16, 1, has_weight=True), Unavailable)
