"""The recorded cases: every row is compared or left out for a reason, and their code runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.cases.left_out import REASONS, reason_for
from benchmarks.cases.lm_adapters import AdaptersLm, InPlaceAdamW
from benchmarks.cases.lm_course import CourseAdamW, CourseLm, cross_entropy
from benchmarks.cases.lm_double_exp import DoubleExpLm, PlainAdamW
from benchmarks.cases.lm_fused_qkv import FusedQkvLm
from benchmarks.cases.lm_parts import LmShape, project, project_weight_first
from benchmarks.cases.lm_rotate_half import RotateHalfLm
from benchmarks.cases.load import load_cases, recipes

SHAPE = LmShape(hidden=16, layers=2, heads=2, inner=32, vocab=50, context=6)
MODELS = [
    CourseLm, lambda s, d: CourseLm(s, d, gather=True), FusedQkvLm, DoubleExpLm, AdaptersLm, RotateHalfLm,
]  # fmt: skip


@pytest.mark.data
def test_every_recorded_row_has_a_recipe_or_a_reason(shared_data: Path) -> None:
    cases, left_out = load_cases(shared_data / "memory_cases.jsonl")
    assert len(cases) >= 30
    assert len(cases) + len(left_out) == len((shared_data / "memory_cases.jsonl").read_text().splitlines())
    assert {case.family for case in cases} >= {"cs336 snapshots", "hf bf16", "fits or not"}
    assert sum(case.measured.out_of_memory for case in cases) >= 5
    for case in cases:
        assert case.snapshot is None or (shared_data / "snapshots" / case.snapshot).is_file()


def test_a_row_that_nobody_has_looked_at_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"id": "new-row", "measured": {}, "source": {}}) + "\n")
    with pytest.raises(ValueError, match="new-row has neither a recipe nor a reason"):
        load_cases(file)


def test_a_recipe_without_its_row_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("")
    with pytest.raises(ValueError, match="no row for the recipes"):
        load_cases(file)


def test_no_recipe_is_shadowed_by_a_reason_that_is_meant_for_it_alone() -> None:
    assert not set(recipes()) & set(REASONS)
    assert reason_for("torchtune-x") is not None
    assert reason_for("cs336-charan-x") is None


@pytest.mark.parametrize("make", MODELS)
def test_a_hand_written_model_trains(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = make(SHAPE, "cpu")
    for tensor in (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())):
        nn.init.normal_(tensor, std=0.1)
    for buffer in model.buffers():
        if buffer.dtype == torch.bool:
            buffer.copy_(torch.tril(torch.ones_like(buffer)))
    ids = torch.randint(0, 50, (3, 6))
    logits = model(ids)
    assert logits.shape == (3, 6, 50)
    cross_entropy(logits, ids).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("make", [CourseAdamW, PlainAdamW, InPlaceAdamW])
def test_a_hand_written_optimizer_moves_against_the_gradient(make: type[torch.optim.Optimizer]) -> None:
    weight = nn.Parameter(torch.full((3,), 5.0))
    optimizer = make([weight])
    for _ in range(3):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert (weight < 5.0).all()


def test_both_projections_compute_the_same_and_one_stores_it_transposed() -> None:
    x, w = torch.randn(2, 3, 4), torch.randn(5, 4)
    torch.testing.assert_close(project_weight_first(w, x), project(x, w))
    assert project(x, w).is_contiguous()
    assert project_weight_first(w, x).stride(-1) == 6
