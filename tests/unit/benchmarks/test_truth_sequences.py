"""Event sequences survive their packing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.truth.sequences import ALLOC, FREE, decode, encode


def _events(plan: list[int]) -> list[dict[str, Any]]:
    """A positive number allocates that many bytes; zero or less frees one of the live blocks, chosen by it."""
    events: list[dict[str, Any]] = []
    live: list[tuple[int, int]] = []
    for address, number in enumerate(plan):
        if number > 0:
            events.append({"action": ALLOC, "size": number, "addr": address})
            live.append((address, number))
        elif live:
            addr, size = live.pop(number % len(live))
            events.append({"action": FREE, "size": size, "addr": addr})
            events.append({"action": "free_completed", "size": size, "addr": addr})
    return events


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(min_value=-5, max_value=2**40), max_size=60))
def test_every_event_comes_back_in_order(plan: list[int]) -> None:
    events = [event for event in _events(plan) if event["action"] in (ALLOC, FREE)]
    packed = json.loads(json.dumps(encode(_events(plan))))

    found = list(decode(packed))

    assert [(action, size) for action, size, _ in found] == [(event["action"], event["size"]) for event in events]
    births = [index for action, _, index in found if action == ALLOC]
    assert births == list(range(len(births)))


def test_a_block_from_before_the_recording_and_segments_are_kept_aside() -> None:
    packed = encode(
        [
            {"action": FREE, "size": 7, "addr": 1},
            {"action": "segment_alloc", "size": 2097152, "addr": 2},
            {"action": ALLOC, "size": 512, "addr": 2},
        ]
    )
    assert packed["unknown_bytes"] == [7]
    assert packed["segments"] == [[0, "segment_alloc", 2097152]]
    assert list(decode(packed)) == [(ALLOC, 512, 0)]


def test_a_steady_training_loop_packs_into_a_fraction_of_a_byte_per_event() -> None:
    plan = [value for _ in range(500) for value in (1024, 2048, 4096, 0, 0, 0)]
    packed = encode(_events(plan))
    assert packed["num_events"] == 3000
    assert len(packed["stream"]) < 300


def test_a_stream_with_events_missing_is_refused() -> None:
    packed = encode(_events([5, 6, 0]))
    with pytest.raises(ValueError, match="were promised"):
        list(decode(packed | {"num_events": 9}))


def test_a_stream_that_names_a_size_outside_the_table_is_refused() -> None:
    packed = encode(_events([5, 6]))
    with pytest.raises(ValueError, match="size number"):
        list(decode(packed | {"sizes": [5]}))
