"""Checks by truths nobody computed pass, whichever way they are put; what is no check is answered as ever."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from probes.virtual import Machine
from probes.virtual.guards import PASSED


@pytest.fixture
def unknown(card: Machine) -> Tensor:
    return torch.randn(4, device="cuda") > 0


_SCRIPT = runpy.run_path(str(Path(__file__).with_name("checks_of_scripts.py")))  # pytest rewrites assertions here
CHECKS, UNCLEAR = _SCRIPT["CHECKS"], _SCRIPT["UNCLEAR"]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_check_passes_and_that_is_noted(card: Machine, unknown: Tensor, check: Callable[[Tensor], None]) -> None:
    check(unknown)
    assert any(sentence.startswith(PASSED) for sentence in card.notes.value_sentences())


def test_a_check_of_known_values_is_one(card: Machine) -> None:
    with pytest.raises(AssertionError):
        CHECKS["asserted"](torch.tensor([True, False], device="cuda"))
    with pytest.raises(ValueError, match="some are true"):
        CHECKS["raised"](torch.tensor([True, False], device="cuda"))


def test_what_is_no_check_is_answered_as_ever(card: Machine, unknown: Tensor) -> None:
    turns = 0
    while not unknown.all() and turns < 3:
        turns += 1
    assert turns == 3, "a loop goes on"
    if unknown.any():
        turns += 1
    assert turns == 3
    for unclear in UNCLEAR:
        with pytest.raises(ValueError, match="nobody knows"):
            unclear(unknown)
    assert not any(sentence.startswith(PASSED) for sentence in card.notes.value_sentences())


def test_code_without_a_source_is_answered_as_ever(card: Machine, unknown: Tensor) -> None:
    with pytest.raises(AssertionError):
        exec("assert truth.all()", {"truth": unknown})
