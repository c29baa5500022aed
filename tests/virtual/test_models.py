"""Models of transformers train and generate, with masks, attention and checkpointing as CUDA would run them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ilora_diag.schema import Category
from probes.virtual import Machine, virtual_cuda

transformers = pytest.importorskip("transformers")

_SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _config(name: str, attention: str) -> Any:
    kinds: dict[str, Callable[[], Any]] = {
        "llama": lambda: transformers.LlamaConfig(**_SMALL),
        "mistral": lambda: transformers.MistralConfig(**_SMALL),
        "qwen2": lambda: transformers.Qwen2Config(**_SMALL),
        "gemma": lambda: transformers.GemmaConfig(**_SMALL),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64),
        "opt": lambda: transformers.OPTConfig(
            vocab_size=96,
            hidden_size=32,
            ffn_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            word_embed_proj_dim=32,
        ),
        "t5": lambda: transformers.T5Config(
            vocab_size=96, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
        ),
        "bert": lambda: transformers.BertConfig(
            vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
        ),
    }
    config = kinds[name]()
    config._attn_implementation = attention
    return config


def _model(name: str, attention: str = "sdpa") -> Any:
    auto = {"t5": transformers.AutoModelForSeq2SeqLM, "bert": transformers.AutoModelForMaskedLM}
    with torch.device("cuda"):
        return auto.get(name, transformers.AutoModelForCausalLM).from_config(
            _config(name, attention), attn_implementation=attention
        )


def _step(model: Any, optimizer: torch.optim.Optimizer, mask: torch.Tensor | None = None) -> float:
    ids = torch.arange(3, 35).reshape(2, 16).cuda()
    mask = torch.ones_like(ids) if mask is None else mask.cuda()
    loss = model(input_ids=ids, attention_mask=mask, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def _ops(card: Machine) -> set[str]:
    return {name.removeprefix("aten::").partition(".")[0] for name in card.ledger.ops}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "gemma", "gpt2", "opt", "t5", "bert"])
def test_models_train(card: Machine, name: str, attention: str) -> None:
    model = _model(name, attention).train()
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(3):
        _step(model, optimizer)
    settled = torch.cuda.memory_allocated()
    for _ in range(2):
        _step(model, optimizer)
    assert torch.cuda.memory_allocated() == settled
    fused = {op for op in _ops(card) if op.startswith("_scaled_dot_product")}
    if attention == "eager":
        assert fused == set()
        assert "_softmax" in _ops(card)
    elif name != "t5":  # its relative bias needs a gradient, which is what eager attention is for
        assert fused
    assert torch.cuda.max_memory_allocated() > settled


@pytest.mark.parametrize(("version", "has_fused"), [("2.13.0", False), ("2.14.1", True)])
def test_grouped_queries_in_full_precision_have_a_fused_kernel_from_2_14_on(version: str, has_fused: bool) -> None:
    """Before, torch has them in flash attention alone, which takes halves; whatever version is installed."""
    config = _config("llama", "sdpa")
    config.num_key_value_heads = 2
    with virtual_cuda("h100", torch_version=version, environ={}) as card:
        with torch.device("cuda"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        _step(model, torch.optim.SGD(model.parameters()))
        assert any("scaled_dot_product_efficient" in op for op in _ops(card)) is has_fused
        assert ("_safe_softmax" in _ops(card)) is not has_fused
        model.bfloat16()
        _step(model, torch.optim.SGD(model.parameters()))
        assert any("scaled_dot_product_cudnn" in op for op in _ops(card))


def _mask_blocks(card: Machine, model: Any, mask: torch.Tensor) -> list[str]:
    begin = len(card.ledger.sizes)
    with torch.no_grad():
        model(input_ids=torch.arange(3, 35).reshape(2, 16).cuda(), attention_mask=mask.cuda())
    return card.ledger.ops[begin:]


def test_a_mask_of_ones_is_dropped_and_one_with_padding_is_used(card: Machine) -> None:
    model = _model("llama").eval()
    full, padded = torch.ones(2, 16, dtype=torch.long), torch.ones(2, 16, dtype=torch.long)
    padded[1, :5] = 0
    without, with_mask = _mask_blocks(card, model, full), _mask_blocks(card, model, padded)
    assert not any("bitwise_and" in op or "where" in op for op in without)
    assert len(with_mask) > len(without)
    assert any("and" in op for op in with_mask)


def _peak_activations(card: Machine) -> int:
    live = most = 0
    for event in card.ledger.events:
        number = abs(event)
        if card.ledger.category(number) in (Category.ACTIVATION, Category.TEMPORARY):
            live += card.ledger.sizes[number] if event > 0 else -card.ledger.sizes[number]
            most = max(most, live)
    return most


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_checkpointing_saves_memory_and_recomputes(card: Machine, use_reentrant: bool, autocast: bool) -> None:
    def train(checkpointing: bool) -> tuple[int, set[str]]:
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated()
        config = _config("llama", "sdpa")
        config.num_hidden_layers, config.attention_dropout = 6, 0.1
        with torch.device("cuda"):
            model = transformers.AutoModelForCausalLM.from_config(config).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            model.enable_input_require_grads()
        optimizer = torch.optim.AdamW(model.parameters())
        begin = len(card.ledger.sizes)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=autocast):
            for _ in range(2):
                _step(model, optimizer)
        phases = set(card.ledger.phases[begin:])
        peak = torch.cuda.max_memory_allocated() - base
        return peak, phases

    plain, plain_phases = train(False)
    saved, phases = train(True)
    assert "recompute" not in plain_phases
    assert {"forward", "recompute", "backward", "optimizer"} <= phases
    assert saved < plain


def test_checkpointing_by_hand_saves_what_recomputing_saves(card: Machine) -> None:
    """torch compares the saved tensors of both passes itself; it raises CheckpointError where they differ."""
    from torch.utils.checkpoint import checkpoint

    block = torch.nn.Sequential(
        torch.nn.Linear(8, 8), torch.nn.Dropout(0.5), torch.nn.Softmax(-1), torch.nn.LayerNorm(8)
    ).cuda()
    for reentrant in (False, True):
        given = torch.randn(4, 8, device="cuda", requires_grad=True)
        checkpoint(block, given, use_reentrant=reentrant).sum().backward()
        assert given.grad is not None
        assert given.grad.is_cuda


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
def test_generation_fills_a_cache(card: Machine, name: str, context: Any) -> None:
    model = _model(name).eval()
    before = torch.cuda.memory_allocated()
    ids = torch.arange(3, 11).reshape(1, 8).cuda()
    with context():
        out = model.generate(input_ids=ids, max_new_tokens=5, min_new_tokens=5, do_sample=False, use_cache=True)
    assert out.is_cuda
    assert out.shape[1] == (6 if name == "t5" else 13)
    del out, ids
    gc.collect()
    workspaces = sum(
        card.ledger.sizes[number]
        for number, kind in card.ledger.fixed.items()
        if kind is Category.WORKSPACE and card.ledger.freed_in[number] is None
    )
    assert torch.cuda.memory_allocated() == before + workspaces


def test_sampling_runs_to_its_length(card: Machine) -> None:
    model = _model("llama").eval()
    out = model.generate(
        input_ids=torch.arange(3, 11).reshape(1, 8).cuda(), max_new_tokens=3, min_new_tokens=3, do_sample=True, top_k=5
    )
    assert out.shape == (1, 11)


def test_lora_of_peft_trains_its_adapters_alone(card: Machine) -> None:
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(_model("llama"), peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"])).cuda()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.is_cuda for parameter in model.parameters())
    optimizer = torch.optim.AdamW(trainable)
    for _ in range(2):
        _step(model, optimizer)
    states = [number for number, kind in card.ledger.fixed.items() if kind is Category.OPTIMIZER_STATE]
    wanted = 2 * sum(parameter.nbytes for parameter in trainable)
    live = sum(card.ledger.sizes[number] for number in states if card.ledger.freed_in[number] is None)
    assert live == wanted
