"""nonreentrant_checkpointing and checkpointing: how, and whether, activations are computed again."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import checkpoint

from probes.interventions.act import Act
from probes.interventions.seams import Proceed

_HOW = {"use_reentrant": False}


def nonreentrant_checkpointing(act: Act) -> None:
    """Checkpoint with use_reentrant=False whatever was asked for.

    Every reentrant checkpoint goes through `CheckpointFunction.apply`, looked up when it is called; so libraries that
    imported `checkpoint` before are covered as well.
    """
    plain = checkpoint.CheckpointFunction

    class Apply:
        @staticmethod
        def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
            if torch.is_grad_enabled():
                act.met("reentrant")
            if not act.is_applied:
                return plain.apply(function, preserve, *args)  # type: ignore[no-untyped-call]
            return checkpoint.checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve)

    act.seams.patches.replace(checkpoint, "CheckpointFunction", Apply)


def checkpointing(act: Act) -> None:
    """Recompute the activations of transformers' models that are in training mode and can."""

    def around(model: Any, given: dict[str, Any], proceed: Proceed) -> Any:
        if act.seams.is_outermost_model() and _could(model):
            act.met("off", type(model).__name__)
            if act.is_applied:
                _enable(model)
                act.stack.callback(_disable, model)
        return proceed(given)

    act.seams.around_model(around)


def _could(model: Any) -> bool:
    is_training = model.training and torch.is_grad_enabled()
    can = getattr(model, "supports_gradient_checkpointing", False)
    return bool(is_training and can and not recomputes(model))


def recomputes(model: Any) -> bool:
    """Whether a model of transformers recomputes activations; the name of the question changed in version 5."""
    name = "is_activation_checkpointing"
    return bool(getattr(model, name if hasattr(type(model), name) else "is_gradient_checkpointing", False))


def _enable(model: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=_HOW)


def _disable(model: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.gradient_checkpointing_disable()
