"""The stages of a script's trial, told by what it calls, and its end after a number of optimizer steps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.optim import optimizer as optimizers

from ilora_diag.schema.trial_request import Stage
from probes.interventions.seams import is_pretrained
from probes.interventions.whole_calls import Trained
from probes.run_stop import Enough, any_optimizer
from probes.trial_clock import StageClock
from probes.virtual.ledger import BACKWARD, LOAD, OPTIMIZER
from probes.virtual.patches import Patches
from probes.virtual.watch import Watch

_PATIENCE = 3
_OF_STEP_1 = {BACKWARD: Stage.BACKWARD, OPTIMIZER: Stage.OPTIMIZER}
_LATER_STEPS = (Stage.STEP_2, Stage.STEP_3)


class Pace:
    """Counts steps, tells stages, and ends a script that has done enough.

    A script has done enough when another optimizer step or backward pass begins after the steps asked for: a validation
    that it runs between is part of the trial. A step is a step of a `torch.optim` optimizer; where none is ever made, a
    call of backward.

    Args:
        clock: is told of stages.
        steps: asked for.
        stop_after: the last stage asked for.
        stand: what to keep of the moment of the end, while everything the script holds is still there.
        end_now: ends the process with an answer, for a script that does not let itself be ended.

    Attributes:
        steps_done: optimizer steps that were completed.
        optimizer: the one that stepped last.
        stood: what `stand` said; None while it is not yet enough.
    """

    def __init__(
        self, clock: StageClock, steps: int, stop_after: Stage, stand: Callable[[], Any], end_now: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._steps = steps
        self._stop_after = stop_after
        self._stand = stand
        self._end_now = end_now
        self._trained = Trained()
        self._watch: Watch | None = None
        self._has_optimizer = False
        self._has_just_stepped = False
        self._raised = 0
        self.steps_done = 0
        self.optimizer: torch.optim.Optimizer | None = None
        self.stood: Any = None

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Hook modules and optimizers; to be entered before the device, whose own hooks must come later."""
        handles = (
            optimizers.register_optimizer_step_post_hook(self._stepped),
            hooks.register_module_forward_pre_hook(self._called),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def following(self, watch: Watch) -> Iterator[None]:
        """Hear of the phases that a watch sees, and of models that are placed."""
        self._watch = watch
        plain, ends = watch.set_phase, watch.backward_ends

        def set_phase(phase: str) -> None:
            plain(phase)
            if phase in _OF_STEP_1:
                self._phase(phase)
            elif self._has_just_stepped:  # what follows a step belongs to the next one, its batch for a start
                self._has_just_stepped = False
                if self.steps_done < self._steps:
                    self._enter(self._later_step())

        def backward_ends() -> None:
            ends()
            if self._counts_backward():
                self.steps_done += 1
                self._has_just_stepped = True
                watch.step_done()

        watch.set_phase, watch.backward_ends = set_phase, backward_ends  # type: ignore[method-assign]
        try:
            with Patches() as patches:
                for name in ("to", "cuda"):
                    patches.replace(nn.Module, name, self._placing(getattr(nn.Module, name), name))
                yield
        finally:
            del watch.set_phase, watch.backward_ends

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._has_optimizer:
            self._has_optimizer, self.steps_done = True, 0
        self.optimizer = optimizer
        self.steps_done += 1
        self._has_just_stepped = True

    def _counts_backward(self) -> bool:
        self._has_optimizer = self._has_optimizer or any_optimizer()
        return not self._has_optimizer and sys.exc_info()[0] is None

    def _called(self, module: nn.Module, args: Any) -> None:
        """A module is about to run."""
        watch = self._watch
        if watch is None or watch.is_inside:
            return
        if self._trained.is_validating(module):
            self._validation()
        else:
            self._enter(Stage.FORWARD if self.steps_done == 0 else self._later_step())

    def _phase(self, phase: str) -> None:
        if self.steps_done >= self._steps:
            self._enough()
        self._enter(_OF_STEP_1[phase] if self.steps_done == 0 else self._later_step())

    def _later_step(self) -> Stage:
        return _LATER_STEPS[min(self.steps_done, 2) - 1]

    def _validation(self) -> None:
        """Between the steps asked for, validation is part of whatever step it stands in."""
        wants_steps = self._stop_after in _LATER_STEPS
        wanted = min(self._steps, 2 + _LATER_STEPS.index(self._stop_after)) if wants_steps else 0
        if not wants_steps or self.steps_done >= wanted:
            self._enter(Stage.VALIDATION)

    def _enter(self, stage: Stage) -> None:
        try:
            self._clock.enter(stage)
        except Enough:
            self._enough()

    def _enough(self) -> None:
        """End the script.

        Raises:
            Enough: always, unless it was caught too often.
        """
        if self.stood is None:
            self.stood = self._stand()
        self._raised += 1
        if self._raised > _PATIENCE or threading.current_thread() is not threading.main_thread():
            self._end_now()
        raise Enough

    def _placing(self, plain: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Tell when a model is put on the card: the language model, or what stands beside it."""

        def place(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            clock, watch = self._clock, self._watch
            is_load = watch is not None and watch.phase() == LOAD and clock.now is Stage.LOAD
            if not is_load or not (name == "cuda" or _names_card(args, kwargs)):
                return plain(module, *args, **kwargs)
            self._enter(Stage.PLACE_LLM if self._is_language_model(module) else Stage.PLACE_REC)
            out = plain(module, *args, **kwargs)
            self._enter(Stage.LOAD)
            return out

        return place

    def _is_language_model(self, module: nn.Module) -> bool:
        """Holds a model of transformers. In a program without them, any model."""
        return "transformers" not in sys.modules or any(is_pretrained(type(one)) for one in module.modules())


def _names_card(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    asked = kwargs.get("device", args[0] if args else None)
    return isinstance(asked, int) or str(asked).startswith("cuda")
