"""The same steps driven by `lightning.Trainer`, with the phases taken from its hooks."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.truth.models import Trainee
from benchmarks.truth.phases import PhaseMeter
from benchmarks.truth.workload import Workload

PRECISION = {"bf16-autocast": "bf16-mixed", "fp16-autocast": "16-mixed"}


class Steps(L.LightningModule):  # type: ignore[misc]  # lightning is untyped here
    """The trainee as Lightning wants it; every hook only marks a border of phases."""

    def __init__(self, trainee: Trainee, optimizer: torch.optim.Optimizer, meter: PhaseMeter, num_steps: int) -> None:
        super().__init__()
        self.module = trainee.module
        self._optimizer, self._meter, self._num_steps = optimizer, meter, num_steps

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.module(batch)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.module(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._optimizer

    def on_train_start(self) -> None:
        self._meter.begin("forward", 1)

    def on_before_backward(self, loss: Tensor) -> None:
        self._meter.begin("backward", self.global_step + 1)

    def on_after_backward(self) -> None:
        self._meter.begin("optimizer", self.global_step + 1)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.global_step < self._num_steps:
            self._meter.begin("forward", self.global_step + 1)
        else:
            self._meter.end()

    def on_validation_start(self) -> None:
        self._meter.begin("validation")

    def on_validation_end(self) -> None:
        self._meter.end()


class Repeated(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """The same batch, so many times."""

    def __init__(self, trainee: Trainee, number: int) -> None:
        self.trainee, self.number = trainee, number

    def __iter__(self) -> Any:
        return (self.trainee.make_batch() for _ in range(self.number))


def train_with_lightning(
    workload: Workload, trainee: Trainee, optimizer: torch.optim.Optimizer, meter: PhaseMeter, device: str
) -> None:
    """Train and validate as `steps.train` does; clipping and precision are Lightning's."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = L.Trainer(
        accelerator="gpu" if torch.device(device).type == "cuda" else "cpu",
        devices=1,
        precision=PRECISION.get(workload.precision, "32-true"),  # type: ignore[arg-type]
        max_steps=workload.steps,
        limit_val_batches=1,
        val_check_interval=workload.steps,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        trainer.fit(
            Steps(trainee, optimizer, meter, workload.steps),
            train_dataloaders=DataLoader(Repeated(trainee, workload.steps), batch_size=None),
            val_dataloaders=DataLoader(Repeated(trainee, 1), batch_size=None),
        )
    meter.end()
