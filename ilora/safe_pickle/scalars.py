"""Numpy scalars inside pickles, without lending numpy's constructors.

Numpy's own `dtype` builds object and structured types from text of the file's choice and `scalar` reinterprets bytes
as them. Here a dtype is a bag that only resolves to plain numbers, and a scalar becomes a Python number.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ilora.safe_pickle.bags import Bag
from ilora.safe_pickle.errors import GlobalName

_NUMBER = re.compile(r"[iuf][248]|[iub]1")


class DtypeBag(Bag):
    """A pickled `numpy.dtype`: `args[0]` is its code ("i8", "O8"), `state[1]` its byte order once built."""

    __slots__ = ()
    origin = ("numpy", "dtype")

    def to_numpy(self) -> np.dtype[Any]:
        """The dtype, if it is a boolean, integer or float.

        Raises:
            ValueError: any other type, objects and structures among them.
        """
        code = self.args[0] if self.args else None
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise ValueError(
                f"numpy dtype {reprlib.repr(code)} is not accepted; accepted are booleans, integers and floats"
            )
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"numpy byte order {reprlib.repr(order)} is not accepted")
        return np.dtype(f"{order}{code}")


def number(dtype: object, raw: object) -> int | float | bool:
    """`numpy.core.multiarray.scalar` for numbers: the Python value of `raw` bytes.

    Raises:
        ValueError: not a number's dtype, or the bytes do not have its size.
    """
    if not isinstance(dtype, DtypeBag) or not isinstance(raw, bytes):
        raise ValueError("a numpy scalar needs a dtype and bytes")  # noqa: TRY004 - the file's fault, as the rest
    kind = dtype.to_numpy()
    if len(raw) != kind.itemsize:
        raise ValueError(f"a numpy scalar of {kind} has {kind.itemsize} bytes, got {len(raw)}")
    value: int | float | bool = np.frombuffer(raw, kind)[0].item()
    return value


def latin1_bytes(text: object, encoding: object) -> bytes:
    """`_codecs.encode` as protocol 2 uses it to carry bytes; no other codec (some of them decompress)."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"_codecs.encode with {reprlib.repr(encoding)} is not accepted; accepted is latin1")
    return text.encode("latin1")


NUMPY_SCALARS: Mapping[GlobalName, object] = MappingProxyType(
    {
        ("numpy", "dtype"): DtypeBag,
        ("numpy.core.multiarray", "scalar"): number,
        ("numpy._core.multiarray", "scalar"): number,
        ("_codecs", "encode"): latin1_bytes,
    }
)
"""Allow-list entries for numbers pickled as numpy scalars, by numpy 1 and 2."""
