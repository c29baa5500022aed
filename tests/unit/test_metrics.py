"""Ranking measures against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ilora.metrics import hr_at_k, ndcg_at_k, target_ranks, wilson_interval


@pytest.mark.parametrize(
    ("num_correct", "num_samples", "low", "high"),
    [
        # z = 1.959964, z^2 = 3.841459; worked by hand from the formula and agreeing with published tables.
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (5, 10, 0.23659, 0.76341),
        (1, 20, 0.00888, 0.23613),
        (64, 122, 0.43658, 0.61110),
    ],
)
def test_wilson_intervals_match_hand_computed_ones(num_correct: int, num_samples: int, low: float, high: float) -> None:
    assert wilson_interval(num_correct, num_samples) == pytest.approx((low, high), abs=1e-5)


def test_the_interval_is_where_the_share_is_z_standard_errors_away() -> None:
    for bound in wilson_interval(17, 40):
        standard_error = math.sqrt(bound * (1 - bound) / 40)
        assert abs(17 / 40 - bound) == pytest.approx(1.959964 * standard_error, rel=1e-9)


@pytest.mark.parametrize(("num_correct", "num_samples"), [(0, 0), (3, 2), (-1, 5)])
def test_an_impossible_share_has_no_interval(num_correct: int, num_samples: int) -> None:
    with pytest.raises(ValueError, match="samples"):
        wilson_interval(num_correct, num_samples)


def test_hit_ratio_and_gain_of_four_ranks() -> None:
    ranks = np.array([0, 2, 9, 10])

    assert hr_at_k(ranks, 1) == 0.25
    assert hr_at_k(ranks, 10) == 0.75
    # 1/log2(2) = 1, 1/log2(4) = 0.5, 1/log2(11) = 0.289065, beyond k: 0.
    assert ndcg_at_k(ranks, 10) == pytest.approx((1 + 0.5 + 0.2890648) / 4, abs=1e-7)
    assert ndcg_at_k(ranks, 1) == 0.25


def test_measures_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no ranks"):
        hr_at_k(np.array([], dtype=np.int64), 1)
    with pytest.raises(ValueError, match="k must"):
        ndcg_at_k(np.array([0]), 0)


def test_a_rank_counts_what_stands_before_the_target() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]])

    assert target_ranks(scores, torch.tensor([2, 0])).tolist() == [1, 0]


def test_ties_and_nans_count_against_the_target() -> None:
    nan = float("nan")
    scores = torch.tensor([[1.0, 1.0, 1.0], [nan, nan, nan], [2.0, nan, 1.0]])

    assert target_ranks(scores, torch.tensor([0, 1, 0])).tolist() == [2, 2, 1]
