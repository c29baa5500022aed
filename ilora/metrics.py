"""Measures of ranking quality, and how far a measured share can be trusted.

A rank counts from 0: how many candidates stand before the target.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ranks = npt.NDArray[np.int64]

Z_95 = 1.959964
"""Two-sided 95 % quantile of the standard normal distribution."""


def wilson_interval(num_correct: int, num_samples: int, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval (low, high) of a share, for `num_correct` of `num_samples` independent samples.

    Wilson's score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    J. Am. Stat. Assoc. 22 (1927) 209-212. Unlike the normal approximation it stays within 0..1 and is honest at
    shares near 0 or 1 and for few samples.

    Raises:
        ValueError: no samples, or more correct than samples.
    """
    if num_samples < 1 or not 0 <= num_correct <= num_samples:
        raise ValueError(f"an interval needs samples and 0 <= correct <= samples, got {num_correct} of {num_samples}")
    share, spread = num_correct / num_samples, z * z / num_samples
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / num_samples + spread / (4 * num_samples)) / (1 + spread)
    # At the ends the bound is exact; rounding would leave 1e-18 below zero.
    low = 0.0 if num_correct == 0 else centre - half
    high = 1.0 if num_correct == num_samples else centre + half
    return low, high


def target_ranks(scores: Tensor, target_index: Tensor) -> Tensor:
    """Rank (N,) of the column `target_index` (N,) in each row of `scores` (N, C).

    Ties and scores that are not a number count against the target: a model that scores everything alike knows nothing.
    """
    target = scores.gather(1, target_index.unsqueeze(1))
    return torch.logical_not(scores < target).sum(1) - 1


def hr_at_k(ranks: Ranks, k: int) -> float:
    """Share of `ranks` (N,) below `k`: how often the target is among the first k. Hit ratio, or recall of one item.

    Raises:
        ValueError: no ranks, or k < 1.
    """
    _check(ranks, k)
    return float(np.mean(ranks < k))


def ndcg_at_k(ranks: Ranks, k: int) -> float:
    """Mean of 1 / log2(rank + 2) where rank < k, else 0: normalised discounted cumulative gain of one relevant item.

    Jarvelin & Kekalainen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20 (2002); with one relevant
    item the ideal gain is 1.

    Raises:
        ValueError: no ranks, or k < 1.
    """
    _check(ranks, k)
    return float(np.mean(np.where(ranks < k, 1.0 / np.log2(ranks + 2.0), 0.0)))


def _check(ranks: Ranks, k: int) -> None:
    if len(ranks) == 0:
        raise ValueError("no ranks to average")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
