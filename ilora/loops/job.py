"""What a loop is given, and what both loops do between steps: count, log, validate, save, stop.

The loops differ in who calls forward, backward and step. Everything else is here once, so that they cannot drift.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import Tensor, nn

from ilora.config import TrainConfig
from ilora.data.batch import Batch
from ilora.distributed import sum_over_ranks
from ilora.model import ILoRATeacher
from ilora.runlog import RunLog

BatchSource = Callable[[], Iterable[Batch]]


class StopFlag:
    """Set by SIGINT or SIGTERM; the loop ends after the step it is in. A second signal ends at once."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Catch the signals inside the block and restore the handlers after it."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def agreed(self) -> bool:
        """Whether any rank was asked to stop. All ranks must call this together: they stop at the same step."""
        return sum_over_ranks(int(self.requested))[0] > 0


@dataclass(kw_only=True)
class TrainJob:
    """One training run, independent of who drives it.

    Attributes:
        teacher: on its device.
        optimizer: over the teacher's trainable parameters, with its state if the run is resumed.
        config: the loop's settings.
        train_batches: called once; yields the micro-batches from `start_step` on, on the CPU.
        val_batches: called at each validation; yields the same batches every time.
        device: where batches are moved.
        log: receives step, val_loss and checkpoint events.
        start_step: optimizer steps already done.
        save: writes a checkpoint of the given step; called on every rank, writes on rank 0.
        stop: asked after each step.
        rank: of this process; seeds dropout together with the micro-batch's index.
    """

    teacher: ILoRATeacher
    optimizer: torch.optim.Optimizer
    config: TrainConfig
    train_batches: BatchSource
    val_batches: BatchSource
    device: torch.device
    log: RunLog
    start_step: int
    save: Callable[[int], None]
    stop: StopFlag
    rank: int = 0

    def seed_micro_batch(self, index: int) -> None:
        """Seed dropout for micro-batch `index` of the whole run.

        A function of the index alone: resuming needs no saved generator state, and both loops draw the same masks.
        """
        torch.manual_seed((self.config.seed * 1_000_003 + index) * 1009 + self.rank)

    def after_step(self, step: int, meter: StepMeter) -> bool:
        """Log and save after optimizer step number `step` (counted from 1). Returns whether to stop here."""
        config = self.config
        meter.finish(step, last=step == config.max_steps)
        stop = self.stop.agreed()
        due = config.checkpoint_every and step % config.checkpoint_every == 0
        if due or stop or step == config.max_steps:
            self.save(step)
        return stop


class StepMeter:
    """Sums what one optimizer step did and writes it as a step event, without a device sync where none is logged."""

    def __init__(self, job: TrainJob) -> None:
        self._job = job
        self._reset()

    def _reset(self) -> None:
        self._begin = time.perf_counter()
        self._loss_sum: Tensor | None = None  # summed at once: what is kept until it is logged does not grow
        self._num_tokens = self._num_samples = self._num_steps = self._num_hybrid = self._num_batches = 0
        self.grad_norm: Tensor | None = None

    def add(self, loss: Tensor, batch: Batch) -> None:
        """Count one micro-batch and its loss (before division by the number of micro-batches)."""
        self._loss_sum = loss.detach().clone() if self._loss_sum is None else self._loss_sum.add_(loss.detach())
        self._num_tokens += batch.num_tokens
        self._num_samples += len(batch)
        self._num_batches += 1
        self._num_hybrid += int(batch.hybrid)

    def exclude(self, seconds: float) -> None:
        """Leave time spent on something else, such as a validation, out of the step's."""
        self._begin += seconds

    def finish(self, step: int, *, last: bool) -> None:
        """Close the step; write an event every `log_every` steps and at the last one.

        Raises:
            FloatingPointError: the loss is not finite: nothing later in the run would mean anything.
        """
        self._num_steps += 1
        if step % self._job.config.log_every and not last:
            return
        assert self._loss_sum is not None, "a step is finished after its micro-batches were added"
        loss_sum = float(self._loss_sum)
        # Every rank has the same number of micro-batches and samples, so the mean over ranks is the whole batch's loss.
        loss, num_batches, num_tokens, num_samples = sum_over_ranks(
            loss_sum, self._num_batches, self._num_tokens, self._num_samples
        )
        loss /= num_batches
        seconds = (time.perf_counter() - self._begin) / self._num_steps
        log = self._job.log
        log.event(
            "step",
            step=step,
            loss=loss,
            lr=max(group["lr"] for group in self._job.optimizer.param_groups),
            grad_norm=None if self.grad_norm is None else float(self.grad_norm),
            num_tokens=int(num_tokens),
            num_samples=int(num_samples),
            seconds=seconds,
            tokens_per_s=num_tokens / self._num_steps / seconds,
            hybrid=self._num_hybrid / self._num_batches,
            rss_bytes=log.rss_bytes(),
            device=log.device_memory(),
        )
        self._reset()
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {step}: try a lower train.lr, train.max_grad_norm=1 or "
                "train.precision=fp32"
            )


def clip_gradients(teacher: nn.Module, max_norm: float) -> Tensor | None:
    """Clip the trainable parameters' gradients to `max_norm` and return the norm before; 0 leaves them alone."""
    if max_norm == 0:
        return None
    parameters = [parameter for parameter in teacher.parameters() if parameter.grad is not None]
    return nn.utils.clip_grad_norm_(parameters, max_norm)


class Validation:
    """Sums one validation's losses; on leaving the block the mean is written and its time left out of the step's."""

    def __init__(self, job: TrainJob, step: int, meter: StepMeter) -> None:
        self._job, self._step, self._meter = job, step, meter
        self._begin = time.perf_counter()
        self._loss_sum, self._num_samples = 0.0, 0

    def add(self, loss: Tensor, batch: Batch) -> None:
        """Count one batch and its mean loss."""
        self._loss_sum += float(loss) * len(batch)
        self._num_samples += len(batch)

    def finish(self) -> None:
        """Write the mean loss over all ranks' validation samples."""
        loss_sum, num_samples = sum_over_ranks(self._loss_sum, self._num_samples)
        if num_samples:
            self._job.log.event("val_loss", step=self._step, loss=loss_sum / num_samples, num_samples=int(num_samples))
        self._meter.exclude(time.perf_counter() - self._begin)
