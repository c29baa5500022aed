"""What kernels take beside their results, one request at a time, as recordings show it."""

from __future__ import annotations

import pytest
import torch

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
