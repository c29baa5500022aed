"""Columns of a pickled pandas table, without pandas and without running anything the file asks for.

Every global the file names becomes an inert bag (`ilora.safe_pickle`), numpy's own functions too: rebuilding arrays
from bytes a stranger wrote is done here, where it can be checked. What is known is the layout that pandas 1.3 and
later write: a DataFrame whose state holds a BlockManager of `_unpickle_block(values, placement, ndim)` calls.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ilora.data.errors import DataError
from ilora.safe_pickle import Bag, BrokenPickleError, PickleRefusedError, bag_type, restricted_load

FrameColumn: TypeAlias = list[Any] | npt.NDArray[Any]
"""Numbers as an array; objects as a list, numpy scalars in it as plain numbers."""

_NUMPY_CORES = ("numpy.core", "numpy._core")  # before and since numpy 2
_GLOBALS = frozenset(
    {
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("pandas.core.frame", "DataFrame"),
        ("pandas.core.indexes.base", "Index"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("pandas.core.indexes.range", "RangeIndex"),
        ("pandas.core.internals.managers", "BlockManager"),
        ("pandas._libs.internals", "_unpickle_block"),
        *((f"{core}.multiarray", name) for core in _NUMPY_CORES for name in ("_reconstruct", "scalar")),
        *((f"{core}.numeric", "_frombuffer") for core in _NUMPY_CORES),
    }
)
_MAX_BLOCK_ROWS = 1000
_MAX_DEPTH = 3  # a column's value, a list in it, a tuple in that: a list that contains itself ends here
_NUMBER_CODES = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)) | {"f4", "f8"}


class _LayoutError(Exception):
    """The pickle is allowed but is not a table as we know them."""


def read_frame(path: Path) -> dict[str, FrameColumn]:
    """Columns of a `.df` file by name.

    Raises:
        DataError: unreadable, truncated, naming a global outside pandas's and numpy's known ones, or no table.
    """
    expected = "a pandas DataFrame written by DataFrame.to_pickle, uncompressed"
    try:
        with path.open("rb") as file:
            frame = restricted_load(file, allowed={("builtins", "slice"): _slice_bounds}, stand_in=_stand_in)
        return _columns(frame)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Expected: {expected}") from error
    except PickleRefusedError as error:
        raise DataError(f"{error}. Expected: {expected}; get the file from a source you trust") from error
    except BrokenPickleError as error:
        raise DataError(f"{error}. Expected: {expected}; fetch the file again") from error
    except _LayoutError as error:
        raise DataError(f"{path}: {error}. Expected: {expected} with columns seq, len_seq, next") from error


@functools.cache
def _stand_in(module: str, name: str) -> type[Bag] | None:
    return bag_type(module, name) if (module, name) in _GLOBALS else None


def _slice_bounds(*bounds: Any) -> tuple[int, int, int]:
    """What `slice(start, stop, step)` says, checked; the slice itself is made where it is used."""
    if len(bounds) != 3 or not all(type(bound) is int and abs(bound) < 2**31 for bound in bounds) or not bounds[2]:
        raise ValueError(f"slice{bounds!r} places no columns")
    start, stop, step = bounds
    return start, stop, step


def _columns(frame: object) -> dict[str, FrameColumn]:
    state = _bag(frame, "DataFrame").state
    manager = _bag(state.get("_mgr") if isinstance(state, dict) else None, "BlockManager")
    blocks, axes = _arguments(manager, 2)
    names = _column_names(axes)
    columns: dict[str, FrameColumn] = {}
    for block in blocks if isinstance(blocks, tuple) else ():
        values, placement, _ = _arguments(_bag(block, "_unpickle_block"), 3)
        rows = list(_block_rows(values))
        places = _placement(placement, len(names))
        if len(rows) != len(places):
            raise _LayoutError(f"a block of {len(rows)} columns is placed on {len(places)}")
        columns.update(zip((names[place] for place in places), rows, strict=True))
    if len({len(column) for column in columns.values()}) > 1 or set(columns) != set(names):
        raise _LayoutError("the columns do not make a table")
    return columns


def _column_names(axes: object) -> list[str]:
    index = _bag(axes[0] if isinstance(axes, list) and axes else None, "_new_Index")
    _, fields = _arguments(index, 2)
    data = fields.get("data") if isinstance(fields, dict) else None
    names = next(_block_rows(data), None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _LayoutError("the column names are not text")
    return names


def _placement(placement: object, num_columns: int) -> list[int]:
    """Which columns a block's rows are."""
    if isinstance(placement, tuple):
        places = list(range(*placement)[: num_columns + 1])
    else:
        places = [int(place) for row in _block_rows(placement) for place in row]
    if not all(0 <= place < num_columns for place in places):
        raise _LayoutError(f"a block is placed outside the {num_columns} columns")
    return places


