"""The configured evaluation on the traced card: what a run does once its last step is done, by the trainer's own code.

Of what repeats itself only the beginning runs. The likelihoods of candidates are computed for one sample of a full
batch: the next samples ask for the same, after it was given back. Of the answers, the prompt is read and two tokens are
written after the first; `probes.estimate_eval_decode` prolongs them to the longest answer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch

from ilora.config import Config
from ilora.data.batch import Batch
from ilora.data.records import Sequences
from ilora.data.sampling import CandidateSampler
from ilora.evaluate import evaluate_items
from ilora.export import _outputs
from ilora.model import ILoRATeacher
from ilora.rec.evaluate import BATCH_SIZE, candidate_ranks
from ilora.scoring import answer_log_likelihoods, generate_answers
from ilora.tokenizer import TextTokenizer
from ilora_diag.schema.estimate import BASELINE, EXPORT, GENERATION, RANKING, SCORING
from probes.estimate_batch import answer_tokens, longest_batch

# Tokens that a candidate takes in a prompt beside its title, and the least that an item of the history takes.
_BESIDE_TITLE, _LEAST_HISTORY = 2, 3

NUM_TRACED = 3
"""Passes of generation that are run: the prompt's, and two of a token each."""


@dataclass(slots=True)
class Evaluated:
    """Where in the ledger what was run.

    Attributes:
        trained: events done when training was over.
        marks: (event, phase) where a part of the evaluation began.
        forwards: events done when each pass of generation began; the last one is where it was ended.
        num_passes: passes that a whole generation takes.
        whole: run all of them.
    """

    trained: int
    marks: list[tuple[int, str]] = field(default_factory=list)
    forwards: list[int] = field(default_factory=list)
    num_passes: int = 0
    whole: bool = False


class _EnoughError(Exception):
    """What comes now would ask for the same again."""


def evaluate(teacher: ILoRATeacher, config: Config, num_items: int, made: Evaluated, now: Callable[[], int]) -> None:
    """Evaluate as `ilora.evaluation_run` does, on the longest prompts. The teacher is left in train mode.

    Args:
        teacher: trained; where a loop has taken it from the card, nothing is asked of the card.
        config: the run's.
        num_items: of the catalogue.
        made: is told what was run.
        now: events in the ledger by now.
    """
    for phase, run in _parts(teacher, config, num_items, made, now):
        made.marks.append((now(), phase))
        teacher.eval()
        run()
    teacher.train()


def _parts(
    teacher: ILoRATeacher, config: Config, num_items: int, made: Evaluated, now: Callable[[], int]
) -> list[tuple[str, Callable[[], None]]]:
    """What is evaluated, in the order of a run, under the names of its progress."""
    batch = prompts(config, num_items)
    if config.model.head == "items":
        parts = [(RANKING, lambda: _rank(teacher, batch, config.eval.top_k))]
        if config.eval.export:
            parts.append((EXPORT, lambda: cast("None", _outputs(teacher, batch, config.eval.top_k))))
        return parts
    parts = [(BASELINE, lambda: _baseline(teacher, config, num_items))]
    if config.eval.scoring:
        parts.append((SCORING, lambda: _score(teacher, batch, config)))
    if config.eval.generation:
        parts.append((GENERATION, lambda: _generate(teacher, batch, config, made, now)))
    return parts


def title_tokens(config: Config) -> int:
    """Tokens of a title where every candidate's is as long as a prompt has room for, and an answer may be."""
    room = config.data.max_seq_len - 1 - _BESIDE_TITLE * config.data.num_candidates - _LEAST_HISTORY
    return max(1, min(answer_tokens(config) - 1, room // (config.data.num_candidates + 1)))


def prompts_tokens(config: Config) -> int:
    """Tokens of the longest prompt: room is left for an answer, a title and the newline."""
    return config.data.max_seq_len - title_tokens(config) - 1


def prompts(config: Config, num_items: int) -> Batch:
    """A batch of the longest prompts, padded on the left."""
    shorter = copy.deepcopy(config)
    shorter.data.max_seq_len = prompts_tokens(config)
    made = longest_batch(shorter, num_items, batch_size=config.eval.batch_size)
    mask = torch.ones_like(made.attention_mask)
    mask[1:, 0] = 0
    none, last = torch.zeros(0, dtype=torch.int64), torch.full_like(made.last_cols, mask.shape[1] - 1)
    return replace(
        made,
        attention_mask=mask,
        label_rows=none,
        label_cols=none,
        label_ids=none,
        label_counts=torch.zeros_like(made.label_counts),
        last_cols=last,
        num_tokens=int(mask.sum()),
    )


def _baseline(teacher: ILoRATeacher, config: Config, num_items: int) -> None:
    """The recommender alone, on as many rows as it ranks at once."""
    length = min(config.data.max_history, num_items - config.data.num_candidates)
    history = np.tile(np.arange(length, dtype=np.int64), (BATCH_SIZE, 1))
    rows, targets = np.arange(BATCH_SIZE, dtype=np.int64), np.full(BATCH_SIZE, length, dtype=np.int64)
    split = Sequences(history, np.full(BATCH_SIZE, length, dtype=np.int64), targets, rows)
    candidate_ranks(teacher.recommender, split, CandidateSampler(split, num_items, config.data.num_candidates, 0))


def _rank(teacher: ILoRATeacher, batch: Batch, top_k: int) -> None:
    """Two batches: the second begins with what is left of the first."""
    evaluate_items(teacher, [batch, batch], top_k=top_k, progress=lambda metric, done: None)


def _score(teacher: ILoRATeacher, batch: Batch, config: Config) -> None:
    """The candidates of the first sample."""
    answer, left = [0] * (title_tokens(config) + 1), config.data.num_candidates

    def answers(item: int) -> Sequence[int]:
        nonlocal left
        if not left:
            raise _EnoughError
        left -= 1
        return answer

    with suppress(_EnoughError):
        answer_log_likelihoods(teacher, batch, answers)


def _generate(teacher: ILoRATeacher, batch: Batch, config: Config, made: Evaluated, now: Callable[[], int]) -> None:
    """The prompt and the first tokens after it."""

    def begins(*call: Any) -> None:
        made.forwards.append(now())
        if len(made.forwards) > NUM_TRACED and not made.whole:
            raise _EnoughError

    made.num_passes = config.eval.max_new_tokens
    hook = teacher.causal_lm.register_forward_pre_hook(begins)
    try:
        with suppress(_EnoughError):
            generate_answers(
                teacher,
                batch,
                cast("TextTokenizer", _NeverEnding()),
                max_new_tokens=config.eval.max_new_tokens,
                stop_at_newline=config.compat != "reference",
            )
    finally:
        hook.remove()


class _NeverEnding:
    """A tokenizer none of whose tokens ends an answer, so that the longest one is written."""

    stop_ids = ((1 << 31) - 1,)
    eos_id = (1 << 31) - 1
    pad_id = 0

    def decode(self, ids: Sequence[int]) -> str:
        """Nobody reads it."""
        return ""
