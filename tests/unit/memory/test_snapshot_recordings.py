"""Snapshots from real cards: totals as an independent replay found them, and parts that sum to the peak."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ilora_diag.memory.snapshot import analyse_file
from ilora_diag.schema import Snapshot, Unavailable, from_json, to_json

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "snapshots"
INDEX = FOLDER / "index.jsonl"
ENTRIES: list[dict[str, Any]] = list(map(json.loads, INDEX.read_text().splitlines())) if INDEX.is_file() else []

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not ENTRIES, reason="the shared folder of recordings is not beside this checkout"),
]
each_file = pytest.mark.parametrize("entry", ENTRIES, ids=[entry["file"].partition("@")[2] for entry in ENTRIES])


@cache
def told(name: str) -> Snapshot:
    return analyse_file(FOLDER / name)


@each_file
def test_totals_are_those_of_the_replay(entry: dict[str, Any]) -> None:
    snapshot = told(entry["file"])
    replays = {replay["device"]: replay for replay in entry["replay"]}
    assert sum(device.end.allocated_bytes for device in snapshot.devices) == entry["allocated_end"]
    assert sum(device.end.reserved_bytes for device in snapshot.devices) == entry["reserved_end"]
    assert [device.index for device in snapshot.devices] == entry["devices"]
    assert [device.num_events for device in snapshot.devices if device.num_events] == [
        n for n in entry["n_events"] if n
    ]
    for device in snapshot.devices:
        assert device.num_unmatched_events == 0
        replay = replays.get(device.index)
        if replay is None:
            continue
        assert device.num_events == replay["events"]
        assert device.before_window.allocated_bytes == replay["base_alloc"]
        assert device.before_window.reserved_bytes == replay["base_reserved"]
        assert device.peak.allocated_bytes == replay["peak_alloc"]
        assert device.peak.reserved_bytes == replay["peak_reserved"]
        assert device.end.allocated_bytes == replay["end_alloc_true"]
        assert device.end.reserved_bytes == replay["end_reserved_true"]


@each_file
def test_parts_sum_and_the_record_survives_json(entry: dict[str, Any]) -> None:
    snapshot = told(entry["file"])
    assert from_json(Snapshot, to_json(snapshot)) == snapshot
    for device in snapshot.devices:
        assert sum(part.size_bytes for part in device.by_op) == device.peak.allocated_bytes
        assert sum(part.size_bytes for part in device.by_stack) == device.peak.allocated_bytes
        highest = max(sum(point.sizes) for point in device.timeline.points)
        assert highest == device.peak.allocated_bytes
        assert sum(device.timeline.points[-1].sizes) == device.end.allocated_bytes
        assert len(device.oom_events) == len(entry["oom_events"])


@each_file
def test_memory_made_in_the_window_has_a_line_of_the_program_wherever_a_stack_was_recorded(
    entry: dict[str, Any],
) -> None:
    for device in told(entry["file"]).devices:
        made = [part for part in device.by_stack if not part.before_window]
        nameless = sum(part.size_bytes for part in made if part.site.startswith("(no "))
        assert nameless == 0 or device.num_without_stack, [part.site for part in made if part.site.startswith("(no ")]


def test_lost_events_are_stated_where_the_file_shows_them() -> None:
    lost = {name for name in (entry["file"] for entry in ENTRIES) if told(name).devices[0].min_dropped_events}
    assert {name.partition("+")[0] for name in lost} == {"LfieLike", "Yiyi-philosophy", "notHanmin"}
    empty_start = [entry for entry in ENTRIES if entry["replay"] and entry["replay"][0]["base_reserved"] == 0]
    assert empty_start
    for entry in empty_start:
        assert told(entry["file"]).devices[0].num_dropped_events == 0


def test_steps_are_found_by_annotation_and_by_repetition() -> None:
    markers = {entry["file"]: told(entry["file"]).devices[0].growth for entry in ENTRIES}
    found = {name: growth for name, growth in markers.items() if not isinstance(growth.suspects, Unavailable)}
    by_name = {
        name.partition("@")[2][:10]: (growth.marker.value, len(growth.step_ends)) for name, growth in found.items()
    }
    assert by_name["16edf31690"] == ("annotation", 3)
    assert by_name["075dd0640e"] == ("repeat", 5)
    steady = [growth for growth in found.values() if growth.marker.value != "thirds"]
    assert all(growth.suspects == () for growth in steady)
