"""When a step is over: an optimizer's `step`, or, before there was any, a call of a model that keeps no graph.

The second is for loops that only infer, such as one that computes a teacher's outputs for every sample before training
begins. Calls inside `generate` do not count: within one answer the cache of keys and values grows as it should.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.optim import optimizer as optimizers


class Clock:
    """Tells two callbacks of steps.

    Args:
        on_step: an optimizer's step is over.
        on_call: an outermost call of a model without a graph is over, and no optimizer has made a step yet.

    Attributes:
        called: ids of the modules that ran.
    """

    def __init__(self, on_step: Callable[[], None], on_call: Callable[[], None]) -> None:
        self._on_step, self._on_call = on_step, on_call
        self._depth = 0
        self._has_stepped = False
        self.called: set[int] = set()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Hook every optimizer and model of the process inside the block."""
        with ExitStack() as stack:
            for handle in (
                optimizers.register_optimizer_step_post_hook(self._stepped),
                hooks.register_module_forward_pre_hook(self._enter),
                hooks.register_module_forward_hook(self._leave, always_call=True),
            ):
                stack.callback(handle.remove)
            yield

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._has_stepped = True
        self._depth = 0
        self._on_step()

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._depth += 1
        self.called.add(id(module))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._depth or self._has_stepped or torch.is_grad_enabled() or _in_generate():
            return
        self._on_call()


def _in_generate() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "generate":
            return True
        frame = frame.f_back
    return False
