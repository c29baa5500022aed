"""no_grad_validation and autocast_bf16: how a model is run as a whole."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from probes.interventions.act import Act


class Trained:
    """Knows the models that were called in training mode, which tells validation from parts that never train."""

    def __init__(self) -> None:
        self._models: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    def is_validating(self, module: nn.Module) -> bool:
        """Whether a module that no other calls trained before, and is in eval mode or without gradients now."""
        if module.training and torch.is_grad_enabled():
            self._models.add(module)
            return False
        return module in self._models


def no_grad_validation(act: Act) -> None:
    """Run models without a graph that trained before and are in eval mode now."""
    trained = Trained()

    def around(module: nn.Module, proceed: Callable[[], Any]) -> Any:
        if not (trained.is_validating(module) and torch.is_grad_enabled()):
            return proceed()
        act.met("with a graph", type(module).__name__)
        if not act.is_applied:
            return proceed()
        with torch.no_grad():
            return proceed()

    act.seams.around_call(around)


def autocast_bf16(act: Act) -> None:
    """Run models of float32 weights under bfloat16 autocast, unless they run under some autocast already."""

    def around(module: nn.Module, proceed: Callable[[], Any]) -> Any:
        kind = _device_of_floats(module)
        if kind is None or torch.is_autocast_enabled(kind):
            return proceed()
        act.met("float32", type(module).__name__)
        if not act.is_applied:
            return proceed()
        with torch.autocast(kind, dtype=torch.bfloat16):
            return proceed()

    act.seams.around_call(around)


def _device_of_floats(module: nn.Module) -> str | None:
    """The kind of device of a module's float32 weights; None if it has none."""
    found = next((one for one in module.parameters() if one.dtype is torch.float32), None)
    return None if found is None else found.device.type
