"""What kernels take beside their results, one request at a time, as recordings show it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from probes.virtual import virtual_cuda
from probes.virtual.kernels import readable_by_cublas
from probes.virtual.machine import Machine

MIB = 1 << 20


def _requested(machine: Machine) -> list[int]:
    return list(machine.ledger.sizes)


def test_the_gradient_of_a_sum_is_copied_for_the_product(card: Machine) -> None:
    weight = torch.zeros(64, 32, device="cuda", requires_grad=True)
    x = torch.zeros(4, 8, 64, device="cuda")
    loss = (x @ weight).sum()
    before = len(_requested(card))
    loss.backward()
    assert _requested(card)[before:].count(4 * 8 * 32 * 4) == 1  # (4 * 8, 32), one number expanded


def test_an_ordinary_gradient_is_not(card: Machine) -> None:
    weight = torch.zeros(64, 32, device="cuda", requires_grad=True)
    x = torch.zeros(4, 8, 64, device="cuda")
    loss = (x @ weight).exp().sum()
    before = len(_requested(card))
    loss.backward()
    assert _requested(card)[before:].count(4 * 8 * 32 * 4) == 1  # exp's backward, and no copy


@pytest.mark.parametrize(
    ("matrix", "readable"),
    [
        (torch.empty(4, 6), True),
        (torch.empty(4, 6).t(), True),
        (torch.empty(8, 12)[:4, :6], True),
        (torch.empty(8, 12)[::2, ::2], False),
        (torch.empty(1).expand(4, 6), False),
        (torch.empty(3, 4, 6).transpose(1, 2), True),
        (torch.empty(4, 6, 3).permute(2, 0, 1), False),
    ],
)
def test_a_factor_is_read_as_it_lies_or_not(matrix: torch.Tensor, readable: bool) -> None:
    assert readable_by_cublas(matrix) is readable


def test_a_number_to_the_power_of_a_tensor_takes_the_number_along(card: Machine) -> None:
    x = torch.zeros(16, device="cuda")
    before = len(_requested(card))
    _ = 10000.0**x
    assert _requested(card)[before:] == [64, 8]
    before = len(_requested(card))
    _ = 1.0**x
    assert _requested(card)[before:] == [64]


sizes_can_be_set = pytest.mark.skipif(
    not hasattr(torch.backends.cuda, "cublas_workspace_size"), reason="torch 2.13 brought the function"
)


def _products(factor: torch.Tensor, bias: torch.Tensor) -> tuple[int, int]:
    """MiB of buffers after a plain product, and after one with a bias."""
    torch.mm(factor, factor)
    after_one = torch.cuda.memory_allocated() // MIB
    torch.addmm(bias, factor, factor)
    return after_one, torch.cuda.memory_allocated() // MIB


@sizes_can_be_set
@pytest.mark.parametrize(
    ("unified", "steps", "cublaslt"),
    [
        ("1", [(32, 32), (32, 32), (64, 64), (64, 64)], [1, 1, 1, 0]),
        ("0", [(32, 33), (33, 33), (65, 65), (65, 65)], [1, 1, 1, 1]),
    ],
)
def test_a_script_sets_the_size_of_cublas_buffers(
    unified: str, steps: list[tuple[int, int]], cublaslt: list[int]
) -> None:
    """Numbers of torch 2.14.1's own CUDA library, called in the same order."""
    with virtual_cuda("h100", torch_version="2.14.1", environ={"TORCH_CUBLASLT_UNIFIED_WORKSPACE": unified}):
        operands = torch.empty(64, 64, device="cuda"), torch.empty(64, device="cuda")
        assert torch.backends.cuda.cublas_workspace_size() == 32 * MIB
        found, told = [_products(*operands)], [torch.backends.cuda.cublaslt_workspace_size()]
        for size in (1, 64, 0):
            assert torch.backends.cuda.cublas_workspace_size(size * MIB) == size * MIB
            found.append(_products(*operands))
            told.append(torch.backends.cuda.cublaslt_workspace_size())
        assert (found, told) == (steps, [size * MIB for size in cublaslt])
        torch._C._cuda_clearCublasWorkspaces()
        torch._C._cuda_resetCublasWorkspaceSize()
        assert torch.backends.cuda.cublas_workspace_size() == 32 * MIB
        with pytest.raises(RuntimeError, match="cublas workspace size must be non-negative, got -1"):
            torch.backends.cuda.cublas_workspace_size(-1)


