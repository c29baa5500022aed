"""What kernels take beside their results, one request at a time, as recordings show it."""

from __future__ import annotations

import pytest
import torch

from probes.virtual.kernels import readable_by_cublas
from probes.virtual.machine import Machine


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
