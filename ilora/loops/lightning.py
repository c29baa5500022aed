"""The same job driven by `lightning.Trainer`: more devices, more nodes, other strategies."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import Tensor

from ilora.config import TrainConfig
from ilora.data.batch import Batch
from ilora.loops.job import BatchSource, StepMeter, TrainJob, Validation, clip_gradients
from ilora.schedule import rate_at, set_rate


class TeacherModule(L.LightningModule):  # type: ignore[misc]  # lightning is untyped here
    """The job as Lightning wants it; holds no logic of its own beyond the order of calls."""

    def __init__(self, job: TrainJob) -> None:
        super().__init__()
        self.job = job
        self.teacher = job.teacher
        self.meter = StepMeter(job)
        self.validation: Validation | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one micro-batch; Lightning divides by the accumulation."""
        accumulation = self.job.config.gradient_accumulation_steps
        self.job.seed_micro_batch(self.job.start_step * accumulation + batch_idx)
        loss: Tensor = self.teacher(batch)
        self.meter.add(loss, batch)
        return loss

    def on_validation_start(self) -> None:
        """Open a validation."""
        self.validation = Validation(self.job, self.job.start_step + self.global_step, self.meter)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch's loss; nothing is returned, so nothing is kept."""
        assert self.validation is not None
        self.validation.add(self.teacher(batch), batch)

    def on_validation_end(self) -> None:
        """Write the mean."""
        assert self.validation is not None
        self.validation.finish()

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as the plain loop does and keep the norm; write the rate of this step."""
        set_rate(self.job.optimizer, rate_at(self.job.start_step + self.global_step, self.job.config))
        self.meter.grad_norm = clip_gradients(self.teacher, self.job.config.max_grad_norm)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The job's optimizer, with its state."""
        return self.job.optimizer

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move only what the model reads."""
        return batch.to(device)


class _AfterStep(Callback):  # type: ignore[misc]  # lightning is untyped here
    """Runs the job's bookkeeping after each optimizer step and stops the trainer when asked."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TeacherModule)
        job = pl_module.job
        if (batch_idx + 1) % job.config.gradient_accumulation_steps:
            return
        if job.after_step(job.start_step + trainer.global_step, pl_module.meter):
            trainer.should_stop = True


def run(job: TrainJob) -> int:
    """Train until `max_steps` or until asked to stop. Returns the optimizer steps done since the very first."""
    config = job.config
    if job.start_step >= config.max_steps:
        return job.start_step
    module = TeacherModule(job)
    trainer = make_trainer(job)
    with warnings.catch_warnings():
        # Lightning advises workers and logging set-ups that this run decided on its own.
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        validation = _Batches(job.val_batches) if config.eval_every else None
        trainer.fit(module, train_dataloaders=_Batches(job.train_batches), val_dataloaders=validation)
    job.teacher.to(job.device)  # Lightning leaves it on the host, where the evaluation would then run
    return job.start_step + int(trainer.global_step)


def make_trainer(job: TrainJob) -> L.Trainer:
    """The trainer for the job: Lightning's own logging, checkpoints and progress are off, the job has its own."""
    config = job.config
    # Children that Lightning starts run `python -m`, which would put the working directory on their path.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    return L.Trainer(
        accelerator="gpu" if job.device.type == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=make_strategy(config, job.device.type),
        precision="32-true",
        max_steps=config.max_steps - job.start_step,
        accumulate_grad_batches=config.gradient_accumulation_steps,
        val_check_interval=config.eval_every * config.gradient_accumulation_steps or None,
        check_val_every_n_epoch=None if config.eval_every else 1,
        limit_val_batches=config.eval_batches if config.eval_every else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[_AfterStep()],
    )


def make_strategy(config: TrainConfig, device_type: str) -> Strategy | str:
    """Lightning's strategy for the configured one.

    Text-only batches leave the projector without a gradient, which DDP must be told to look for.
    """
    ranks = config.devices * config.num_nodes
    if config.strategy == "ddp" or ranks > 1:
        backend = "nccl" if device_type == "cuda" else "gloo"
        return DDPStrategy(process_group_backend=backend, find_unused_parameters=config.curriculum)
    return "auto"


class _Batches(Iterable[Batch]):
    """Hands Lightning an iterable it neither re-samples nor counts, made anew each time it is read."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._source())
