"""Recipes for the rows recorded with transformers models: one device, plain PyTorch kernels, shapes that are stated.

The models are transformers' own with random weights; the loss and the step are written out, as the trainers of that
time did them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cases.case import Held, Program, nothing
from benchmarks.cases.recipe import Recipe

LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def llama_like(model_type: str, **sizes: Any) -> dict[str, Any]:
    return {"model_type": model_type, "tie_word_embeddings": False, "attention_dropout": 0.0, **sizes}


MISTRAL_7B = llama_like(
    "mistral", vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, sliding_window=None, max_position_embeddings=32768,
)  # fmt: skip
LLAMA_3_8B = llama_like(
    "llama", vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192,
)  # fmt: skip
LLAMA_2_70B = llama_like(
    "llama", vocab_size=32000, hidden_size=8192, intermediate_size=28672, num_hidden_layers=80,
    num_attention_heads=64, num_key_value_heads=8, max_position_embeddings=4096,
)  # fmt: skip
MIXTRAL_8X7B = llama_like(
    "mixtral", vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, num_local_experts=8, num_experts_per_tok=2,
    max_position_embeddings=32768,
)  # fmt: skip
POWERLM_3B = llama_like(
    "granite", vocab_size=49152, hidden_size=2304, intermediate_size=9216, num_hidden_layers=40,
    num_attention_heads=36, num_key_value_heads=36, max_position_embeddings=4096,
) | {"tie_word_embeddings": True}  # fmt: skip
SANTACODER = {
    "model_type": "gpt_bigcode", "vocab_size": 49280, "n_embd": 2048, "n_layer": 24, "n_head": 16, "n_inner": 8192,
    "n_positions": 2048, "multi_query": True, "attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1,
    "tie_word_embeddings": True,
}  # fmt: skip
CEREBRAS_111M = {
    "model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 10, "n_head": 12, "n_inner": 3072,
    "n_positions": 2048, "activation_function": "gelu", "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
    "tie_word_embeddings": True,
}  # fmt: skip
GPT_NEO_125M = {
    "model_type": "gpt_neo", "vocab_size": 50257, "hidden_size": 768, "num_layers": 12, "num_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 2048, "attention_types": [[["global", "local"], 6]],
    "attention_dropout": 0.0, "embed_dropout": 0.0, "resid_dropout": 0.0, "tie_word_embeddings": True,
}  # fmt: skip


def model_of(arch: dict[str, Any], dtype: torch.dtype, device: str, attention: str = "sdpa") -> Any:
    """A causal language model with random weights, made on the device, in training mode."""
    from ilora.llm.random_weights import build_random

    return build_random(arch, dtype=dtype, device=device, attn_implementation=attention).train()


def packed_step(
    arch: dict[str, Any], batch: int, length: int, *, lora: bool, upcast: bool = True, keeps_logits: bool = True
) -> Callable[[str], Program]:
    """Three steps of a bf16 fine-tune with checkpointing on packed samples, from the loading of the model on.

    Args:
        arch: the model's configuration.
        batch: samples.
        length: tokens of each.
        lora: adapters instead of a full fine-tune.
        upcast: the loss is taken in float32.
        keeps_logits: the bf16 logits outlive the backward pass, as the outputs of newer stacks do.
    """

    def build(device: str) -> Program:
        held = Held()

        def window() -> None:
            held["model"] = model = model_of(arch, torch.bfloat16, device)
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
            base = model
            if lora:
                model.enable_input_require_grads()
                model, base = with_lora(model)
            params = [p for p in model.parameters() if p.requires_grad]
            held["optimizer"] = optimizer = torch.optim.AdamW(params, lr=1e-5, foreach=True)
            x = torch.randint(0, 1000, (batch, length), device=device)

            def step() -> None:
                loss, held["logits"] = shifted_loss(base, x, upcast=upcast, keeps_logits=keeps_logits)
                loss.backward()
                held.drop("logits")
                torch.nn.utils.clip_grad_norm_(params, 1.0)
                optimizer.step()
                optimizer.zero_grad()

            for _ in range(3):
                step()

        return Program(prepare=nothing, window=window)

    return build


def with_lora(model: Any) -> tuple[Any, Any]:
    """Wrapped by PEFT with r 16, and the model inside; the adapters are float32, as PEFT makes them by default."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=16, lora_alpha=16, lora_dropout=0.1, target_modules=LORA_TARGETS, task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, config)
    return wrapped, wrapped.get_base_model()


def shifted_loss(model: Any, x: Tensor, *, upcast: bool, keeps_logits: bool) -> tuple[Tensor, Tensor | None]:
    """Cross-entropy as transformers 4.45 and 4.48 took it, and the logits as the model made them if they are kept.

    Logits go to float32 (not in gpt_bigcode) and into a shifted contiguous copy. 4.45 forgets the bf16 ones at once,
    4.48 converts them in a function of its own, so that the caller holds them meanwhile.
    """
    hidden = model.base_model(input_ids=x, use_cache=False).last_hidden_state
    logits = model.get_output_embeddings()(hidden)
    kept = logits if keeps_logits else None
    if upcast:
        logits = logits.float()
    shifted = logits[..., :-1, :].contiguous()
    loss = F.cross_entropy(shifted.view(-1, shifted.shape[-1]), x[..., 1:].contiguous().view(-1))
    return loss, kept


