"""Shape rules of PyTorch for shapes that are plain numbers, without the half second that symbolic ones take to load.

Meta kernels ask `torch.fx.experimental.symbolic_shapes` whether sizes agree, for every operator and whether or not any
size is symbolic; that module imports sympy first. On a virtual card no size is ever symbolic. The stand-in answers for
plain numbers what the functions of the same name answer for them, and hands anything else to the real module, which it
fetches then: every other name, and every symbolic argument.

The rules of type promotion ask sympy itself for one thing, whether an argument is an expression. So that, too, is not
executed before something asks for more; while it is not, there is no expression.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch.utils._ordered_set import OrderedSet

_SHAPES, _FUNCTIONS = "torch.fx.experimental.symbolic_shapes", "torch.utils._sympy.functions"
_NUMBERS = (int, float, bool)


class _PlainRules(ModuleType):
    """Stands for a module until something asks for more than it can say."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        for name, (is_plain, rule) in _RULES[module].items():
            setattr(self, name, self._asked(name, is_plain, rule))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _asked(self, name: str, is_plain: Callable[..., bool], rule: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **kwargs: Any) -> Any:
            if not kwargs and is_plain(*args):
                return rule(*args)
            return getattr(self._real(), name)(*args, **kwargs)

        return asked

    def _real(self) -> ModuleType:
        """The real module; whoever holds the stand-in holds its content from then on."""
        module = self.__name__
        if sys.modules.get(module) is not self:
            return importlib.import_module(module)
        del sys.modules[module]
        real = importlib.import_module(module)
        vars(self).update(vars(real))
        return real


class _LateSympy(ModuleType):
    """The module of that name, executed when it is asked for anything but the class of its expressions."""

    def __getattr__(self, name: str) -> Any:
        if name == "Basic":
            return _NoExpression
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(name)
        self.execute()
        return getattr(self, name)

    def execute(self) -> None:
        """Become an ordinary module."""
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(self)


class _BeforeItsParts(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Executes sympy before a module of it that is imported first; most then came with it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec for what was loaded meanwhile."""
        package = sys.modules.get("sympy")
        if not name.startswith("sympy.") or not isinstance(package, _LateSympy):
            return None
        package.execute()
        module = sys.modules.get(name)
        if module is None:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, loader_state=(module, module.__spec__))
        module.__spec__ = None  # the import machinery would follow it, and execute the module again
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The loaded one."""
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It was executed; it gets its own spec back."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state[1]


class _NoExpression:
    """Nothing is one."""


def install() -> None:
    """Put the stand-ins where the real modules are not loaded."""
    for module in _RULES:
        if module not in sys.modules:
            parent, _, name = module.rpartition(".")
            sys.modules[module] = stand_in = _PlainRules(module)
            setattr(importlib.import_module(parent), name, stand_in)
    spec = importlib.util.find_spec("sympy") if "sympy" not in sys.modules else None
    if spec is not None:
        late = importlib.util.module_from_spec(spec)
        late.__class__ = _LateSympy
        sys.modules["sympy"] = late
        sys.meta_path.insert(0, _BeforeItsParts())


def _are_bools(*values: object) -> bool:
    return all(type(value) is bool for value in values)


def _is_number(value: object) -> bool:
    return type(value) in _NUMBERS


def _are_alike(left: Any, right: Any) -> bool:
    """Two numbers, or two sequences of pairs of such."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return all(map(_are_alike, left, right))
    return type(left) is int and type(right) is int


def _is_plain_tensor(value: object) -> bool:
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return False
    return all(type(size) is int for size in (*value.shape, *value.stride(), value.storage_offset()))


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _itself(value: Any) -> Any:
    return value


def _are_ints(*values: object) -> bool:
    return all(type(value) is int for value in values)


_RULES: Mapping[str, Mapping[str, tuple[Callable[..., bool], Callable[..., Any]]]] = MappingProxyType(
    {
        _SHAPES: {
            "expect_true": (_are_bools, _itself),
            "guard_or_false": (_are_bools, _itself),
            "guard_or_true": (_are_bools, _itself),
            "guard_size_oblivious": (_are_bools, _itself),
            "statically_known_true": (_are_bools, _itself),
            "sym_and": (_are_bools, lambda *values: all(values)),
            "sym_or": (_are_bools, lambda *values: any(values)),
            "sym_eq": (_are_alike, _equal),
            "is_nested_int": (_is_number, lambda value: False),
            "has_guarding_hint": (_is_number, lambda value: True),
            "guarding_hint_or_throw": (_is_number, _itself),
            "free_unbacked_symbols": (_is_plain_tensor, lambda value: OrderedSet()),
            # Imported by name from 2.14 on, by a module of attention that transformers loads.
            "has_free_unbacked_symbols": (_is_plain_tensor, lambda value: False),
        },
        _FUNCTIONS: {"Max": (_are_ints, max)},
    }
)
"""By module: when a function may be answered here, and the answer."""
