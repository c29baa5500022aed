"""Small models with random weights, and made-up data: what the scripts of this folder share."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM


def opt(layers: int = 2, hidden: int = 256, vocab: int = 4096, positions: int = 2048, **settings: object) -> OPTForCausalLM:
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
    return OPTForCausalLM(config)


def llama(layers: int = 2, hidden: int = 256, vocab: int = 4096, positions: int = 2048, **settings: object) -> LlamaForCausalLM:
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
    return LlamaForCausalLM(config)


class Titles(Dataset):
    """Sentences of token ids, `length` tokens each."""

    def __init__(self, count: int, length: int, vocab: int = 4096, seed: int = 0) -> None:
        made = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(5, vocab, (count, length), generator=made)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.ids[index]
