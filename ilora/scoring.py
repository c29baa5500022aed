"""Answers from a teacher: greedily written ones, and the likelihood of given ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ilora.data.batch import Batch
from ilora.lora import use_users
from ilora.model import ILoRATeacher, positions
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
    batch = batch.to(next(teacher.parameters()).device)
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

    The prompt is read once a sample; its cache is then shared by the sample's C answers, which are read as one batch.
    The likelihood is of the whole answer, the end of the line included, so that a title is not favoured for being the
    beginning of another; it is not divided by the length.

    Args:
        teacher: in eval mode.
        batch: prompts, padded on any side.
        answers: item id -> token ids of its answer.
    """
    batch = batch.to(next(teacher.parameters()).device)
    embeds, users = teacher.embed(batch), teacher.users(batch)
    rows = []
    for index in range(len(batch)):
        real = batch.attention_mask[index].bool()
        prompt = embeds[index : index + 1, real]
        tokens = [torch.tensor(answers(item), device=prompt.device) for item in batch.candidates[index].tolist()]
        rows.append(_continuations(teacher, prompt, users[index : index + 1], tokens))
    return torch.stack(rows)


def _continuations(teacher: ILoRATeacher, prompt: Tensor, user: Tensor, answers: Sequence[Tensor]) -> Tensor:
    """Log-likelihoods of C answers after one prompt (1, S, E): (C,)."""
    lengths = torch.tensor([len(answer) for answer in answers], device=prompt.device)
    tokens = pad_sequence(list(answers), batch_first=True)  # (C, T), right-padded
    num_answers, num_tokens = tokens.shape
    head = teacher.causal_lm.get_output_embeddings()
    with use_users(teacher.llm, user):
        read = teacher.backbone(inputs_embeds=prompt, use_cache=True)
    first = head(read.last_hidden_state[:, -1:]).expand(num_answers, -1, -1)
    read.past_key_values.batch_repeat_interleave(num_answers)
    mask = torch.arange(num_tokens, device=prompt.device) < lengths[:, None]
    seen = mask.new_ones(num_answers, prompt.shape[1])
    full_mask = torch.cat([seen, mask], dim=1).long()
    with use_users(teacher.llm, user.expand(num_answers, -1)):
        rest = teacher.backbone(
            inputs_embeds=teacher.causal_lm.get_input_embeddings()(tokens),
            attention_mask=full_mask,
            position_ids=positions(full_mask)[:, prompt.shape[1] :],
            past_key_values=read.past_key_values,
            use_cache=True,
        ).last_hidden_state
    logits = torch.cat([first, head(rest[:, :-1])], dim=1).float()  # (C, T, vocabulary)
    log_probabilities = logits.log_softmax(dim=-1).gather(2, tokens[..., None])[..., 0]
    return (log_probabilities * mask).sum(dim=1)