def _block_rows(array: object) -> Iterator[FrameColumn]:
    """Rows of a pickled array of one or two dimensions."""
    if not isinstance(array, Bag):
        raise _LayoutError(f"expected an array, found {type(array).__name__}")
    if array.origin[1] == "_frombuffer":
        data, dtype, shape, order = _arguments(array, 4)
        fortran = order == "F"
    elif array.origin[1] == "_reconstruct" and isinstance(array.state, tuple) and len(array.state) == 5:
        _, shape, dtype, fortran, data = array.state
    else:
        raise _LayoutError(f"expected an array, found {'.'.join(array.origin)}")
    num_rows, width = _two_dimensions(shape)
    flat = _flat_values(data, dtype)
    if len(flat) != num_rows * width:
        raise _LayoutError(f"an array of shape {shape} holds {len(flat)} values")
    for row in range(num_rows):
        yield flat[row::num_rows] if fortran else flat[row * width : (row + 1) * width]


def _two_dimensions(shape: object) -> tuple[int, int]:
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise _LayoutError(f"an array has shape {shape!r}")
    if len(shape) == 1:
        return 1, shape[0]
    if len(shape) == 2 and shape[0] <= _MAX_BLOCK_ROWS:
        return shape[0], shape[1]
    raise _LayoutError(f"an array has shape {shape}")


def _flat_values(data: object, dtype: object) -> FrameColumn:
    code = _number_code(dtype)
    if code is None and isinstance(data, list):
        return [_plain(value) for value in data]
    if code is not None and isinstance(data, bytes | bytearray) and len(data) % code.itemsize == 0:
        return np.frombuffer(data, dtype=code)
    raise _LayoutError(f"an array's data is {type(data).__name__}, which does not fit its type")


def _number_code(dtype: object) -> np.dtype[Any] | None:
    """The numpy type a pickled dtype stands for; None for Python objects."""
    bag = _bag(dtype, "dtype")
    code = bag.args[0] if bag.args else None
    if code in ("O", "O8"):
        return None
    order = bag.state[1] if isinstance(bag.state, tuple) and len(bag.state) > 1 else None
    if code not in _NUMBER_CODES or order not in ("<", ">", "|"):
        raise _LayoutError(f"a column has type {code!r}")
    return np.dtype(f"{order}{code}")


def _plain(value: object, depth: int = 1) -> object:
    """A value of an object column with numpy scalars turned into numbers, also inside lists and tuples."""
    if isinstance(value, list | tuple):
        if not any(isinstance(part, list | tuple | Bag) for part in value):
            return value
        if depth == _MAX_DEPTH:
            raise _LayoutError(f"a value is nested more than {_MAX_DEPTH} deep")
        return type(value)(_plain(part, depth + 1) for part in value)
    if not isinstance(value, Bag):
        return value
    dtype, data = _arguments(_bag(value, "scalar"), 2)
    numbers = _flat_values(data, dtype)
    if not isinstance(numbers, np.ndarray) or len(numbers) != 1:
        raise _LayoutError("a scalar holds more or less than one number")
    return numbers.item()


def _bag(value: object, name: str) -> Bag:
    if not isinstance(value, Bag) or value.origin[1] != name:
        found = ".".join(value.origin) if isinstance(value, Bag) else type(value).__name__
        raise _LayoutError(f"found {found} where {name} belongs")
    return value


def _arguments(bag: Bag, count: int) -> tuple[Any, ...]:
    if len(bag.args) != count:
        raise _LayoutError(f"{'.'.join(bag.origin)} has {len(bag.args)} arguments instead of {count}")
    return bag.args
