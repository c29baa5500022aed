"""A stand-in for `torch._dynamo`, which optimizers import at their first step only to say they must not be compiled.

The import takes three seconds and reads `torch.cuda` in ways a model need not answer. Nothing is compiled on the
virtual device, so "do not compile this" is granted at once. Where the real module is loaded already, it stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"


class OptimizedModule:
    """Nothing is an instance of it: nothing was compiled."""


@contextmanager
def without_compiler() -> Iterator[None]:
    """Stand in for `torch._dynamo` inside the block unless it is loaded."""
    if _NAME in sys.modules:
        yield
        return
    touched: list[Callable[..., Any]] = []

    def disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
        if fn is None:
            return lambda function: function
        touched.append(fn)
        return fn

    stub = ModuleType(_NAME)
    stub.disable = disable  # type: ignore[attr-defined]
    stub.graph_break = lambda *_, **__: None  # type: ignore[attr-defined]
    stub.is_compiling = lambda: False  # type: ignore[attr-defined]
    stub.OptimizedModule = OptimizedModule  # type: ignore[attr-defined]
    sys.modules[_NAME] = stub
    torch._dynamo = stub
    try:
        yield
    finally:
        if sys.modules.get(_NAME) is stub:
            del sys.modules[_NAME]
        if vars(torch).get("_dynamo") is stub:
            del torch._dynamo
        for function in touched:
            vars(function).pop("__dynamo_disable", None)
