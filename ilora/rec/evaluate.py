"""How well a recommender ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ilora.data.records import Sequences
from ilora.data.sampling import CandidateSampler
from ilora.metrics import Ranks, hr_at_k, ndcg_at_k, target_ranks
from ilora.rec.base import Recommender

BATCH_SIZE = 1024
"""Rows scored at once: (1024, num_items) logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingMetric:
    """One measure over a split.

    Attributes:
        name: `candidates_hr@1`, `catalogue_hr@K` or `catalogue_ndcg@K`.
        value: mean over samples.
        num_samples: rows it was measured on.
        num_correct: hits, for an interval; None where the measure is not a share of rows.
    """

    name: str
    value: float
    num_samples: int
    num_correct: int | None


def ranking_metrics(
    rec: Recommender, sequences: Sequences, sampler: CandidateSampler, *, top_k: int = 10, epoch: int = 0
) -> tuple[RankingMetric, ...]:
    """HR@1 among sampled candidates, HR@k and NDCG@k over the catalogue without the history.

    Args:
        rec: evaluated where it lies, in eval mode; its mode is restored.
        sequences: the split.
        sampler: candidates of the same split.
        top_k: the k.
        epoch: which of the sampler's candidate sets.

    Raises:
        ValueError: the split is empty.
    """
    if not len(sequences):
        raise ValueError("no rows to evaluate")
    sampled = candidate_ranks(rec, sequences, sampler, epoch=epoch)
    catalogue = catalogue_ranks(rec, sequences)
    return (
        _share("candidates_hr@1", sampled, 1),
        _share(f"catalogue_hr@{top_k}", catalogue, top_k),
        RankingMetric(
            name=f"catalogue_ndcg@{top_k}",
            value=ndcg_at_k(catalogue, top_k),
            num_samples=len(catalogue),
            num_correct=None,
        ),
    )


def candidate_ranks(rec: Recommender, sequences: Sequences, sampler: CandidateSampler, *, epoch: int = 0) -> Ranks:
    """Rank (N,) of each row's target among its candidates.

    Raises:
        ValueError: the sampler leaves the target out (compat=reference on LastFM), so that it has no rank.
    """
    if sampler.omits_target:
        raise ValueError("these candidates leave the target out (compat=reference): there is no HR@1 among them")
    chosen = sampler.sample(np.arange(len(sequences)), epoch)
    items, place = torch.from_numpy(chosen.items), torch.from_numpy(chosen.target_index)

    def rank(logits: Tensor, rows: slice) -> Tensor:
        return target_ranks(logits.gather(1, items[rows].to(logits.device)), place[rows].to(logits.device))

    return _ranks(rec, sequences, rank)


def catalogue_ranks(rec: Recommender, sequences: Sequences) -> Ranks:
    """Rank (N,) of each row's target among all items but those of its history."""
    history, targets = torch.from_numpy(sequences.history), torch.from_numpy(sequences.targets)

    def rank(logits: Tensor, rows: slice) -> Tensor:
        seen, target = history[rows].to(logits.device), targets[rows].to(logits.device)[:, None]
        # One more column takes the hits of the padding; the target keeps its score even if it was chosen before.
        scores = torch.cat([logits, logits.new_zeros(len(logits), 1)], dim=1).scatter(1, seen, -torch.inf)
        scores = scores[:, :-1].scatter(1, target, logits.gather(1, target))
        return target_ranks(scores, target[:, 0])

    return _ranks(rec, sequences, rank)


def _ranks(rec: Recommender, sequences: Sequences, rank: Callable[[Tensor, slice], Tensor]) -> Ranks:
    history, lengths = torch.from_numpy(sequences.history), torch.from_numpy(sequences.lengths)
    device = rec.s_fc.weight.device
    parts = []
    with _eval_mode(rec), torch.no_grad():
        for start in range(0, len(sequences), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            parts.append(rank(rec(history[rows].to(device), lengths[rows].to(device)), rows))
    ranks: Ranks = torch.cat(parts).cpu().numpy()
    return ranks


@contextmanager
def _eval_mode(rec: Recommender) -> Iterator[None]:
    training = rec.training
    rec.eval()
    try:
        yield
    finally:
        rec.train(training)


def _share(name: str, ranks: Ranks, k: int) -> RankingMetric:
    return RankingMetric(name=name, value=hr_at_k(ranks, k), num_samples=len(ranks), num_correct=int(np.sum(ranks < k)))
