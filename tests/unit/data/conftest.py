"""Files of the formats the readers know, made on the spot."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ilora.config import DataConfig
from ilora.data import SequenceData, load_data


@dataclass(frozen=True)
class Named:
    """A global, written by name: nothing of that name needs to exist here."""

    module: str
    name: str


@dataclass(frozen=True)
class Called:
    """`function(*args)`, then `.__setstate__(state)` where there is one; `new` writes NEWOBJ as for classes."""

    function: Named
    args: tuple[Any, ...]
    state: Any = None
    new: bool = False


class Assembler(pickle._Pickler):
    """A pickler that also writes `Named` and `Called`, so that files need no pandas to be made."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.save(obj.module)
            self.save(obj.name)
            self.write(pickle.STACK_GLOBAL)
        elif isinstance(obj, Called):
            self.save(obj.function)
            self.save(obj.args)
            self.write(pickle.NEWOBJ if obj.new else pickle.REDUCE)
            if obj.state is not None:
                self.save(obj.state)
                self.write(pickle.BUILD)
        else:
            super().save(obj, save_persistent_id)


def assemble(obj: Any) -> bytes:
    buffer = io.BytesIO()
    Assembler(buffer, protocol=5).dump(obj)
    return buffer.getvalue()


def pickled_dtype(code: str) -> Called:
    order = "|" if code == "O8" else "<"
    return Called(Named("numpy", "dtype"), (code, False, True), (3, order, None, None, None, -1, -1, 0))


def pickled_numbers(values: Any, core: str = "numpy.core") -> Called:
    array = np.asarray(values, dtype=np.int64)
    return Called(
        Named(f"{core}.numeric", "_frombuffer"), (bytearray(array.tobytes()), pickled_dtype("i8"), array.shape, "C")
    )


def pickled_objects(shape: tuple[int, ...], values: list[Any], core: str = "numpy.core") -> Called:
    start = (Named("numpy", "ndarray"), (0,), b"b")
    return Called(Named(f"{core}.multiarray", "_reconstruct"), start, (1, shape, pickled_dtype("O8"), False, values))


def pickled_scalar(value: int, core: str = "numpy.core") -> Called:
    return Called(Named(f"{core}.multiarray", "scalar"), (pickled_dtype("i8"), np.int64(value).tobytes()))


def pickled_frame(columns: dict[str, Any], core: str = "numpy.core") -> Called:
    """A DataFrame as pandas 1.3 and later pickle it: arrays in one block each, lists as object blocks."""
    num_rows = len(next(iter(columns.values())))
    blocks = []
    for place, values in enumerate(columns.values()):
        body = (
            pickled_numbers(values[None, :], core)
            if isinstance(values, np.ndarray)
            else pickled_objects((1, num_rows), values, core)
        )
        where = Called(Named("builtins", "slice"), (place, place + 1, 1))
        blocks.append(Called(Named("pandas._libs.internals", "_unpickle_block"), (body, where, 2)))
    names = Called(
        Named("pandas.core.indexes.base", "_new_Index"),
        (
            Named("pandas.core.indexes.base", "Index"),
            {"data": pickled_objects((len(columns),), list(columns), core), "name": None},
        ),
    )
    rows = Called(
        Named("pandas.core.indexes.base", "_new_Index"),
        (
            Named("pandas.core.indexes.range", "RangeIndex"),
            {"name": None, "start": 0, "stop": num_rows, "step": 1},
        ),
    )
    manager = Called(Named("pandas.core.internals.managers", "BlockManager"), (tuple(blocks), [names, rows]))
    state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": {}}
    return Called(Named("pandas.core.frame", "DataFrame"), (), state, new=True)


def frame_bytes(
    seq: Sequence[Any], len_seq: Sequence[Any], following: Sequence[Any], core: str = "numpy.core"
) -> bytes:
    def column(values: Sequence[Any]) -> Any:
        return np.array(values, dtype=np.int64) if all(type(value) is int for value in values) else list(values)

    columns = {"seq": list(seq), "len_seq": column(len_seq), "next": column(following)}
    return assemble(pickled_frame(columns, core))


@pytest.fixture
def pickles() -> SimpleNamespace:
    """What writes pickles by hand: see the functions of the same names."""
    return SimpleNamespace(
        Named=Named, Called=Called, assemble=assemble, dtype=pickled_dtype, numbers=pickled_numbers,
        objects=pickled_objects, scalar=pickled_scalar, frame=pickled_frame, frame_bytes=frame_bytes,
    )  # fmt: skip


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release folder with six artists and users whose rows grow as the release's do."""
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "id2name.txt").write_text("".join(f"{item}::Artist {item}\n" for item in range(6)), encoding="utf-8")
    train = [[6, 6, 6, 6], [0, 6, 6, 6], [0, 1, 6, 6], [0, 1, 2, 6], [0, 1, 2, 3], [6, 6, 6, 6], [5, 6, 6, 6]]
    (folder / "train_data.df").write_bytes(frame_bytes(train, [1, 1, 2, 3, 4, 1, 1], [0, 1, 2, 3, 4, 5, 4]))
    (folder / "Val_data.df").write_bytes(frame_bytes([[3, 1, 2, 6]], [3], [5]))
    (folder / "Test_data.df").write_bytes(frame_bytes([[0, 2, 3, 6], [5, 4, 6, 6]], [3, 2], [1, 0]))
    return folder


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., SequenceData]:
    """`load_data` with a cache of the test's own; keywords are keys of the `data` configuration."""

    def call(source: str, path: Path | str | None = None, compat: str = "fixed", **keys: Any) -> SequenceData:
        keys.setdefault("cache_dir", str(tmp_path / "cache"))
        cfg = DataConfig(source=source, path=None if path is None else str(path), **keys)
        return load_data(cfg, compat=compat)

    return call
