"""Answers from a teacher: greedily written ones, and the likelihood of given ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ilora.data.batch import Batch
from ilora.lora import use_users
from ilora.model import ILoRATeacher
from ilora.tokenizer import TextTokenizer


@torch.inference_mode()
def generate_answers(
    teacher: ILoRATeacher, batch: Batch, tokenizer: TextTokenizer, *, max_new_tokens: int, stop_at_newline: bool = True
) -> list[str]:
    """Write one answer a sample, greedily and with a KV cache, to the end of the line.

    Args:
        teacher: in eval mode.
        batch: left-padded prompts (with right padding, shorter prompts would go on from a pad).
        tokenizer: decodes, and knows which tokens end an answer.
        max_new_tokens: longest answer.
        stop_at_newline: end an answer at its newline instead of at the model's own end.
    """
    batch = batch.to(teacher.device)
    stops = tokenizer.stop_ids if stop_at_newline else (tokenizer.eos_id,)
    with use_users(teacher.llm, teacher.users(batch)):
        tokens = cast("Any", teacher.causal_lm).generate(
            inputs_embeds=teacher.embed(batch),
            attention_mask=batch.attention_mask,
            do_sample=False,
            num_beams=1,
            min_new_tokens=1,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(stops),
            pad_token_id=tokenizer.pad_id,
            use_cache=True,
        )
    return [tokenizer.decode(row) for row in tokens.tolist()]


@torch.inference_mode()
def answer_log_likelihoods(teacher: ILoRATeacher, batch: Batch, answers: Callable[[int], Sequence[int]]) -> Tensor:
    """Log-likelihood of each candidate's answer after its prompt: (B, C), float32.

    A sample is read as one sequence, the prompt and then its C answers side by side: each answer sees the prompt and
    itself, so the prompt is read once and no token is padding. The likelihood is of the whole answer, the end of the
    line included, so that a title is not favoured for being the beginning of another; it is not divided by the length.

    Args:
        teacher: in eval mode; its attention must take a mask of its own (sdpa and eager do).
        batch: prompts, padded on any side.
        answers: item id -> token ids of its answer.
    """
    batch = batch.to(teacher.device)
    embeds, users = teacher.embed(batch), teacher.users(batch)
    rows = []
    for index in range(len(batch)):
        prompt = embeds[index, batch.attention_mask[index].bool()]
        tokens = [torch.tensor(answers(item), device=prompt.device) for item in batch.candidates[index].tolist()]
        rows.append(_side_by_side(teacher, prompt, users[index : index + 1], tokens))
    return torch.stack(rows)


def _side_by_side(teacher: ILoRATeacher, prompt: Tensor, user: Tensor, answers: Sequence[Tensor]) -> Tensor:
    """Log-likelihoods (C,) of C answers after one prompt (P, E)."""
    num_prompt, device = len(prompt), prompt.device
    lengths = torch.tensor([len(answer) for answer in answers], device=device)
    # Each answer's last token is predicted, never read.
    read = torch.cat([answer[:-1] for answer in answers])
    owner = torch.arange(len(answers), device=device).repeat_interleave(lengths - 1)
    within = torch.cat([torch.arange(len(answer) - 1, device=device) for answer in answers])
    embeds = torch.cat([prompt, teacher.causal_lm.get_input_embeddings()(read)])
    with use_users(teacher.llm, user):
        hidden = teacher.backbone(
            inputs_embeds=embeds[None],
            attention_mask=_branching_mask(num_prompt, owner, embeds.dtype),
            position_ids=torch.cat([torch.arange(num_prompt, device=device), num_prompt + within])[None],
            use_cache=False,
        ).last_hidden_state[0]
    # A first token is predicted by the prompt's last state, every other one by the state of the token before it.
    answer_of = torch.arange(len(answers), device=device).repeat_interleave(lengths)
    is_first = torch.cat([torch.arange(len(answer), device=device) == 0 for answer in answers])
    # Read tokens stand behind the prompt in order; one fewer was read than predicted for each answer so far.
    predicting = torch.arange(len(answer_of), device=device) - 1 - answer_of + num_prompt
    predicting[is_first] = num_prompt - 1
    logits = teacher.causal_lm.get_output_embeddings()(hidden[predicting]).float()
    picked = logits.log_softmax(dim=-1).gather(1, torch.cat(list(answers))[:, None])[:, 0]
    totals: Tensor = picked.new_zeros(len(answers)).index_add_(0, answer_of, picked)
    return totals


def _branching_mask(num_prompt: int, owner: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention mask (1, 1, T, T): causal, and an answer sees the prompt and itself alone."""
    branch = torch.cat([owner.new_full((num_prompt,), -1), owner])
    visible = ((branch[None] == -1) | (branch[None] == branch[:, None])).tril()
    mask = torch.zeros(visible.shape, dtype=dtype, device=owner.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[None, None]
