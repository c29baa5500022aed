"""Builds what a workload trains, with random weights made on the device, and the batches it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.truth.workload import Workload

NUM_ITEMS = 1682  # the catalogue of ml-100k
HISTORY = 10
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Trainee:
    """A module that maps a batch to a loss, and where its batches come from.

    Attributes:
        module: on its device; `module(batch)` is the loss, a scalar.
        make_batch: a batch in host memory; has `.to(device)`.
    """

    module: nn.Module
    make_batch: Callable[[], Any]

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer is given."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]


@dataclass(frozen=True, slots=True)
class Tensors:
    """Host tensors that move together."""

    values: dict[str, Tensor]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Tensors:
        return Tensors({name: value.to(device, non_blocking=non_blocking) for name, value in self.values.items()})


class LmLoss(nn.Module):
    """transformers' own loss over the vocabulary."""

    def __init__(self, llm: nn.Module) -> None:
        super().__init__()
        self.llm = llm

    def forward(self, batch: Tensors) -> Tensor:
        values = batch.values
        output = self.llm(
            input_ids=values["input_ids"], attention_mask=values["attention_mask"], labels=values["input_ids"],
            use_cache=False,
        )  # fmt: skip
        loss: Tensor = output.loss
        return loss


class ItemsLoss(nn.Module):
    """Cross-entropy over a catalogue from the last token's hidden state."""

    def __init__(self, llm: Any, width: int, device: str) -> None:
        super().__init__()
        self.llm = llm
        self.item_head = nn.Linear(width, NUM_ITEMS, device=device)

    def forward(self, batch: Tensors) -> Tensor:
        values = batch.values
        base = self.llm.get_base_model() if hasattr(self.llm, "get_base_model") else self.llm
        hidden = base.base_model(
            input_ids=values["input_ids"], attention_mask=values["attention_mask"], use_cache=False
        ).last_hidden_state
        return F.cross_entropy(self.item_head(hidden[:, -1].float()), values["targets"])


class RecLoss(nn.Module):
    """A recommender's cross-entropy over the catalogue."""

    def __init__(self, recommender: nn.Module) -> None:
        super().__init__()
        self.recommender = recommender

    def forward(self, batch: Tensors) -> Tensor:
        values = batch.values
        return F.cross_entropy(self.recommender(values["history"], values["lengths"]), values["targets"])


def build(workload: Workload, device: str) -> Trainee:
    """The workload's model on the device, in training mode."""
    if workload.model == "sasrec":
        return _recommender(workload, device)
    llm, vocab = _language_model(workload, device)
    if workload.adapter == "moe":
        return _teacher(workload, llm, vocab, device)
    if workload.checkpointing:
        llm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    width = llm.get_output_embeddings().weight.shape[1]
    if workload.adapter == "lora":
        llm = _with_lora(llm)
    module = LmLoss(llm) if workload.head == "lm" else ItemsLoss(llm, width, device)
    return Trainee(module.train(), lambda: _token_batch(workload, vocab))


def _language_model(workload: Workload, device: str) -> tuple[Any, int]:
    from ilora.config import load_config
    from ilora.llm.random_weights import build_random

    arch = dict(load_config([f"llm={workload.model}"]).llm.arch)
    if workload.layers is not None:
        arch["num_hidden_layers"] = workload.layers
    dtype = DTYPES[workload.precision.removesuffix("-autocast") if not workload.autocast else "fp32"]
    llm = build_random(arch, dtype=dtype, device=device, attn_implementation=workload.attention)
    return llm, int(arch["vocab_size"])


def _with_lora(llm: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(llm, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"]))


def _teacher(workload: Workload, llm: Any, vocab: int, device: str) -> Trainee:
    from ilora.config.tree import RecConfig
    from ilora.lora import MoeLoraConfig
    from ilora.model import ILoRATeacher
    from ilora.rec import build_recommender

    recommender = build_recommender(RecConfig(arch="sasrec"), NUM_ITEMS, HISTORY).eval()
    config = MoeLoraConfig(
        r=8, lora_alpha=16, num_experts=4, target_modules=["q_proj", "v_proj"], gate="mlp",
        user_size=recommender.user_size,
    )  # fmt: skip
    llm = llm.eval().requires_grad_(False)
    teacher = ILoRATeacher(llm, recommender, config, head=workload.head).to(device)
    if workload.checkpointing:
        teacher.gradient_checkpointing_enable()
    return Trainee(teacher.train(), lambda: _prompt_batch(workload, vocab))


def _recommender(workload: Workload, device: str) -> Trainee:
    from ilora.config.tree import RecConfig
    from ilora.rec import build_recommender

    recommender = build_recommender(RecConfig(arch="sasrec"), NUM_ITEMS, workload.length).to(device)
    return Trainee(RecLoss(recommender).train(), lambda: Tensors(_histories(workload.batch, workload.length)))


def _mask(workload: Workload) -> Tensor:
    """(B, S): ones, with zeros at the end of every second sample if the workload is padded."""
    mask = torch.ones(workload.batch, workload.length, dtype=torch.int64, device="cpu")
    if workload.padded:
        mask[1::2, workload.length * 3 // 4 :] = 0
    return mask


def _histories(batch: int, length: int) -> dict[str, Tensor]:
    return {
        "history": torch.zeros(batch, length, dtype=torch.int64, device="cpu"),
        "lengths": torch.full((batch,), length, dtype=torch.int64, device="cpu"),
        "targets": torch.zeros(batch, dtype=torch.int64, device="cpu"),
    }


def _token_batch(workload: Workload, vocab: int) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, vocab, (workload.batch, workload.length), generator=generator, device="cpu")
    targets = torch.zeros(workload.batch, dtype=torch.int64, device="cpu")
    return Tensors({"input_ids": ids, "attention_mask": _mask(workload), "targets": targets})


def _prompt_batch(workload: Workload, vocab: int) -> Any:
    """A batch of the teacher's prompts: ten placeholders and eight answer tokens a sample."""
    from ilora.data.batch import Batch

    B, K, T = workload.batch, min(10, workload.length // 4), min(8, workload.length // 4)
    host = {"dtype": torch.int64, "device": "cpu"}
    mask = _mask(workload)
    last = mask.sum(dim=1) - 1
    rows = torch.arange(B, **host)
    histories = _histories(B, HISTORY)
    return Batch(
        input_ids=_token_batch(workload, vocab).values["input_ids"],
        attention_mask=mask,
        placeholder_rows=rows.repeat_interleave(K),
        placeholder_cols=torch.arange(K, **host).repeat(B),
        placeholder_items=torch.zeros(B * K, **host),
        hybrid=True,
        label_rows=rows.repeat_interleave(T),
        label_cols=(last.unsqueeze(1) - torch.arange(T, 0, -1, **host)).flatten(),
        label_ids=torch.full((B * T,), 3, **host),
        label_counts=torch.full((B,), T, **host),
        last_cols=last,
        history=histories["history"],
        history_lengths=histories["lengths"],
        targets=histories["targets"],
        candidates=torch.zeros(B, 1, **host),
        target_index=torch.zeros(B, **host),
        rows=rows,
        num_tokens=int(mask.sum()),
    )


def here() -> Path:
    """The repository, which is not installed where the grid runs."""
    return Path(__file__).resolve().parents[2]