@sizes_can_be_set
def test_a_larger_buffer_comes_before_the_smaller_one_goes(card: Machine) -> None:
    factor = torch.empty(64, 64, device="cuda")
    torch.mm(factor, factor)
    torch.cuda.reset_peak_memory_stats()
    torch.backends.cuda.cublas_workspace_size(64 * MIB)
    torch.mm(factor, factor)
    assert torch.cuda.max_memory_allocated() >= (32 + 64) * MIB > torch.cuda.memory_allocated()


def _attention_requests(version: str, dtype: torch.dtype, *, dropout_p: float, columns: int = 0) -> list[int]:
    """Requests of attention alone, forward and backward: two sequences of 64, four heads of 64."""
    backend = SDPBackend.EFFICIENT_ATTENTION if dtype is torch.float32 else SDPBackend.FLASH_ATTENTION
    with virtual_cuda("h100", torch_version=version, environ={}) as machine:
        query, key, value = (
            torch.empty(2, 4, 64 if part == 0 or not columns else columns, 64, device="cuda", dtype=dtype)
            for part in range(3)
        )
        mask = torch.empty(2, 1, 64, columns, device="cuda", dtype=dtype) if columns else None
        query.requires_grad_()
        before = len(machine.ledger.sizes)
        with sdpa_kernel(backend):
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_p)
        out.backward(torch.empty_like(out))
        return [size for size in machine.ledger.sizes[before:] if size]


_RESULT, _LSE = 2 * 4 * 64 * 64 * 4, 2 * 4 * 64 * 4


@pytest.mark.parametrize(
    ("version", "dropout_p", "first"),
    [
        ("2.13.0", 0.0, [_RESULT, _LSE]),
        ("2.14.1", 0.0, [8, 8, _RESULT, _LSE]),
        ("2.14.1", 0.1, [_RESULT, _LSE]),
    ],
)
def test_seed_and_offset_lie_on_the_card_where_nothing_is_dropped_from_2_14_on(
    version: str, dropout_p: float, first: list[int]
) -> None:
    """As the libraries of these versions ask for, in order."""
    asked = _attention_requests(version, torch.float32, dropout_p=dropout_p)
    assert asked[: len(first)] == first
    assert asked.count(8) == first.count(8)


def test_flash_attention_with_dropout_takes_the_state_of_random_numbers_twice() -> None:
    half = _RESULT // 2
    assert _attention_requests("2.14.1", torch.bfloat16, dropout_p=0.0)[:5] == [half, _LSE, 16, 8, half]
    assert _attention_requests("2.14.1", torch.bfloat16, dropout_p=0.1)[:6] == [half, _LSE, 16, 8, 16, half]


@pytest.mark.parametrize(("columns", "padded"), [(64, 0), (72, 0), (68, 72), (7, 8)])
def test_a_mask_is_padded_to_eights_of_columns(columns: int, padded: int) -> None:
    asked = _attention_requests("2.13.0", torch.float32, dropout_p=0.0, columns=columns)
    assert asked[:2] == [2 * 64 * padded * 4, _RESULT] if padded else asked[0] == _RESULT


def test_a_mask_is_not_padded_for_cudnn(card: Machine) -> None:
    parts = [torch.empty(2, 4, 64, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    mask = torch.empty(2, 1, 64, 60, device="cuda", dtype=torch.bfloat16)
    before = len(_requested(card))
    F.scaled_dot_product_attention(parts[0], parts[1][:, :, :60], parts[2][:, :, :60], attn_mask=mask)
    assert card.attention == {"cudnn": 1}
    assert 2 * 64 * 64 * 2 not in _requested(card)[before:]
