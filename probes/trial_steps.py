"""The steps of a trial: the trainer's own loop over the longest batches, telling the clock what it is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch.optim import optimizer as optimizers

from ilora.config import Config
from ilora.data.batch import Batch
from ilora.device import Placement
from ilora.loops.job import StopFlag, TrainJob
from ilora.runlog import RunLog
from ilora.schedule import make_optimizer
from ilora_diag.schema.trial_request import Stage
from probes.estimate_batch import longest_batch
from probes.trial_clock import StageClock
from probes.trial_parts import trainable_groups
from probes.virtual.patches import Patches

_VALIDATION_BATCHES = 2
_LATER = {1: Stage.STEP_2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is to be run.

    Attributes:
        config: the run's.
        model: on its device; returns the loss of a batch.
        num_items: size of the catalogue.
        placement: where batches go.
        steps: optimizer steps.
        step_ended: called after each with how many are done.
    """

    config: Config
    model: nn.Module
    num_items: int
    placement: Placement
    steps: int
    step_ended: Callable[[int], None]


class Progress:
    """Follows a loop from outside and tells the clock: which stage, and how many steps are done.

    The parts of the first step are stages of their own; the second is one, and the third with all later ones.
    """

    def __init__(self, training: Training, clock: StageClock) -> None:
        self._training, self._clock = training, clock
        self._accumulation = training.config.train.gradient_accumulation_steps
        self._backwards = 0
        self.steps_done = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hook model, backward and optimizer inside the block."""
        model = self._training.model
        with ExitStack() as stack:
            patches = stack.enter_context(Patches())
            patches.replace(torch.autograd, "backward", self._around(torch.autograd.backward))
            for handle in (
                model.register_forward_pre_hook(self._forward_begins),
                optimizers.register_optimizer_step_post_hook(self._stepped),
            ):
                stack.callback(handle.remove)
            yield

    def batches(self, count: int) -> Iterator[Batch]:
        """The training batches; the first of a step begins it."""
        for _ in range(count):
            self._enter(Stage.DATA)
            yield longest_batch(self._training.config, self._training.num_items)

    def validation_batches(self, count: int) -> Iterator[Batch]:
        """The batches of a validation."""
        self._clock.enter(Stage.VALIDATION)
        for _ in range(count):
            yield longest_batch(self._training.config, self._training.num_items)

    def _enter(self, stage: Stage) -> None:
        if self.steps_done:
            stage = _LATER.get(self.steps_done, Stage.STEP_3)
        self._clock.enter(stage)

    def _forward_begins(self, module: nn.Module, args: Any) -> None:
        if module.training:
            self._enter(Stage.FORWARD)
        else:
            self._clock.enter(Stage.VALIDATION)

    def _around(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def backward(*args: Any, **kwargs: Any) -> Any:
            if torch._C._current_autograd_node() is not None:  # within another one, as checkpointing calls it
                return run(*args, **kwargs)
            self._enter(Stage.BACKWARD)
            out = run(*args, **kwargs)
            self._backwards += 1
            if self._backwards % self._accumulation == 0:
                self._enter(Stage.OPTIMIZER)
            return out

        return backward

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.steps_done += 1
        self._training.step_ended(self.steps_done)


def train(training: Training, progress: Progress, optimizer: torch.optim.Optimizer) -> None:
    """Run the configured loop for the steps asked for.

    Raises:
        Enough: the last stage asked for is over.
    """
    config = training.config.train
    config = replace(config, max_steps=training.steps, eval_every=training.steps if config.eval_every else 0)
    num_batches = training.steps * config.gradient_accumulation_steps
    num_validated = min(_VALIDATION_BATCHES, config.eval_batches)
    job = TrainJob(
        teacher=cast(Any, training.model),  # any model that returns the loss of a batch will do
        optimizer=optimizer,
        config=config,
        train_batches=lambda: progress.batches(num_batches),
        val_batches=lambda: progress.validation_batches(num_validated),
        device=training.placement.device,
        log=RunLog(None),
        start_step=0,
        save=lambda step: None,
        stop=StopFlag(),
    )
    with progress.watching():
        if config.loop == "plain":
            from ilora.loops import plain

            plain.run(job)
        else:
            from ilora.loops import lightning

            lightning.run(job)
    optimizer.zero_grad(set_to_none=True)


def optimizer_of(training: Training, *, is_recommender: bool) -> torch.optim.Optimizer:
    """The trainer's optimizer over what is trained; the recommender's own is Adam whatever the teacher's is."""
    config = training.config.train
    if is_recommender:
        config = replace(config, optimizer="adam")
    return make_optimizer(trainable_groups(training.model), config)
