"""A stand-in for `torch._dynamo` where it is imported for a word and not to compile.

Optimizers import it at their first step only to say they must not be compiled, non-reentrant checkpointing to read a
setting. The import takes three seconds, and nothing is compiled on the virtual device, so "do not compile this" is
granted at once. Where the real module is loaded already, it stays. Whoever asks the stand-in for anything else gets the
real module, imported without our replacements in place: it keeps references to functions of `torch.cuda`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from probes.virtual.patches import Patches

_NAME = "torch._dynamo"


class _Settings:
    """`torch._dynamo.config`, as far as code asks it that compiles nothing; anything else brings the real module in.

    Checkpointing reads whether it may be traced by torch.fx, which it is not; the value is PyTorch's default.
    """

    error_on_nested_fx_trace = True

    def __init__(self, stand_in: _StandIn) -> None:
        self._stand_in = stand_in

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stand_in.give_way().config, name)


class _StandIn(ModuleType):
    """Answers what optimizers and checkpointing ask; anything else brings the real module in."""

    def __init__(self, patches: Patches) -> None:
        super().__init__(_NAME)
        self._patches = patches
        self.config = _Settings(self)
        self._touched: list[Callable[..., Any]] = []

    def disable(self, fn: Any = None, recursive: bool = True, **_: Any) -> Any:
        """Leave a function uncompiled: it is."""
        if fn is None:
            return lambda function: function
        self._touched.append(fn)
        return fn

    def graph_break(self, *_: Any, **__: Any) -> None:
        """End a graph: there is none."""

    def is_compiling(self) -> bool:
        """Whether something is being compiled: never."""
        return False

    def __getattr__(self, name: str) -> Any:
        # The import machinery asks a package for __path__ before it looks for its parts; the other dunders say nothing.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        return getattr(self.give_way(), name)

    def give_way(self) -> ModuleType:
        """Import the real module in this one's place."""
        if sys.modules.get(_NAME) is self:
            self.withdraw()
            with self._patches.lifted():
                importlib.import_module(_NAME)
        return sys.modules[_NAME]

    def withdraw(self) -> None:
        """Leave no trace: not as a module, and not in the functions that were left uncompiled."""
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        if vars(torch).get("_dynamo") is self:
            del torch._dynamo
        for function in self._touched:
            vars(function).pop("__dynamo_disable", None)
        self._touched.clear()


@contextmanager
def without_compiler(patches: Patches) -> Iterator[None]:
    """Stand in for `torch._dynamo` inside the block unless it is loaded."""
    if _NAME in sys.modules:
        yield
        return
    stand_in = _StandIn(patches)
    sys.modules[_NAME] = stand_in
    torch._dynamo = stand_in
    try:
        yield
    finally:
        stand_in.withdraw()
