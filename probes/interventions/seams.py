"""The calls of PyTorch and transformers at which interventions act. Each is patched only where one of them is needed.

Of transformers nothing is imported: a class is known for a model of theirs by the names of its bases, so that a script
that does without transformers is not made to wait for it.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer
from torch.utils.data import DataLoader
from torch.utils.data import dataloader as loaders

from probes.virtual.patches import Patches

Proceed = Callable[[dict[str, Any]], Any]
AroundModel = Callable[[nn.Module, dict[str, Any], Proceed], Any]
AroundCall = Callable[[nn.Module, Callable[[], Any]], Any]
_current_node = torch._C._current_autograd_node
_ITERATOR: Any = loaders._BaseDataLoaderIter


class Seams:
    """Patches on demand; interventions register what is to be called.

    Attributes:
        models: transformers' models that were made, and are still there.
    """

    def __init__(self, patches: Patches) -> None:
        self.patches = patches
        self.models: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._around_models: list[AroundModel] = []
        self._around_calls: list[AroundCall] = []
        self._on_batch: list[Callable[[Any], Any]] = []
        self._on_loader: list[Callable[[dict[str, Any]], None]] = []
        self._on_optimizer: list[Callable[[Optimizer, list[Any]], list[Any]]] = []
        self._seen: set[type] = set()
        self._inside: list[nn.Module] = []
        self._calls = 0

    def around_model(self, handler: AroundModel) -> None:
        """Call `handler(model, arguments, proceed)` in place of the forward of a transformers model."""
        self.watch_models()
        self._around_models.append(handler)

    def is_outermost_model(self) -> bool:
        """Whether the model whose forward runs was called by no other model."""
        return len(self._inside) == 1

    def around_call(self, handler: AroundCall) -> None:
        """Call `handler(module, proceed)` in place of a module that no other module calls. Not in recomputation."""
        if not self._around_calls:
            self._patch_calls()
        self._around_calls.append(handler)

    def on_batch(self, handler: Callable[[Any], Any]) -> None:
        """Let every batch of a DataLoader pass through `handler`."""
        if not self._on_batch:
            self._patch_batches()
        self._on_batch.append(handler)

    def on_loader(self, handler: Callable[[dict[str, Any]], None]) -> None:
        """Let `handler` change the arguments that a DataLoader is made with."""
        if not self._on_loader:
            self._patch_loaders()
        self._on_loader.append(handler)

    def on_optimizer(self, handler: Callable[[Optimizer, list[Any]], list[Any]]) -> None:
        """Let `handler(optimizer, params)` choose the parameters that an optimizer is made with."""
        if not self._on_optimizer:
            self._patch_optimizers()
        self._on_optimizer.append(handler)

    def watch_models(self) -> None:
        """Notice the making of transformers' models."""
        if self._seen:
            return
        self._seen.add(object)
        plain = nn.Module.__init__

        @functools.wraps(plain)
        def init(module: nn.Module, *args: Any, **kwargs: Any) -> None:
            kind = type(module)
            if kind not in self._seen:
                self._seen.add(kind)
                if is_pretrained(kind):
                    self._wrap_forward(kind)
            plain(module, *args, **kwargs)
            if is_pretrained(kind):
                self.models.add(module)

        self.patches.replace(nn.Module, "__init__", init)

    def _wrap_forward(self, kind: Any) -> None:
        plain = kind.forward
        signature = inspect.signature(plain)

        @functools.wraps(plain)
        def forward(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
            is_ours = not any(one is model for one in self._inside) and _current_node() is None
            bound = named(signature, model, args, kwargs) if is_ours else None
            if bound is None:
                return plain(model, *args, **kwargs)
            self._inside.append(model)
            try:
                return _through(self._around_models, model, bound, lambda given: plain(model, **given))
            finally:
                self._inside.pop()

        self.patches.replace(kind, "forward", forward)

    def _patch_calls(self) -> None:
        plain: Any = nn.Module.__call__

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._calls or _current_node() is not None:
                return plain(module, *args, **kwargs)
            self._calls += 1
            try:
                proceed = functools.partial(plain, module, *args, **kwargs)
                for handler in reversed(self._around_calls):
                    proceed = functools.partial(handler, module, proceed)
                return proceed()
            finally:
                self._calls -= 1

        self.patches.replace(nn.Module, "__call__", call)

    def _patch_batches(self) -> None:
        plain = _ITERATOR.__next__

        def following(iterator: Any) -> Any:
            batch = plain(iterator)
            for handler in self._on_batch:
                batch = handler(batch)
            return batch

        self.patches.replace(_ITERATOR, "__next__", following)

    def _patch_loaders(self) -> None:
        plain = DataLoader.__init__
        signature = inspect.signature(plain)

        @functools.wraps(plain)
        def init(loader: Any, *args: Any, **kwargs: Any) -> None:
            given = named(signature, loader, args, kwargs)
            if given is None:
                plain(loader, *args, **kwargs)
                return
            for handler in self._on_loader:
                handler(given)
            plain(loader, **given)

        self.patches.replace(DataLoader, "__init__", init)

    def _patch_optimizers(self) -> None:
        plain = Optimizer.__init__

        @functools.wraps(plain)
        def init(optimizer: Optimizer, params: Any, defaults: dict[str, Any]) -> None:
            if not isinstance(params, torch.Tensor):
                params = list(params)
                for handler in self._on_optimizer:
                    params = handler(optimizer, params)
            plain(optimizer, params, defaults)

        self.patches.replace(Optimizer, "__init__", init)


def is_pretrained(kind: type) -> bool:
    """Whether a class is a model of transformers."""
    return any(
        base.__name__ == "PreTrainedModel" and base.__module__ == "transformers.modeling_utils" for base in kind.__mro__
    )


def named(
    signature: inspect.Signature, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """The arguments of a method by name; None where they do not fit, which the method itself then says."""
    try:
        bound = signature.bind(owner, *args, **kwargs).arguments
    except TypeError:
        return None
    given = dict(list(bound.items())[1:])
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL and parameter.name in given:
            return None
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given |= given.pop(parameter.name, {})
    return given


def _through(handlers: list[AroundModel], model: nn.Module, given: dict[str, Any], last: Proceed) -> Any:
    """Call the handlers, the first outermost, each with a way to go on."""
    proceed = last
    for handler in reversed(handlers):
        proceed = functools.partial(_one, handler, model, proceed)
    return proceed(given)


def _one(handler: AroundModel, model: nn.Module, proceed: Proceed, given: dict[str, Any]) -> Any:
    return handler(model, given, proceed)
