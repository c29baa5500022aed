"""The unpickler with an allow-list."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, BinaryIO, NoReturn

from ilora.safe_pickle.bags import Bag
from ilora.safe_pickle.errors import BrokenPickleError, GlobalName, PickleRefusedError
from ilora.safe_pickle.scan import MAX_PICKLE_BYTES, inspect, read_limited

_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE: attributes of the class itself cannot be set

# Everything the unpickler and the allowed functions raise at a stream that does not fit; bugs of ours show as these
# too, with the original as the cause.
_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


def restricted_load(
    file: BinaryIO,
    *,
    allowed: Mapping[GlobalName, object],
    stand_in: Callable[[str, str], type | None],
    persistent_load: Callable[[Any], object] | None = None,
    max_bytes: int = MAX_PICKLE_BYTES,
    source: str | None = None,
) -> Any:
    """Unpickle `file` from its position on, with no other globals than these.

    Args:
        file: open binary file, zip member or BytesIO.
        allowed: global -> what to use for it: a function (sealed, so that the pickle can call but not alter it), an
            immutable type, a type with `__setstate__`, or a constant.
        stand_in: asked for every other global; returns a subclass of `Bag` (see `bag_type`), or None to refuse.
        persistent_load: resolves persistent ids (storages in torch files); without it they are refused.
        max_bytes: longer streams are refused.
        source: how errors name the file; default: the file's own name.

    Raises:
        PickleRefusedError: a global, opcode or size that is not allowed.
        BrokenPickleError: truncated, damaged, or rejected by an allowed function.
    """
    name = source or str(getattr(file, "name", "<pickle>"))
    data = read_limited(file, max_bytes, name)
    inspect(data, name)
    try:
        return _Unpickler(data, name, allowed, stand_in, persistent_load).load()
    except (PickleRefusedError, BrokenPickleError):
        raise
    except _DAMAGE as error:
        raise BrokenPickleError(f"{name}: damaged pickle ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        data: bytes,
        source: str,
        allowed: Mapping[GlobalName, object],
        stand_in: Callable[[str, str], type | None],
        persistent: Callable[[Any], object] | None,
    ) -> None:
        super().__init__(BytesIO(data))
        self._source, self._allowed, self._stand_in, self._persistent = source, allowed, stand_in, persistent

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._allowed:
            return _seal(self._allowed[module, name])
        bag = self._stand_in(module, name)
        if bag is None:
            lent = ", ".join(sorted(".".join(key) for key in self._allowed)) or "no globals at all"
            accepted = f"{lent}, and the classes this kind of file holds"
            raise PickleRefusedError(self._source, f"names {module}.{name}", accepted, (module, name))
        assert issubclass(bag, Bag), f"a stand-in must be a Bag, got {bag!r}"
        return bag

    def persistent_load(self, pid: Any) -> object:
        if self._persistent is None:
            raise PickleRefusedError(self._source, "refers to data outside itself", "self-contained pickles")
        return self._persistent(pid)


class _Door:
    """An allowed function as the pickle sees it: it can be called, not changed (BUILD could set `__defaults__`)."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it tries to alter an allowed function")


def _seal(entry: object) -> object:
    """An allow-list entry in the form in which it may enter the pickle's stack: nothing BUILD could write to."""
    if isinstance(entry, type):
        sealed = bool(entry.__flags__ & _IMMUTABLE_TYPE) or hasattr(entry, "__setstate__")
        assert sealed, f"the pickle could alter {entry!r}: give it a __setstate__ or wrap it in a function"
        return entry
    if callable(entry):
        return _Door(entry)
    assert not hasattr(entry, "__dict__"), f"the pickle could alter {entry!r}"
    return entry
