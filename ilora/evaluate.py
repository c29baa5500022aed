"""What a trained teacher is worth: answers it writes, titles it finds likely, items it ranks high.

Every sample counts, whatever the batch size and the number of ranks; the sums of all ranks are added before a rate or
an interval is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ilora.data.batch import Batch
from ilora.data.records import Catalogue
from ilora.distributed import sum_over_ranks
from ilora.metrics import target_ranks, wilson_interval
from ilora.model import ILoRATeacher
from ilora.scoring import answer_log_likelihoods, generate_answers
from ilora.tokenizer import TextTokenizer

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """A rate over samples with its 95 % interval, or a mean without one.

    Attributes:
        name: for example hr1_generation.
        value: the rate or mean.
        num_samples: samples it is over.
        num_correct: hits, for rates; None for means such as NDCG.
        chance: what guessing would reach, where that is known.
        note: how it was counted.
    """

    name: str
    value: float
    num_samples: int
    num_correct: int | None = None
    chance: float | None = None
    note: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson interval of a rate."""
        return None if self.num_correct is None else wilson_interval(self.num_correct, self.num_samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One sample's outcome, as written to predictions.jsonl."""

    row: int
    metric: str
    answer: str
    target: str
    valid: bool
    correct: bool


def judge_answer(answer: str, candidates: Sequence[str], target: int, *, substring_only: bool) -> tuple[bool, bool]:
    """Decide whether a written answer names exactly one candidate, and whether that is the target.

    An answer equal to one candidate's title names it. Otherwise (and always, with `substring_only`, as the release
    does it) the titles it contains count, and it is valid iff there is exactly one. Case and outer blanks are ignored.

    Returns:
        (valid, correct)
    """
    line = answer.strip().split("\n")[0].strip().lower()
    titles = [title.strip().lower() for title in candidates]
    if not substring_only and titles.count(line) == 1:
        return True, titles.index(line) == target
    named = [index for index, title in enumerate(titles) if title in line]
    return len(named) == 1, named == [target]


@torch.inference_mode()
def evaluate_generation(
    teacher: ILoRATeacher,
    batches: Iterable[Batch],
    tokenizer: TextTokenizer,
    catalogue: Catalogue,
    *,
    chance: float | None,
    max_new_tokens: int,
    reference: bool,
    progress: Progress,
) -> tuple[list[MetricResult], list[Prediction]]:
    """HR@1 and valid ratio by greedy generation, as in the paper.

    Args:
        teacher: put into eval mode here.
        batches: prompts without answers, left-padded.
        tokenizer: decodes.
        catalogue: titles.
        chance: hit rate of guessing.
        max_new_tokens: longest answer.
        reference: count and stop as the release does (no stop at the newline, substring matches only).
        progress: told the metric and the samples done.

    Returns:
        hr1_generation (correct / all), hr1_generation_valid (correct / valid), valid_ratio; and the predictions.
    """
    teacher.eval()
    predictions: list[Prediction] = []
    for batch in batches:
        answers = generate_answers(
            teacher, batch, tokenizer, max_new_tokens=max_new_tokens, stop_at_newline=not reference
        )
        for index, answer in enumerate(answers):
            titles = [catalogue.titles[item] for item in batch.candidates[index].tolist()]
            target = int(batch.target_index[index])
            valid, correct = judge_answer(answer, titles, target, substring_only=reference)
            predictions.append(
                Prediction(
                    row=int(batch.rows[index]),
                    metric="generation",
                    answer=answer,
                    target=catalogue.titles[int(batch.targets[index])],
                    valid=valid,
                    correct=correct,
                )
            )
        progress("generation", len(predictions))
    num, valid_count, correct_count = _sums(
        len(predictions), sum(p.valid for p in predictions), sum(p.correct for p in predictions)
    )
    results = [
        _rate("hr1_generation", correct_count, num, chance=chance, note="correct / all samples"),
        _rate("valid_ratio", valid_count, num, note="answers that name exactly one candidate / all samples"),
    ]
    if valid_count:
        results.append(_rate("hr1_generation_valid", correct_count, valid_count, note="correct / valid answers"))
    return results, predictions


@torch.inference_mode()
def evaluate_scoring(
    teacher: ILoRATeacher,
    batches: Iterable[Batch],
    answers: Callable[[int], list[int]],
    catalogue: Catalogue,
    *,
    chance: float | None,
    progress: Progress,
) -> tuple[list[MetricResult], list[Prediction]]:
    """HR@1 by likelihood: the candidate whose title (and end of line) the teacher finds most likely.

    Args:
        teacher: put into eval mode here.
        batches: prompts without answers.
        answers: item id -> token ids of its answer.
        catalogue: titles.
        chance: hit rate of guessing.
        progress: told the metric and the samples done.
    """
    teacher.eval()
    predictions: list[Prediction] = []
    for batch in batches:
        scores = answer_log_likelihoods(teacher, batch, answers)
        for index, best in enumerate(scores.argmax(dim=1).tolist()):
            item = int(batch.candidates[index, best])
            predictions.append(
                Prediction(
                    row=int(batch.rows[index]),
                    metric="scoring",
                    answer=catalogue.titles[item],
                    target=catalogue.titles[int(batch.targets[index])],
                    valid=True,
                    correct=best == int(batch.target_index[index]),
                )
            )
        progress("scoring", len(predictions))
    num, correct = _sums(len(predictions), sum(p.correct for p in predictions))
    note = "the most likely of the candidate titles is the target / all samples"
    return [_rate("hr1_scoring", correct, num, chance=chance, note=note)], predictions


@torch.inference_mode()
def evaluate_items(
    teacher: ILoRATeacher, batches: Iterable[Batch], *, top_k: int, progress: Progress
) -> list[MetricResult]:
    """HR@k and NDCG@k of the item head over the whole catalogue, items of the history excluded.

    A tie counts against the target: it ranks below every item with an equal score.
    """
    teacher.eval()
    cutoffs = sorted({1, 5, top_k})
    ranks: list[int] = []
    for batch in batches:
        on_device = batch.to(teacher.device)
        scores = teacher.item_logits(teacher.hidden_states(on_device), on_device)
        ranks += catalogue_ranks(scores, on_device).tolist()
        progress("ranking", len(ranks))
    placed = np.asarray(ranks, dtype=np.int64)
    gains = 1.0 / np.log2(placed + 2.0)
    results = []
    num_items = teacher.recommender.num_items
    for k in cutoffs:
        num, hits = _sums(len(placed), int((placed < k).sum()))
        (ndcg,) = sum_over_ranks(float(gains[placed < k].sum()))
        note = "rank over the catalogue without the history"
        results.append(_rate(f"hr@{k}", hits, num, chance=k / num_items, note=note))
        results.append(MetricResult(name=f"ndcg@{k}", value=ndcg / num, num_samples=num, note=note))
    return results


def catalogue_ranks(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Rank of each target among (B, num_items) scores, (B,); items of the history are left out."""
    padded = torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)  # a place for the histories' pad id
    unseen = padded.scatter(1, batch.history, float("-inf"))[:, :-1]
    return target_ranks(unseen, batch.targets)


def _rate(name: str, correct: int, num: int, *, chance: float | None = None, note: str = "") -> MetricResult:
    return MetricResult(name=name, value=correct / num, num_samples=num, num_correct=correct, chance=chance, note=note)


def _sums(*counts: int) -> tuple[int, ...]:
    return tuple(int(total) for total in sum_over_ranks(*counts))
