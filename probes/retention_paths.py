"""From a named object down to the tensors it keeps alive: one step at a time, and what such a step is called.

Python's collector knows what refers to what, but not by which name. So objects are taken apart here by kind: a dict by
its keys, an object by its attributes, a function by its closure and defaults, an exception by its traceback, a tensor
by the autograd graph that made it. A graph is read without unpacking: an unpack hook may compute the saved tensor anew.
"""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

OWN_PACKAGES = ("probes", "ilora_diag")
_NO_SNAPSHOT = sys.version_info >= (3, 13)  # PEP 667: f_locals is a view, not a copy that is kept
_ATOMS = (
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    range,
    type(None),
    type(Ellipsis),
    types.ModuleType,
    types.CodeType,
    types.BuiltinFunctionType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MappingProxyType,
    weakref.ReferenceType,
    weakref.ProxyType,
    weakref.CallableProxyType,
    torch.dtype,
    torch.device,
    torch.Generator,
    torch.UntypedStorage,
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One step from an object to something it holds.

    Attributes:
        name: how it is written in a name, `.losses` or `['step']`; empty where nothing need be written, None where
            the step has no name by which it could be taken again in another process.
        words: what it is, for people; empty for a step that explains nothing.
    """

    name: str | None
    words: str


Child = tuple[Hop, Any]


def is_user_class(kind: type) -> bool:
    """Whether a class is from a script or a project rather than from an installed package."""
    name = getattr(kind, "__module__", None)
    return isinstance(name, str) and is_user_module(sys.modules.get(name))


def is_user_module(module: types.ModuleType | None) -> bool:
    """Whether a module is neither installed, nor the interpreter's, nor ours."""
    if module is None:
        return False
    names = vars(module)  # some modules of torch answer to any attribute
    name, file = names.get("__name__"), names.get("__file__")
    if not isinstance(name, str) or name.partition(".")[0] in (*OWN_PACKAGES, "ilora"):
        return False
    return name == "__main__" or (isinstance(file, str) and is_user_file(file))


def is_user_file(path: str) -> bool:
    """Whether a source file belongs to a user's project."""
    return bool(path) and not path.startswith("<") and not path.startswith(_INSTALLED) and "site-packages" not in path


def _installed() -> tuple[str, ...]:
    import sysconfig

    paths = sysconfig.get_paths()
    ours = __file__.rpartition("/probes/")[0]
    own = tuple(f"{ours}/{package}/" for package in (*OWN_PACKAGES, "ilora"))
    return (*(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *own)


_INSTALLED = _installed()


def locals_of(frame: types.FrameType) -> dict[str, Any]:
    """The local variables of a running or finished function, in a dict of their own.

    Before Python 3.13 asking for them leaves a copy on the frame, which would keep every tensor in it alive: the copy
    is emptied again.
    """
    found = dict(frame.f_locals)
    if not _NO_SNAPSHOT and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        frame.f_locals.clear()
    return found


def children(value: Any) -> Iterator[Child]:
    """What an object holds, with the names of the steps. Nothing of ours and no module is entered."""
    kind = type(value)
    taker = _takers.get(kind, _UNKNOWN)
    if taker is _UNKNOWN:
        taker = _takers[kind] = _taker(kind)
    if taker is not None:
        yield from taker(value)


Taker = Callable[[Any], Iterator[Child]]
# By class, weakly: a class keeps the globals of its script alive, and so everything in them.
_takers: weakref.WeakKeyDictionary[type, Any] = weakref.WeakKeyDictionary()
_UNKNOWN = object()


def _taker(kind: type) -> Taker | None:
    """How objects of a class are taken apart. The class is asked, not the object, whose `__class__` may run code."""
    package = kind.__dict__.get("__module__", "")
    if issubclass(kind, _ATOMS) or (isinstance(package, str) and package.partition(".")[0] in OWN_PACKAGES):
        return None
    for known, take in _KINDS:
        if issubclass(kind, known):
            found: Taker = take
            return found
    return _of_node if hasattr(kind, "next_functions") else _of_object


def _key(key: Any) -> str | None:
    return f"[{key!r}]" if isinstance(key, (str, int)) and not isinstance(key, bool) else None


def _of_dict(value: dict[Any, Any]) -> Iterator[Child]:
    for key, member in list(dict.items(value)):
        named = _key(key)
        yield Hop(named, f"dict key {key!r}" if named else f"dict value of a {type(key).__name__}"), member
        if named is None and not isinstance(key, tuple):
            yield Hop(None, "dict key"), key
    if type(value) is not dict:
        yield from _of_attributes(value)


def _of_sequence(value: Any) -> Iterator[Child]:
    for place, member in enumerate(list(value)):
        yield Hop(f"[{place}]", f"item {place}"), member
    if type(value) not in (list, tuple, deque):
        yield from _of_attributes(value)


def _of_set(value: Any) -> Iterator[Child]:
    for member in list(value):
        yield Hop(None, "member of a set"), member


def _of_function(value: types.FunctionType) -> Iterator[Child]:
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
        try:
            yield Hop(f".{name}", f"closure variable {name}"), cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name, member in defaults_of(value).items():
        yield Hop(f".{name}", f"default argument {name}"), member
    for name, member in vars(value).items():
        yield Hop(f".{name}", f"function attribute {name}"), member


def defaults_of(value: types.FunctionType) -> dict[str, Any]:
    """Default arguments of a function, by name."""
    code, given = value.__code__, value.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(given) : code.co_argcount]
    return dict(zip(names, given, strict=True)) | (value.__kwdefaults__ or {})


def _of_method(value: types.MethodType) -> Iterator[Child]:
    yield Hop(".__self__", "object of a bound method"), value.__self__
    yield Hop(".__func__", "function of a bound method"), value.__func__


def _of_partial(value: Any) -> Iterator[Child]:
    yield Hop(".func", "function of a partial"), value.func
    yield Hop(".args", "arguments of a partial"), value.args
    yield Hop(".keywords", "keywords of a partial"), value.keywords


def _of_cell(value: types.CellType) -> Iterator[Child]:
    try:
        yield Hop(None, "closure cell"), value.cell_contents
    except ValueError:
        return


def _of_exception(value: BaseException) -> Iterator[Child]:
    yield Hop(".__traceback__", "traceback"), value.__traceback__
    yield Hop(".__context__", "exception it was raised during"), value.__context__
    yield Hop(".__cause__", "exception it was raised from"), value.__cause__
    yield Hop(".args", "arguments of the exception"), value.args
    yield from _of_attributes(value)


def _of_traceback(value: types.TracebackType) -> Iterator[Child]:
    yield Hop(None, ""), value.tb_next
    yield Hop(None, f"frame of {function_name(value.tb_frame)}"), value.tb_frame


def _of_frame(value: types.FrameType) -> Iterator[Child]:
    if is_own_file(value.f_code.co_filename) or value.f_code.co_name == "<module>":
        return
    for name, member in locals_of(value).items():
        yield Hop(None, f"local variable {name}"), member


def _of_class(value: type) -> Iterator[Child]:
    if is_user_class(value):
        for name, member in list(vars(value).items()):
            yield Hop(f".{name}", f"class attribute {name}"), member


def _of_tensor(value: Tensor) -> Iterator[Child]:
    if value.is_leaf and value.grad is not None:
        yield Hop(".grad", "gradient"), value.grad
    if value.grad_fn is not None:
        yield Hop(None, f"grad_fn {value.grad_fn.name()}"), value.grad_fn
    if value._base is not None:
        yield Hop(None, "base of a view"), value._base
    yield from _of_attributes(value)


def _of_node(value: Any) -> Iterator[Child]:
    """A node of the autograd graph: what it saved, packed as it is, and the nodes before it."""
    label = value.name()
    for name in dir(value):
        if name.startswith("_raw_saved"):
            saved = _get(value, name)
            for one in saved if isinstance(saved, (tuple, list)) else (saved,):
                yield from _of_saved(one, label)
    for earlier, _ in value.next_functions:
        if earlier is not None:
            yield Hop(None, ""), earlier
    yield from _of_attributes(value)


def _of_saved(saved: Any, label: str) -> Iterator[Child]:
    data, unpack = _get(saved, "data"), _get(saved, "unpack_hook")
    if data is not None:
        yield Hop(None, f"saved by {label}"), data
    if unpack is not None:
        yield Hop(None, f"unpack hook of {label}"), unpack


def _get(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except (AttributeError, RuntimeError):  # saved tensors that were freed already
        return None


def _of_referents(value: Any) -> Iterator[Child]:
    """Generators and objects of C: what the collector says they hold, without names."""
    words = f"held by {type(value).__name__}"
    for member in gc.get_referents(value):
        if not isinstance(member, type):
            yield Hop(None, words), member


def _of_object(value: Any) -> Iterator[Child]:
    named = set()
    for hop, member in _of_attributes(value):
        named.add(id(member))
        yield hop, member
    if is_user_class(type(value)):
        yield Hop("", ""), type(value)
    if not issubclass(type(value), torch.nn.Module):
        for hop, member in _of_referents(value):  # what classes of C hold beside their attributes
            if id(member) not in named:
                yield hop, member


def attributes_of(value: Any) -> Mapping[str, Any]:
    """An object's own attributes, without running any code of its class."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        found = {}
    held: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
    for base in type(value).__mro__:
        for name, slot in vars(base).items():
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    held.setdefault(name, slot.__get__(value, type(value)))
                except AttributeError:
                    continue
    return held


def _of_attributes(value: Any) -> Iterator[Child]:
    is_module = issubclass(type(value), torch.nn.Module)
    for name, member in attributes_of(value).items():
        if is_module and name in ("_parameters", "_buffers", "_modules") and isinstance(member, dict):
            for key, inner in list(member.items()):
                yield Hop(_attribute(key), f"{_MODULE_PARTS[name]} {key}"), inner
        else:
            yield Hop(f".{name}", f"attribute {name}"), member


_MODULE_PARTS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "module"}


def _attribute(key: str) -> str:
    """Members of a ModuleList are called by number, those of a ModuleDict by any text."""
    return f".{key}" if key.isidentifier() or key.isdigit() else f"[{key!r}]"


def function_name(frame: types.FrameType) -> str:
    """What a function is called inside the one that defines it: `train`, `Trainer.fit`."""
    return frame.f_code.co_qualname.rpartition("<locals>.")[2]


def is_own_file(path: str) -> bool:
    """Whether a source file is one of the packages that watch."""
    return path.startswith(_INSTALLED[-3:-1])


_KINDS: tuple[tuple[Any, Any], ...] = (
    (Tensor, _of_tensor),
    (dict, _of_dict),
    ((list, tuple, deque), _of_sequence),
    ((set, frozenset), _of_set),
    (types.FunctionType, _of_function),
    (types.MethodType, _of_method),
    (functools.partial, _of_partial),
    (types.CellType, _of_cell),
    (BaseException, _of_exception),
    (types.TracebackType, _of_traceback),
    (types.FrameType, _of_frame),
    (type, _of_class),
    ((types.GeneratorType, types.CoroutineType), _of_referents),
)
