"""Everything of three kinds that Python's collector knows: tensors, modules, optimizers, in one pass."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Heap:
    """What was alive. It keeps all of it alive: hold it no longer than one search."""

    tensors: list[Tensor]
    modules: list[nn.Module]
    optimizers: list[torch.optim.Optimizer]

    def roots(self) -> list[nn.Module]:
        """Modules that are nobody's part, the one with most parameters first."""
        parts = {id(part) for one in self.modules for part in one._modules.values() if part is not None}
        roots = [one for one in self.modules if id(one) not in parts]
        return sorted(roots, key=lambda one: -sum(1 for _ in one.parameters()))


def heap() -> Heap:
    """Look now."""
    found = Heap([], [], [])
    kinds: dict[type, Any] = {}
    for value in gc.get_objects():
        kind = type(value)
        if kind not in kinds:
            kinds[kind] = _place(found, kind)
        if kinds[kind] is not None:
            kinds[kind].append(value)
    return found


def _place(found: Heap, kind: type) -> Any:
    if issubclass(kind, Tensor):
        return found.tensors
    if issubclass(kind, nn.Module):
        return found.modules
    return found.optimizers if issubclass(kind, torch.optim.Optimizer) else None
