"""Where a module stands in the model it was made part of, as seen while it was put there.

A script may call parts of its model and never the whole (`self.encoder(x)` in Lightning's `training_step`), or several
models (a GAN's two). Named from what is called first, parts of both would share the names `0`, `1`, ...
"""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

from torch import nn

T = TypeVar("T")


class ByModule(Generic[T]):
    """What is known of modules, while they live: a new one in the memory of an old one knows nothing of it.

    By identity, since a module may have an `__eq__` of its own and no hash.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[nn.Module], T]] = {}

    def get(self, module: nn.Module) -> T | None:
        """What is known of a module, if anything."""
        known = self._known.get(id(module))
        return known[1] if known is not None and known[0]() is module else None

    def put(self, module: nn.Module, value: T) -> None:
        """Know something of a module."""
        key = id(module)
        self._known[key] = (weakref.ref(module, lambda reference: self._forget(key, reference)), value)

    def _forget(self, key: int, reference: weakref.ref[nn.Module]) -> None:
        known = self._known.get(key)
        if known is not None and known[0] is reference:
            del self._known[key]


class Lineage:
    """Remembers into which module, and under which name, each module was put last."""

    def __init__(self) -> None:
        self._above: ByModule[tuple[weakref.ref[nn.Module], str]] = ByModule()

    def registered(self, above: nn.Module, name: str, module: Any) -> None:
        """A hook of `register_module_module_registration_hook`: `above.name = module`."""
        if isinstance(module, nn.Module):
            self._above.put(module, (weakref.ref(above), name))

    def parent(self, module: nn.Module) -> tuple[nn.Module, str] | None:
        """What a module was put into and is still in, and its name there; None if nothing is known of that."""
        known = self._above.get(module)
        above = known[0]() if known is not None else None
        if known is None or above is None or above._modules.get(known[1]) is not module:
            return None
        return above, known[1]
