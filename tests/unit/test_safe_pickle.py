"""The unpickler that lends nothing it was not told to lend."""

from __future__ import annotations

import builtins
import collections
import copyreg
import io
import os
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ilora.safe_pickle import (
    NUMPY_SCALARS,
    Bag,
    BrokenPickleError,
    PickleRefusedError,
    PlainDict,
    bag_type,
    list_globals,
    restricted_load,
)

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Calls:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Thing:
    def __init__(self) -> None:
        self.name, self.parts = "thing", [1, 2]


def load(data: bytes, **overrides: Any) -> Any:
    lent: dict[str, Any] = {"allowed": {}, "stand_in": lambda module, name: None} | overrides
    return restricted_load(io.BytesIO(data), **lent)


def global_opcode(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_foreign_function_is_refused_by_name_and_not_called(protocol: int, tmp_path: Any) -> None:
    marker = tmp_path / "ran"
    data = pickle.dumps([1, Calls(os.mkdir, str(marker))], protocol)

    with pytest.raises(PickleRefusedError, match=rf"bad\.pkl: .*{os.mkdir.__module__}\.mkdir.*Accepted") as caught:
        load(data, source="bad.pkl")

    assert caught.value.name == (os.mkdir.__module__, "mkdir")
    assert caught.value.source == "bad.pkl"
    assert not marker.exists()


@pytest.mark.parametrize("function", [getattr, eval, exec, __import__, builtins.open, np.load])
def test_general_tools_are_refused_although_numpy_scalars_are_lent(function: Callable[..., object]) -> None:
    with pytest.raises(PickleRefusedError):
        load(pickle.dumps(Calls(function, "x")), allowed=NUMPY_SCALARS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_come_back_as_they_were(protocol: int) -> None:
    value = {"a": [1, -2.5, None, True, "text", 2**80], "b": ((), (1,), (1, 2, 3, 4))}

    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_stand_in_keeps_what_it_was_given_and_has_no_attributes_of_the_class(protocol: int) -> None:
    bag = load(pickle.dumps(Thing(), protocol), stand_in=bag_type)

    assert isinstance(bag, Bag)
    assert bag.origin == (Thing.__module__, "Thing")
    assert bag.state == {"name": "thing", "parts": [1, 2]}
    assert not hasattr(bag, "name")
    assert repr(bag) == f"<bag for {Thing.__module__}.Thing>"


def test_a_called_stand_in_keeps_its_arguments() -> None:
    bag = load(pickle.dumps(Calls(os.mkdir, "somewhere", 7)), stand_in=bag_type)

    assert (bag.args, bag.kwargs, bag.state) == (("somewhere", 7), {}, None)


def test_numpy_scalars_become_python_numbers() -> None:
    values = [np.int64(-3), np.float32(0.5), np.bool_(True), np.uint8(200), np.dtype(">i4").type(9)]

    assert load(pickle.dumps(values, 4), allowed=NUMPY_SCALARS) == [-3, 0.5, True, 200, 9]


@pytest.mark.parametrize("dtype", ["O", "S4", "U4", "M8[s]", "V4", "c16"])
def test_only_number_types_are_resolved(dtype: str) -> None:
    data = pickle.dumps(np.array([0]).astype(np.dtype(dtype))[0] if dtype != "O" else np.dtype("O"), 4)

    if dtype == "O":
        bag = load(data, allowed=NUMPY_SCALARS)
        with pytest.raises(ValueError, match="'O8' is not accepted"):
            bag.to_numpy()
    else:
        with pytest.raises((BrokenPickleError, PickleRefusedError)):
            load(data, allowed=NUMPY_SCALARS)


def test_codecs_encode_is_lent_for_latin1_alone() -> None:
    def encoded_by(codec: str) -> bytes:
        return (
            b"\x80\x02"
            + global_opcode("_codecs", "encode")
            + b"X\x01\x00\x00\x00aX"
            + struct.pack("<I", len(codec))
            + (codec.encode() + b"\x86R.")
        )

    assert load(encoded_by("latin1"), allowed=NUMPY_SCALARS) == b"a"
    with pytest.raises(BrokenPickleError, match="rot13"):
        load(encoded_by("rot13"), allowed=NUMPY_SCALARS)


def test_ordered_dicts_lose_their_attributes() -> None:
    original = collections.OrderedDict(a=1)
    original.trap = "set"  # type: ignore[attr-defined]

    loaded = load(pickle.dumps(original, 2), allowed={("collections", "OrderedDict"): PlainDict})

    assert loaded == {"a": 1}
    assert not hasattr(loaded, "trap")


def lent_function(limit: int = 3) -> int:
    return limit


def test_an_allowed_function_can_be_called_but_not_altered() -> None:
    allowed = {("some", "function"): lent_function}
    setattr_by_build = b"N}X\x0c\x00\x00\x00__defaults__I9\n\x85s\x86b"  # state (None, {"__defaults__": (9,)})

    assert load(b"\x80\x02" + global_opcode("some", "function") + b")R.", allowed=allowed) == 3
    with pytest.raises(BrokenPickleError, match="alter an allowed function"):
        load(b"\x80\x02" + global_opcode("some", "function") + setattr_by_build + b".", allowed=allowed)
    assert lent_function() == 3


def test_build_cannot_write_to_a_stand_in_class() -> None:
    shared = bag_type("m", "C")
    poison = b"N}X\x07\x00\x00\x00__str__I9\nsX\x04\x00\x00\x00argsI9\ns\x86b"

    with pytest.raises(BrokenPickleError):
        load(b"\x80\x02" + global_opcode("m", "C") + poison + b".", stand_in=lambda module, name: shared)

    assert str(shared(1)) == "<bag for m.C>"


def test_lending_a_class_that_the_pickle_could_alter_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="could alter"):
        load(b"\x80\x02" + global_opcode("m", "C") + b".", allowed={("m", "C"): Thing})


def test_extension_codes_are_refused_even_when_the_interpreter_knows_them() -> None:
    code = 0xF0
    copyreg.add_extension(os.getcwd.__module__, "getcwd", code)
    try:
        data = pickle.dumps(os.getcwd, 2)
        assert pickle.loads(data) is os.getcwd  # fills the cache that bypasses find_class
        with pytest.raises(PickleRefusedError, match="extension"):
            load(data)
    finally:
        copyreg.remove_extension(os.getcwd.__module__, "getcwd", code)


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"p2147483647\n", b"p-1\n", b"p" + b"9" * 40 + b"\n"])
def test_a_memo_index_made_to_exhaust_memory_is_refused(put: bytes) -> None:
    with pytest.raises(PickleRefusedError, match="memo slots"):
        load(b"\x80\x02]" + put + b".")


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x96" + struct.pack("<Q", 1 << 60),
        b"\x8e" + struct.pack("<Q", 1 << 60),
        b"T\xff\xff\xff\x7f",
        b"T\xff\xff\xff\xff",
    ],
    ids=["bytearray8", "binbytes8", "binstring", "negative binstring"],
)
def test_a_length_beyond_the_data_is_found_before_memory_is_asked_for(bomb: bytes) -> None:
    with pytest.raises(BrokenPickleError, match="truncated"):
        load(b"\x80\x05" + bomb + b"x.")


