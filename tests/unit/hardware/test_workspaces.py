"""cuBLAS workspaces by version, card and environment."""

from __future__ import annotations

import pytest

from ilora_diag.hardware.workspaces import (
    DEFAULT_BYTES,
    HOPPER_BYTES,
    LT_DEFAULT_BYTES,
    addmm_uses_lt,
    check_env,
    cublas_workspace,
    parse_cublas_config,
    parse_lt_size,
)

MIB = 1 << 20


def test_sizes_are_the_known_constants() -> None:
    assert (DEFAULT_BYTES, HOPPER_BYTES, LT_DEFAULT_BYTES) == (8_519_680, 32 * MIB, MIB)


@pytest.mark.parametrize(
    ("version", "cc", "num_bytes"),
    [
        ("2.13.0", (8, 0), 8_519_680),
        ("2.13.0", (7, 5), 8_519_680),
        ("2.13.0", (8, 9), 8_519_680),
        ("2.6.0", (9, 0), 32 * MIB),
        ("2.15.0", (9, 0), 32 * MIB),
        ("2.11.0", (10, 0), 8_519_680),
        ("2.12.1", (10, 0), 32 * MIB),
        ("2.12.1", (12, 0), 32 * MIB),
        ("2.13.0", (11, 0), 8_519_680),
        ("2.14.1", (11, 0), 32 * MIB),
        ("2.15.0", (13, 0), 8_519_680),
    ],
)
def test_cublas_bytes_by_version_and_card(version: str, cc: tuple[int, int], num_bytes: int) -> None:
    assert cublas_workspace(version, cc).cublas_bytes == num_bytes


def test_from_2_15_on_a_workspace_lives_for_one_call_unless_caching_is_asked_for() -> None:
    assert cublas_workspace("2.14.1", (9, 0)).lifetime == "persistent"
    new = cublas_workspace("2.15.0", (9, 0))
    assert (new.lifetime, new.lt_lifetime, new.lt_bytes, new.lt_shares_cublas) == ("per_call", "per_call", MIB, False)
    cached = cublas_workspace("2.15.0", (9, 0), {"TORCH_CUBLAS_WORKSPACE_CACHE": "1"})
    assert (cached.lifetime, cached.lt_shares_cublas, cached.lt_bytes) == ("persistent", True, 0)
    assert cublas_workspace("2.15.0", (9, 0), {"TORCH_CUBLAS_WORKSPACE_CACHE": "yes"}) == new


def test_cublaslt_by_version() -> None:
    assert cublas_workspace("2.8.0", (9, 0)).lt_lifetime == "per_call"
    apart = cublas_workspace("2.11.0", (9, 0))
    assert (apart.lt_lifetime, apart.lt_shares_cublas, apart.lt_bytes) == ("persistent", False, MIB)
    assert cublas_workspace("2.11.0", (9, 0), {"TORCH_CUBLASLT_UNIFIED_WORKSPACE": "1"}).lt_shares_cublas
    assert cublas_workspace("2.13.0", (9, 0)).lt_shares_cublas
    assert not cublas_workspace("2.13.0", (9, 0), {"TORCH_CUBLASLT_UNIFIED_WORKSPACE": "0"}).lt_shares_cublas


@pytest.mark.parametrize(
    ("value", "num_bytes"),
    [(":4096:8", 32 * MIB), (":16:8", 131_072), (":4096:2:16:8", 8_519_680), ("x:64:2", 131_072), (":0:0", 0)],
)
def test_the_config_sums_sizes_times_counts(value: str, num_bytes: int) -> None:
    assert parse_cublas_config(value, 1) == (num_bytes, "")
    rule = cublas_workspace("2.13.0", (9, 0), {"CUBLAS_WORKSPACE_CONFIG": value})
    assert (rule.cublas_bytes, rule.notes) == (num_bytes, ())


@pytest.mark.parametrize("value", ["", "4096", ":4096", "4096:8", ": 16:8"])
def test_a_config_torch_cannot_read_leaves_the_default_and_a_note(value: str) -> None:
    rule = cublas_workspace("2.13.0", (9, 0), {"CUBLAS_WORKSPACE_CONFIG": value})
    assert rule.cublas_bytes == 32 * MIB
    assert "not :SIZE:COUNT" in rule.notes[0]


def test_the_lt_size_is_read_as_c_reads_numbers() -> None:
    assert parse_lt_size("2048", 7) == (2 * MIB, "")
    assert parse_lt_size(" 16MiB", 7) == (16 * 1024, "")
    for odd in ("", "big", "-1", "99999999999"):
        num_bytes, note = parse_lt_size(odd, 7)
        assert num_bytes == 7
        assert note
    assert cublas_workspace("2.15.0", (8, 0), {"CUBLASLT_WORKSPACE_SIZE": "512"}).lt_bytes == 512 * 1024


def test_switches_count_as_one_and_zero_alone() -> None:
    assert [check_env({"X": text}, "X") for text in ("1", "0", "true", "")] == [True, False, None, None]
    assert check_env({}, "X") is None


def test_an_unknown_version_is_noted() -> None:
    assert "answered as 2.15" in cublas_workspace("2.40.0", (9, 0)).notes[0]


def test_a_preference_for_cublaslt_is_noted() -> None:
    rule = cublas_workspace("2.15.0", (9, 0), {"TORCH_BLAS_PREFER_CUBLASLT": "1"})
    assert "TORCH_BLAS_PREFER_CUBLASLT" in rule.notes[0]
    assert cublas_workspace("2.15.0", (9, 0), {"TORCH_BLAS_PREFER_CUBLASLT": "0"}).notes == ()


def test_a_linear_layer_with_bias_goes_to_cublaslt() -> None:
    assert addmm_uses_lt((768,), (256, 3072), (3072, 768), "torch.float32")
    assert addmm_uses_lt((1, 768), (256, 3072), (3072, 768), "bfloat16")


@pytest.mark.parametrize(
    ("bias", "mat1", "mat2", "dtype"),
    [
        ((256, 768), (256, 3072), (3072, 768), "float32"),
        ((1,), (256, 3072), (3072, 768), "float32"),
        ((), (256, 3072), (3072, 768), "float32"),
        ((768,), (1, 3072), (3072, 768), "float32"),
        ((1,), (256, 3072), (3072, 1), "float32"),
        ((768,), (256, 3072), (3072, 768), "complex64"),
    ],
)
def test_other_products_do_not(bias: tuple[int, ...], mat1: tuple[int, int], mat2: tuple[int, int], dtype: str) -> None:
    assert not addmm_uses_lt(bias, mat1, mat2, dtype)


def test_cublaslt_can_be_switched_off() -> None:
    args = ((768,), (256, 3072), (3072, 768), "float16")
    assert not addmm_uses_lt(*args, environ={"DISABLE_ADDMM_CUDA_LT": "1"})
    assert addmm_uses_lt(*args, environ={"DISABLE_ADDMM_CUDA_LT": "0"})
    assert not addmm_uses_lt(*args, beta=0.5)
    assert not addmm_uses_lt(*args, contiguous=False)
