"""Importing transformers and peft without what no estimate uses: half of the time before the first step.

Four things are kept out while they are imported, none of which a step on one card calls:

* `torch.distributed` sharding (DTensor, FSDP and with them sympy): transformers imports it where
  `torch.distributed.is_available()` says so.
* `torch._dynamo`, imported for one class and some decorators. The class is handed out by a stand-in that fetches the
  real one when it is first constructed.
* bitsandbytes, which peft imports where it is installed: no configuration has quantised weights.
* Reading every file of `transformers.models` (3,000 of them) for its `__all__`: the answer is kept in the user's cache
  folder, under the version and the time of the folder.

A fifth is kept out for good, until something asks for it: symbolic shapes (`probes.plain_shapes`). What was kept out
can be imported normally afterwards.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed

from probes import plain_shapes

_DYNAMO, _WRAPPED = "torch._dynamo", "torch._dynamo._trace_wrapped_higher_order_op"
_QUANTISATION = "bitsandbytes"
_STRUCTURE_MODULE = "transformers.utils.import_utils"


class _LateClass:
    """Stands for a class of the compiler until somebody constructs it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        real = importlib.import_module(_WRAPPED)
        return real.TransformGetItemToIndex(*args, **kwargs)


class _Compiler(ModuleType):
    """`torch._dynamo` for decorators; anything else brings the real module in."""

    def __init__(self) -> None:
        super().__init__(_DYNAMO)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("assume_constant_result", "allow_in_graph", "disable", "forbid_in_graph"):
            return _undecorated
        _withdraw()
        return getattr(importlib.import_module(_DYNAMO), name)


def _undecorated(function: Any = None, *_: Any, **__: Any) -> Any:
    return function if function is not None else lambda inner: inner


def _withdraw() -> None:
    for name in (_DYNAMO, _WRAPPED):
        if isinstance(sys.modules.get(name), ModuleType) and getattr(sys.modules[name], "is_stand_in", False):
            del sys.modules[name]
    if getattr(vars(torch).get("_dynamo"), "is_stand_in", False):
        del torch._dynamo


@contextmanager
def lean_imports(cache_dir: Path | None) -> Iterator[None]:
    """Keep the four things out inside the block; where one is loaded already, it stays.

    Args:
        cache_dir: for the list of names; None reads every file.
    """
    is_available = torch.distributed.is_available
    finder = _StructureFinder(cache_dir) if cache_dir is not None and "transformers" not in sys.modules else None
    if _DYNAMO not in sys.modules:
        compiler, wrapped = _Compiler(), ModuleType(_WRAPPED)
        wrapped.TransformGetItemToIndex = _LateClass  # type: ignore[attr-defined]
        for module in (compiler, wrapped):
            module.is_stand_in = True  # type: ignore[attr-defined]
        sys.modules.update({_DYNAMO: compiler, _WRAPPED: wrapped})
        torch._dynamo = compiler
    without_quantisation = _QUANTISATION not in sys.modules
    if without_quantisation:
        sys.modules[_QUANTISATION] = None  # type: ignore[assignment]  # as documented: importing it is an ImportError
    torch.distributed.is_available = lambda: False
    plain_shapes.install()
    if finder is not None:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        torch.distributed.is_available = is_available
        if without_quantisation:
            del sys.modules[_QUANTISATION]
        _withdraw()
        if finder is not None:
            sys.meta_path.remove(finder)


class _StructureFinder(importlib.abc.MetaPathFinder):
    """Finds one module as ever, and lets it remember what it reads from the models' folder."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The ordinary spec with our loader for that module; None for all others."""
        if name != _STRUCTURE_MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Remembering(spec.loader, self._cache_dir)
        return spec


class _Remembering(importlib.abc.Loader):
    """Runs the real loader, then puts a memory in front of `create_import_structure_from_path`."""

    def __init__(self, real: Any, cache_dir: Path) -> None:
        self._real, self._cache_dir = real, cache_dir

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, and replace the one function if it is there."""
        self._real.exec_module(module)
        read = getattr(module, "create_import_structure_from_path", None)
        if read is not None:
            module.create_import_structure_from_path = _remembered(read, self._cache_dir)  # type: ignore[attr-defined]


def _remembered(read: Callable[[Any], Any], cache_dir: Path) -> Callable[[Any], Any]:
    known: dict[str, Any] = {}

    def remembered(module_path: Any) -> Any:
        folder = Path(module_path)
        if folder.suffix == ".py":
            folder = folder.parent
        if folder.name != "models":
            return read(module_path)
        key = os.path.realpath(folder)
        if key not in known:
            known[key] = _from_disk(folder, cache_dir, lambda: read(module_path))
        return known[key]

    return remembered


def _from_disk(folder: Path, cache_dir: Path, read: Callable[[], Any]) -> Any:
    """What `read` returns, kept on disk; a cache that cannot be read or written costs time alone."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        stamp = f"{version('transformers')}-{folder.stat().st_mtime_ns}-{sys.version_info[0]}.{sys.version_info[1]}"
    except (PackageNotFoundError, OSError):
        return read()
    file = cache_dir / f"transformers-names-{stamp}.pickle"
    with suppress(OSError, pickle.UnpicklingError, EOFError, AttributeError, ValueError):
        if file.stat().st_uid == os.getuid():
            with file.open("rb") as content:
                return _Names(content).load()
    found = read()
    with suppress(OSError):
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache_dir, suffix=".part")
        with os.fdopen(handle, "wb") as out:
            pickle.dump(found, out, protocol=4)
        Path(name).replace(file)
    return found


class _Names(pickle.Unpickler):
    """Reads containers of text and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Frozen sets are the only objects in it that pickle finds by name."""
        if (module, name) == ("builtins", "frozenset"):
            return frozenset
        raise pickle.UnpicklingError(f"{module}.{name} has no place among names")