def test_long_streams_are_refused() -> None:
    data = pickle.dumps("x" * 1000)

    with pytest.raises(PickleRefusedError, match="longer than 100 bytes"):
        load(data, max_bytes=100)
    with pytest.raises(PickleRefusedError, match="longer than 100 bytes"):
        list_globals(io.BytesIO(data), max_bytes=100)


def test_persistent_ids_are_refused_unless_the_caller_resolves_them() -> None:
    data = b"\x80\x02X\x01\x00\x00\x007Q."

    with pytest.raises(PickleRefusedError, match="outside itself"):
        load(data)
    assert load(data, persistent_load=lambda pid: ("resolved", pid)) == ("resolved", "7")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_truncation_is_reported_as_damage(protocol: int) -> None:
    data = pickle.dumps({"a": [1, 2.5, "text", b"bytes"], "b": Thing()}, protocol)

    for length in range(len(data)):
        with pytest.raises(BrokenPickleError):
            load(data[:length], stand_in=bag_type)


@pytest.mark.parametrize("data", [b"\xff.", b"\x80\x02R.", b"\x80\x02}K\x01b.", b"\x80\x63N.", b"."])
def test_nonsense_is_reported_as_damage(data: bytes) -> None:
    with pytest.raises(BrokenPickleError):
        load(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_globals_are_listed_without_running_anything(protocol: int, tmp_path: Any) -> None:
    marker = tmp_path / "ran"
    data = pickle.dumps(
        [Calls(os.mkdir, str(marker)), Calls(os.mkdir, "x"), Thing(), collections.OrderedDict()], protocol
    )

    found = list_globals(io.BytesIO(data))

    assert not marker.exists()
    assert {(os.mkdir.__module__, "mkdir"), (Thing.__module__, "Thing"), ("collections", "OrderedDict")} <= found
    assert ("?", "?") not in found


def test_a_computed_name_is_listed_as_unknown() -> None:
    computed = b"\x80\x04X\x01\x00\x00\x00m" + b"]" + b"\x93."  # the second name is a list

    assert list_globals(io.BytesIO(computed)) == {("?", "?")}
    with pytest.raises(BrokenPickleError):
        load(computed)
