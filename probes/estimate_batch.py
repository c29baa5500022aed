"""The longest batch a configuration allows, made without data or tokenizer.

What a step needs is decided by the shapes of its batch. The largest one has `data.max_seq_len` tokens a sample, a full
history, every candidate, and the longest answer. Samples of a real batch differ in length, so that their attention mask
has zeros and cannot be left out: one token is missing of all but the first.
"""

from __future__ import annotations

import torch

from ilora.config import Config
from ilora.data.batch import Batch

# Tokens an item takes in a prompt at the least: its title, its placeholder and a separator.
_LEAST_TOKENS_PER_ITEM = 3


def answer_tokens(config: Config) -> int:
    """Tokens of the longest answer, as far as a configuration tells: what generation may write."""
    return min(config.eval.max_new_tokens, config.data.max_seq_len // 2)


def placeholders(config: Config) -> int:
    """Items of the history and candidates of one sample, as many as its tokens have room for."""
    return min(config.data.max_history + config.data.num_candidates, config.data.max_seq_len // _LEAST_TOKENS_PER_ITEM)


def longest_batch(config: Config, num_items: int, *, batch_size: int | None = None) -> Batch:
    """A batch of the largest shapes, on the host. Ids are valid and mean nothing.

    Args:
        config: the run's.
        num_items: size of the catalogue.
        batch_size: samples, instead of `train.batch_size`.
    """
    B, S = batch_size or config.train.batch_size, config.data.max_seq_len
    K, L, C = placeholders(config), config.data.max_history, config.data.num_candidates
    T = 0 if config.model.head == "items" else answer_tokens(config)
    samples = torch.arange(B)
    mask = torch.ones(B, S, dtype=torch.int64)
    mask[1:, -1] = 0
    last = S - 1 - (samples > 0).long()
    label_rows = samples.repeat_interleave(T)
    return Batch(
        input_ids=torch.zeros(B, S, dtype=torch.int64),
        attention_mask=mask,
        placeholder_rows=samples.repeat_interleave(K),
        placeholder_cols=torch.arange(K).repeat(B),
        placeholder_items=torch.arange(B * K) % num_items,
        hybrid=True,
        label_rows=label_rows,
        label_cols=last[label_rows] - 1 - torch.arange(T).repeat(B),
        label_ids=torch.zeros(B * T, dtype=torch.int64),
        label_counts=torch.full((B,), T),
        last_cols=last,
        history=torch.arange(B * L).reshape(B, L) % num_items,
        history_lengths=torch.full((B,), L),
        targets=samples % num_items,
        candidates=torch.arange(B * C).reshape(B, C) % num_items,
        target_index=torch.zeros(B, dtype=torch.int64),
        rows=samples,
        num_tokens=int(mask.sum()),
    )


def shape_assumption(config: Config) -> str:
    """What was assumed of the batch, in words."""
    text = (
        f"every batch has samples of data.max_seq_len = {config.data.max_seq_len} tokens (all but one a token shorter, "
        f"so that a mask is needed), {config.data.max_history} items of history and {placeholders(config)} placeholders"
    )
    if config.model.head == "items":
        return text
    return f"{text}, and answers of {answer_tokens(config)} tokens (eval.max_new_tokens): the longest batch decides"
