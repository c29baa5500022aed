"""Gives gradient checkpointing the gates, and refuses the form that cannot have them.

transformers enables checkpointing by handing every layer a function, through one method of the model
(`_set_gradient_checkpointing`) whichever public method was called. That method is wrapped, on the instances an adapter
was injected into; functions already handed out are replaced.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from ilora.lora.context import CheckpointContexts, GateContext
from ilora.lora.errors import ReentrantCheckpointError

_METHOD = "_set_gradient_checkpointing"
_FUNCTION = "_gradient_checkpointing_func"


def refuse_reentrant(model: nn.Module) -> None:
    """Check that checkpointing, if it is already on in `model`, is not of the reentrant form.

    Raises:
        ReentrantCheckpointError: it is.
    """
    for module in _checkpointed(model):
        if _keywords(getattr(module, _FUNCTION)).get("use_reentrant"):
            raise ReentrantCheckpointError


def install(model: nn.Module, gates: GateContext) -> None:
    """Make checkpointing of `model` carry the gates, whether it is on already or enabled later.

    Raises:
        ReentrantCheckpointError: it is on in the reentrant form (later enabling raises it there).
    """
    for module in _checkpointed(model):
        setattr(module, _FUNCTION, _with_gates(getattr(module, _FUNCTION), gates))
    for module in model.modules():
        if hasattr(type(module), _METHOD):
            setattr(module, _METHOD, _SetCheckpointing(module, gates))


def uninstall(model: nn.Module) -> None:
    """Take the wrapped method out of `model`. Functions already handed out stay; without gates they do nothing."""
    for module in model.modules():
        module.__dict__.pop(_METHOD, None)


class _SetCheckpointing:
    """Stands in for a model's `_set_gradient_checkpointing`.

    An object that can be copied with its model, and refers to it weakly: a deleted model gives its memory back at once.
    """

    def __init__(self, model: nn.Module, gates: GateContext) -> None:
        self._model, self._gates = weakref.ref(model), gates

    def __reduce__(self) -> tuple[type[_SetCheckpointing], tuple[nn.Module | None, GateContext]]:
        return _SetCheckpointing, (self._model(), self._gates)

    def __call__(self, enable: bool = True, gradient_checkpointing_func: Any = checkpoint, **kwargs: Any) -> Any:
        if enable:
            gradient_checkpointing_func = _with_gates(gradient_checkpointing_func, self._gates)
        model = self._model()
        method = getattr(type(model), _METHOD)
        return method(model, enable=enable, gradient_checkpointing_func=gradient_checkpointing_func, **kwargs)


class _ContextFn:
    """The `context_fn` handed to torch: ours, around the one the caller gave, if any."""

    def __init__(self, gates: GateContext, inner: Callable[[], CheckpointContexts] | None) -> None:
        self._gates, self._inner = gates, inner

    def __call__(self) -> CheckpointContexts:
        return self._gates.checkpoint_contexts(self._inner)


def _with_gates(function: Any, gates: GateContext) -> Any:
    keywords = _keywords(function)
    if keywords.get("use_reentrant"):
        raise ReentrantCheckpointError
    inner = keywords.get("context_fn")
    if isinstance(inner, _ContextFn):
        return function
    # Said explicitly: where the caller leaves it open, torch's default has been the reentrant form.
    return functools.partial(function, use_reentrant=False, context_fn=_ContextFn(gates, inner))


def _checkpointed(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if getattr(m, "gradient_checkpointing", False) and hasattr(m, _FUNCTION)]


def _keywords(function: Any) -> dict[str, Any]:
    return dict(function.keywords) if isinstance(function, functools.partial) else {}