def plain_step(arch: dict[str, Any], optimizer: str, batch: int, attention: str = "sdpa") -> Callable[[str], Program]:
    """Four float32 steps on samples of 128 tokens, labels as inputs, gradients dropped before each forward."""

    def build(device: str) -> Program:
        held = Held()

        def window() -> None:
            held["model"] = model = model_of(arch, torch.float32, device, attention)
            held["update"] = update = getattr(torch.optim, optimizer)(model.parameters(), lr=0.001)
            for _ in range(4):
                x = torch.zeros(batch, 128, dtype=torch.int64, device="cpu").to(device)
                mask = torch.ones(batch, 128, dtype=torch.int64, device="cpu").to(device)
                update.zero_grad()
                held["outputs"] = outputs = model(input_ids=x, attention_mask=mask, labels=x)
                outputs.loss.backward()
                update.step()

        return Program(prepare=nothing, window=window)

    return build


FLASH = (
    "Recorded with the flash-attn package; run here with PyTorch's own flash attention, and without the sliding "
    "window, which is as long as the samples and would cost a mask. "
)
KEPT = "Both figures of this stack (transformers 4.48) show one more bf16 copy of the logits, until backward is over. "
NVML = "NVML minus its first reading: reserved bytes, plus 0 to 250 MB of context, says the row. "
CONTEXT = (0, 250_000_000)
FUSED = "Recorded with fused kernels that need less; the parameters and their states alone exceed the card. "

RECIPES = (
    Recipe(
        id="fms-a100_80gb-009",
        build=packed_step(MISTRAL_7B, 4, 4096, lora=False),
        gpu="a100-80gb",
        family="hf bf16",
        notes=FLASH,
    ),
    Recipe(
        id="fms-a100_80gb-033",
        build=packed_step(MISTRAL_7B, 4, 4096, lora=True),
        gpu="a100-80gb",
        family="hf bf16",
        notes=FLASH + KEPT,
    ),
    Recipe(
        id="fms-a100_80gb_granite-009",
        build=packed_step(POWERLM_3B, 4, 4096, lora=True, keeps_logits=False),
        gpu="a100-80gb",
        family="hf bf16",
        notes=FLASH,
    ),
    Recipe(
        id="fms-a100_80gb-001",
        build=packed_step(SANTACODER, 4, 2048, lora=False, upcast=False),
        gpu="a100-80gb",
        family="hf bf16",
        notes=FLASH,
    ),
    Recipe(
        id="fms-a100_80gb-003",
        build=packed_step(SANTACODER, 8, 2048, lora=False, upcast=False),
        gpu="a100-80gb",
        family="hf bf16",
        notes=FLASH + KEPT,
    ),
    Recipe(
        id="fms-a100_80gb-021",
        build=packed_step(MIXTRAL_8X7B, 4, 4096, lora=False),
        gpu="a100-80gb",
        family="fits or not",
        notes=FUSED,
    ),
    Recipe(
        id="fms-a100_80gb-041",
        build=packed_step(MIXTRAL_8X7B, 4, 4096, lora=True),
        gpu="a100-80gb",
        family="fits or not",
    ),
    Recipe(
        id="fms-a100_80gb-051",
        build=packed_step(LLAMA_2_70B, 8, 4096, lora=True),
        gpu="a100-80gb",
        family="fits or not",
    ),
    Recipe(
        id="fms-a100_80gb_liger-003",
        build=packed_step(LLAMA_3_8B, 16, 4096, lora=False),
        gpu="a100-80gb",
        family="fits or not",
        notes=FUSED,
    ),
    Recipe(
        id="xmem-cerebras-cerebras-gpt-111m_sgd_50_1_8-48df",
        build=plain_step(CEREBRAS_111M, "SGD", 50),
        gpu="rtx-3060",
        family="nvml fp32",
        outside_bytes=CONTEXT,
        torch_version="2.6.0",
        notes=NVML,
    ),
    Recipe(
        id="xmem-eleutherai-gpt-neo-125m_adam_5_1_10-ee96",
        build=plain_step(GPT_NEO_125M, "Adam", 5, "eager"),
        gpu="rtx-3060",
        family="nvml fp32",
        outside_bytes=CONTEXT,
        torch_version="2.6.0",
        notes=NVML + "Its samples may be shorter than 128 tokens.",
    ),
    Recipe(
        id="xmem-eleutherai-gpt-neo-125m_adamw_35_1_10-0e19",
        build=plain_step(GPT_NEO_125M, "AdamW", 35, "eager"),
        gpu="rtx-3060",
        family="nvml fp32",
        outside_bytes=CONTEXT,
        torch_version="2.6.0",
        notes=NVML,
    ),
)
