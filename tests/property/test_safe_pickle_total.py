"""Whatever the bytes, the unpickler answers with a value or with one of its two errors."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.safe_pickle import (
    NUMPY_SCALARS,
    BrokenPickleError,
    PickleRefusedError,
    PlainDict,
    bag_type,
    list_globals,
    restricted_load,
)

ALLOWED = {**NUMPY_SCALARS, ("collections", "OrderedDict"): PlainDict, ("builtins", "set"): set}

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.fractions()
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner), max_leaves=12
)
protocols = st.integers(0, pickle.HIGHEST_PROTOCOL)
unhurried = settings(deadline=None)  # the machine may be busy with other tests


@unhurried
@given(values, protocols, st.data())
def test_a_damaged_stream_gives_a_value_or_a_named_error(value: object, protocol: int, data: st.DataObject) -> None:
    stream = bytearray(pickle.dumps([OrderedDict(a=value), {1, 2}], protocol))
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))

    with suppress(PickleRefusedError, BrokenPickleError):
        restricted_load(io.BytesIO(stream), allowed=ALLOWED, stand_in=lambda module, name: None)


@unhurried
@given(st.binary(max_size=60))
def test_arbitrary_bytes_give_a_value_or_a_named_error(stream: bytes) -> None:
    for read in (
        lambda file: restricted_load(file, allowed=ALLOWED, stand_in=bag_type),
        list_globals,
    ):
        with suppress(PickleRefusedError, BrokenPickleError):
            read(io.BytesIO(stream))


@unhurried
@given(values, protocols)
def test_the_listed_globals_are_those_the_unpickler_asks_for(value: object, protocol: int) -> None:
    stream = pickle.dumps([value, Fraction(1, 3)], protocol)
    asked: set[tuple[str, str]] = set()

    def record(module: str, name: str) -> type:
        asked.add((module, name))
        return bag_type(module, name)

    restricted_load(io.BytesIO(stream), allowed={}, stand_in=record)

    assert list_globals(io.BytesIO(stream)) == asked
    assert ("fractions", "Fraction") in asked


@unhurried
@given(values, protocols)
def test_with_nothing_lent_only_plain_values_load(value: object, protocol: int) -> None:
    stream = pickle.dumps([value, Fraction(1, 3)], protocol)

    with pytest.raises(PickleRefusedError):
        restricted_load(io.BytesIO(stream), allowed={}, stand_in=lambda module, name: None)
