"""Trainers nobody here wrote: transformers' and Lightning's own loop, with their logging and validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from probes.virtual import Machine, NotCarriedError


class Tokens(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.arange(3, 19)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def _trainer(folder: Path, **given: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        max_steps=3,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        **given,
    )
    return transformers.Trainer(
        model=transformers.AutoModelForCausalLM.from_config(config),
        args=arguments,
        train_dataset=Tokens(),
        eval_dataset=Tokens(),
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bf16": True, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 2},
        {"fp16": True, "gradient_checkpointing": True, "optim": "adamw_torch_fused"},
        {"optim": "adafactor", "dataloader_num_workers": 1, "dataloader_pin_memory": True},
    ],
    ids=["plain", "bf16 with evaluation", "fp16 checkpointed", "adafactor"],
)
def test_the_trainer_of_transformers(card: Machine, tmp_path: Path, given: dict[str, Any]) -> None:
    trainer = _trainer(tmp_path, **given)
    assert trainer.args.device == torch.device("cuda:0")
    result = trainer.train()
    assert result.global_step == 3
    assert next(trainer.model.parameters()).is_cuda
    assert {"forward", "backward", "optimizer"} <= set(card.ledger.phases)
    assert torch.cuda.max_memory_allocated() > 0
    if "eval_strategy" in given:
        assert trainer.evaluate()["eval_loss"] is not None
        assert "validation" in set(card.ledger.phases)


def test_saving_at_the_end_is_refused_by_name(card: Machine, tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    with pytest.raises(NotCarriedError, match="saving"):
        trainer.save_model(str(tmp_path))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true"])
def test_the_trainer_of_lightning(
    card: Machine, tiny: Callable[..., nn.Module], tmp_path: Path, precision: Any
) -> None:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = tiny()

        def _loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            ids = batch["input_ids"]
            assert ids.is_cuda
            return nn.functional.cross_entropy(self.model(ids).flatten(0, 1), ids.flatten())

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = self._loss(batch)
            self.log("loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self._loss(batch))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters())

    loader = torch.utils.data.DataLoader(Tokens(), batch_size=2)
    trainer = lightning.Trainer(
        accelerator="gpu",
        devices=1,
        max_steps=4,
        val_check_interval=2,
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Module(), loader, loader)
    assert trainer.global_step == 4
    assert {"forward", "backward", "optimizer", "validation"} <= set(card.ledger.phases)
    assert card.ledger.modules.count("model.head") + card.ledger.modules.count("head") > 0


def test_accelerate_places_and_steps(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(mixed_precision="bf16")
    assert accelerator.device.type == "cuda"
    model = tiny()
    model, optimizer, loader = accelerator.prepare(
        model, torch.optim.AdamW(model.parameters()), torch.utils.data.DataLoader(Tokens(), batch_size=4)
    )
    for batch in loader:
        ids = batch["input_ids"]
        loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    assert accelerator.gather(loss.detach()).is_cuda
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
