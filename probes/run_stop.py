"""Ending a script after a number of optimizer steps, whatever it catches."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import optimizer as optimizers

from probes.run_enough import Enough

__all__ = ["Enough", "Stop"]
_PATIENCE = 3


@dataclass(slots=True)
class Stop:
    """Counts steps, and raises `Enough` after as many as were asked for.

    An optimizer's step is a step; where no optimizer is ever made (weights changed by hand), a call of backward is.

    Attributes:
        max_steps: None lets the script run to its end.
        stand: tells where the run stands, asked once when it is enough.
        end_now: ends the process with an answer, for a script that does not let itself be ended.
        steps: done so far.
        counted: what was counted, "optimizer" or "backward".
        stood: what `stand` said; None while it is not yet enough.
    """

    max_steps: int | None
    stand: Callable[[], Any]
    end_now: Callable[[], None]
    steps: int = 0
    counted: str = "optimizer"
    stood: Any = None
    _raised: int = 0
    _backwards: int = 0
    _has_optimizer: bool = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hook the optimizers of the process inside the block."""
        handle = optimizers.register_optimizer_step_post_hook(self._stepped)
        try:
            yield
        finally:
            handle.remove()

    def backward_ended(self) -> bool:
        """A backward pass is done. Returns whether it counts as a step, and raises `Enough` if it was the last."""
        self._backwards += 1
        self._has_optimizer = self._has_optimizer or any_optimizer()
        if self._has_optimizer or sys.exc_info()[0] is not None:
            return False
        self.counted = "backward"
        self._count(self._backwards)
        return True

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self.counted != "optimizer":  # one was made after all
            self.counted, self.steps = "optimizer", 0
        self._has_optimizer = True
        self._count(self.steps + 1)

    def _count(self, steps: int) -> None:
        if self.stood is None:
            self.steps = steps
        if self.max_steps is None or steps < self.max_steps:
            return
        if self.stood is None:
            self.stood = self.stand()
        self._raised += 1
        if self._raised > _PATIENCE or threading.current_thread() is not threading.main_thread():
            self.end_now()
        raise Enough


def any_optimizer() -> bool:
    """Whether the process has made an optimizer."""
    return any(issubclass(type(one), torch.optim.Optimizer) for one in gc.get_objects())
