"""Libraries that decide while they are imported what to do on a card: imported as on a machine without one.

bitsandbytes registers kernels written in CUDA where it finds a card; without one it registers its PyTorch code for
every device, which the virtual card carries.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from probes.virtual.patches import Patches

_WITHOUT_CARD = frozenset({"bitsandbytes"})


@contextmanager
def card_hidden_from_some() -> Iterator[None]:
    """Watch imports inside the block."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds these libraries as ever, and wraps what runs them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The ordinary spec with our loader for those; None for all others."""
        if name not in _WITHOUT_CARD:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithoutCard(spec.loader)
        return spec


class _WithoutCard(importlib.abc.Loader):
    """Runs the real loader while `torch.cuda.is_available()` says no."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module without a card."""
        with Patches() as patches:
            patches.replace(torch.cuda, "is_available", lambda: False)
            self._real.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
