"""Pickled pandas tables, read without pandas."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ilora.data import DataError
from ilora.data.readers.frame import read_frame


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_columns_come_back_whatever_numpy_wrote_them(tmp_path: Path, pickles: SimpleNamespace, core: str) -> None:
    path = tmp_path / "Test_data.df"
    path.write_bytes(pickles.frame_bytes([[1, 2], [3, 9]], [2, 1], [5, 6], core))

    columns = read_frame(path)

    assert columns["seq"] == [[1, 2], [3, 9]]
    assert np.array_equal(columns["len_seq"], [2, 1])
    assert np.array_equal(columns["next"], [5, 6])


def test_numbers_of_several_columns_may_share_a_block_in_either_order(tmp_path: Path, pickles: SimpleNamespace) -> None:
    # given one block that holds columns 2 and 0 (in this order), stored column by column
    frame = pickles.frame({"a": np.array([0]), "b": np.array([0]), "c": np.array([0])})
    manager = frame.state["_mgr"]
    blocks, axes = manager.args
    both = pickles.Called(
        pickles.Named("numpy.core.numeric", "_frombuffer"),
        (bytearray(np.array([[7], [8]]).tobytes()), pickles.dtype("i8"), (2, 1), "F"),
    )
    shared = pickles.Called(blocks[0].function, (both, pickles.numbers([2, 0]), 2))
    frame.state["_mgr"] = pickles.Called(manager.function, ((blocks[1], shared), axes))
    path = tmp_path / "x.df"
    path.write_bytes(pickles.assemble(frame))

    columns = read_frame(path)

    assert {name: list(values) for name, values in columns.items()} == {"a": [8], "b": [0], "c": [7]}


def test_numpy_scalars_inside_tuples_become_numbers(tmp_path: Path, pickles: SimpleNamespace) -> None:
    path = tmp_path / "x.df"
    entry = (pickles.scalar(704), pickles.scalar(5))
    path.write_bytes(pickles.frame_bytes([[entry, (1682, 0)]], [1], [entry]))

    assert read_frame(path)["seq"] == [[(704, 5), (1682, 0)]]


def test_nothing_of_pandas_is_needed_or_imported(release: Path) -> None:
    read_frame(release / "train_data.df")

    assert "pandas" not in sys.modules


class _Runs:
    """Pickled, this would write a file on loading."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_a_foreign_global_is_refused_by_name_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.df", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"seq": _Runs(trace)}, protocol=5))

    with pytest.raises(DataError, match=r"evil\.df: the pickle names pathlib\.") as refused:
        read_frame(path)

    assert "which is refused" in str(refused.value)
    assert not trace.exists()


def test_a_truncated_file_says_so(release: Path) -> None:
    path = release / "train_data.df"
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(DataError, match=r"train_data\.df: truncated pickle"):
        read_frame(path)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2, 3],
        {"seq": [1]},
        None,
    ],
)
def test_a_pickle_that_is_no_table_says_what_was_expected(tmp_path: Path, content: object) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(pickle.dumps(content))

    with pytest.raises(DataError, match=r"x\.df: found .* where DataFrame belongs\. Expected: a pandas DataFrame"):
        read_frame(path)


def _endless(pickles: SimpleNamespace) -> Any:
    knot: list[Any] = [[1]]
    knot.append(knot)
    return pickles.frame({"seq": [knot], "len_seq": np.array([1]), "next": np.array([1])})


def _mismatched(pickles: SimpleNamespace) -> Any:
    frame = pickles.frame({"seq": [[1]], "len_seq": np.array([1])})
    blocks, axes = frame.state["_mgr"].args
    frame.state["_mgr"] = pickles.Called(frame.state["_mgr"].function, (blocks[:1], axes))
    return frame


def _with_values(pickles: SimpleNamespace, values: Any) -> Any:
    frame = pickles.frame({"seq": [[1]]})
    blocks, axes = frame.state["_mgr"].args
    block = pickles.Called(blocks[0].function, (values, blocks[0].args[1], 2))
    frame.state["_mgr"] = pickles.Called(frame.state["_mgr"].function, ((block,), axes))
    return frame


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (_endless, "nested more than"),
        (_mismatched, "do not make a table"),
        (lambda pickles: _with_values(pickles, pickles.objects((1, 3), [[1]])), "holds 1 values"),
        (lambda pickles: _with_values(pickles, pickles.objects((10**9, 0), [])), "has shape"),
        (lambda pickles: _with_values(pickles, "text"), "expected an array"),
        (lambda pickles: _with_values(pickles, pickles.objects((2, 1), [[1], [2]])), "2 columns is placed on 1"),
    ],
)
def test_a_table_whose_parts_do_not_fit_is_refused(
    tmp_path: Path, pickles: SimpleNamespace, build: Any, message: str
) -> None:
    path = tmp_path / "x.df"
    path.write_bytes(pickles.assemble(build(pickles)))

    with pytest.raises(DataError, match=message):
        read_frame(path)
