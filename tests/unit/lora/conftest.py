"""Tiny language models, and the per-expert formula as an oracle."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel

PerExpert = Callable[..., Tensor]
MakeModel = Callable[..., PreTrainedModel]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def per_expert_update(repo_root: Path) -> PerExpert:
    """The formulation the benchmark compares with: every expert's output in full."""
    update: PerExpert = runpy.run_path(str(repo_root / "benchmarks" / "naive_moe_lora.py"))["per_expert_update"]
    return update


@pytest.fixture
def make_llama() -> MakeModel:
    def make(num_layers: int = 2, dtype: torch.dtype = torch.float64, tie: bool = False) -> PreTrainedModel:
        torch.manual_seed(7)
        config = LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=tie,
            pad_token_id=0,
        )
        return LlamaForCausalLM(config).to(dtype).eval()

    return make


@pytest.fixture
def make_opt() -> MakeModel:
    def make(num_layers: int = 2, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
        torch.manual_seed(7)
        config = OPTConfig(
            vocab_size=50,
            hidden_size=32,
            ffn_dim=48,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            max_position_embeddings=64,
            word_embed_proj_dim=32,
            dropout=0.0,
        )
        return OPTForCausalLM(config).to(dtype).eval()

    return make


@pytest.fixture
def randomise_b() -> Callable[[nn.Module], None]:
    """Gives every `lora_B` values, so that adapters do something."""

    def randomise(model: nn.Module) -> None:
        torch.manual_seed(3)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.3)

    return randomise
