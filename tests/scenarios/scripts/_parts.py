"""Small models with random weights, and made-up data: what the scripts of this folder share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM


@contextmanager
def repeated_numbers() -> Iterator[None]:
    """Weights from one block of random numbers, again and again: drawing each anew takes longer than training."""
    block = torch.randn(1 << 16)
    plain = torch.Tensor.normal_, torch.Tensor.uniform_

    def normal_(weight: Tensor, mean: float = 0.0, std: float = 1.0, **_: object) -> Tensor:
        rows = math.ceil(weight.numel() / len(block))
        return weight.copy_((block * std + mean).expand(rows, -1).reshape(-1)[: weight.numel()].view(weight.shape))

    def uniform_(weight: Tensor, low: float = 0.0, high: float = 1.0, **_: object) -> Tensor:
        return normal_(weight, (low + high) / 2, (high - low) / math.sqrt(12))

    torch.Tensor.normal_, torch.Tensor.uniform_ = normal_, uniform_
    try:
        yield
    finally:
        torch.Tensor.normal_, torch.Tensor.uniform_ = plain


def opt(layers: int = 2, hidden: int = 256, vocab: int = 4096, positions: int = 2048, **settings) -> OPTForCausalLM:
    """OPT's shape."""
    config = OPTConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        word_embed_proj_dim=hidden,
        ffn_dim=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        max_position_embeddings=positions,
        dropout=0.0,
        **settings,
    )
    with repeated_numbers():
        return OPTForCausalLM(config)


def llama(layers: int = 2, hidden: int = 256, vocab: int = 4096, positions: int = 4096, **settings) -> LlamaForCausalLM:
    """Llama's shape."""
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        num_key_value_heads=max(1, hidden // 64),
        max_position_embeddings=positions,
        **settings,
    )
    with repeated_numbers():
        return LlamaForCausalLM(config)


class SasRec(nn.Module):
    """A small recommender: attention over the items of a history."""

    def __init__(self, items: int, width: int = 64, length: int = 50, layers: int = 2) -> None:
        super().__init__()
        self.items = nn.Embedding(items + 1, width, padding_idx=0)
        self.places = nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, 2, 4 * width, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, layers)

    def forward(self, history: Tensor) -> Tensor:
        """Histories (B, L) -> states (B, L, width)."""
        places = torch.arange(history.shape[1], device=history.device)
        return self.layers(self.items(history) + self.places(places))


class Titles(Dataset):
    """Sentences of token ids, `length` tokens each."""

    def __init__(self, count: int, length: int, vocab: int = 4096, seed: int = 0) -> None:
        made = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(5, vocab, (count, length), generator=made)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        return self.ids[index]


class Prompts(Dataset):
    """Prompts of differing lengths; the last few tokens of each are the answer, which alone has labels."""

    def __init__(self, count: int, shortest: int, longest: int, vocab: int = 4096, answer: int = 8) -> None:
        made = torch.Generator().manual_seed(0)
        lengths = torch.randint(shortest, longest + 1, (count,), generator=made).tolist()
        self.ids = [torch.randint(5, vocab, (length,), generator=made) for length in lengths]
        self.answer = answer

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        ids = self.ids[index]
        labels = ids.clone()
        labels[: -self.answer] = -100
        return {"input_ids": ids, "labels": labels}


class Histories(Dataset):
    """What users looked at, and what came next."""

    def __init__(self, count: int, items: int, length: int = 50) -> None:
        made = torch.Generator().manual_seed(0)
        self.history = torch.randint(1, items + 1, (count, length), generator=made)
        self.following = torch.randint(1, items + 1, (count,), generator=made)

    def __len__(self) -> int:
        return len(self.history)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.history[index], self.following[index]


def loss_of_answers(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """The loss of a causal language model, with logits where a label is."""
    hidden = model.model.decoder(input_ids=ids).last_hidden_state[:, :-1]
    wanted = labels[:, 1:] != -100
    return F.cross_entropy(model.lm_head(hidden[wanted]).float(), labels[:, 1:][wanted])
