"""Whatever the sizes: the fused update is the sum over experts, and so is its gradient."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.lora.function import gated_update

SIZE = st.integers(1, 9)
NAIVE = Path(__file__).resolve().parents[2] / "benchmarks" / "naive_moe_lora.py"
PER_EXPERT_UPDATE = runpy.run_path(str(NAIVE))["per_expert_update"]


@settings(max_examples=60, deadline=None)
@given(batch=SIZE, length=SIZE, sizes=st.tuples(SIZE, SIZE), experts=SIZE, rank_of_one=st.integers(1, 4), seed=SIZE)
def test_fused_update_equals_the_sum_over_experts(
    batch: int, length: int, sizes: tuple[int, int], experts: int, rank_of_one: int, seed: int
) -> None:
    torch.manual_seed(seed)
    in_features, out_features = sizes
    rank = experts * rank_of_one
    leaves = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((batch, length, in_features), (rank, in_features), (out_features, rank), (batch, experts))
    ]
    base, grad = torch.randn(2, batch, length, out_features, dtype=torch.float64)

    x, *others = leaves
    rows = x.view(batch * length, in_features)
    ours = gated_update(base.clone().view(batch * length, -1), rows, *others, scaling=2.0, dropout=0.0)
    formula = PER_EXPERT_UPDATE(base.clone(), *leaves, scaling=2.0)

    assert torch.allclose(ours.view_as(formula), formula, rtol=1e-12, atol=1e-12)
    actual = torch.autograd.grad(ours, leaves, grad.view_as(ours))
    for mine, theirs in zip(actual, torch.autograd.grad(formula, leaves, grad), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12 * rank * batch * length)
