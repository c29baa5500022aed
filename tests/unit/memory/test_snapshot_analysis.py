"""What is said of a snapshot: each statement with the nearest snapshot of which it is not said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ilora_diag.memory.allocator import AllocatorSettings
from ilora_diag.memory.snapshot import analyse
from ilora_diag.memory.snapshot_errors import SnapshotFileError
from ilora_diag.memory.snapshot_file import RawSnapshot
from ilora_diag.memory.snapshot_layout import checked_layout
from ilora_diag.memory.window_sizes import rounding
from ilora_diag.schema import Unavailable
from ilora_diag.schema.snapshot import OomVerdict, Snapshot, SnapshotDevice, StepMarker

MIB = 1 << 20


def told(content: dict[str, Any]) -> Snapshot:
    return analyse(RawSnapshot(path=Path("a.pickle"), **checked_layout(content)))


def device_of(program: Any) -> SnapshotDevice:
    (device,) = told(program.snapshot()).devices
    return device


def test_what_was_there_before_is_its_own_part_and_all_parts_sum(recordings: SimpleNamespace) -> None:
    device = device_of(recordings.leaking(4))
    assert device.before_window.allocated_bytes == 100 * MIB
    parts = {part.site: part for part in device.by_stack}
    assert parts["(before the window)"].size_bytes == 100 * MIB
    assert parts["(before the window)"].before_window
    assert parts["proj/model.py:20 forward"].size_bytes == 40 * MIB
    assert parts["proj/train.py:30 train"].size_bytes == 4 * 3 * MIB
    assert device.peak.allocated_bytes == sum(part.size_bytes for part in parts.values())
    assert {part.op for part in device.by_op} >= {"linear (torch/nn/functional.py)", "step (torch/optim/adamw.py)"}


def test_a_peak_before_the_first_event_is_found_there(recordings: SimpleNamespace) -> None:
    program = recordings.Recording(recording=False)
    program.alloc("big", 64 * MIB, recordings.at(1))
    program.start()
    program.free("big")
    program.alloc("small", 2 * MIB, recordings.at(2))
    device = device_of(program)
    assert (device.peak.allocated_event, device.peak.allocated_bytes) == (-1, 64 * MIB)
    assert device.end.allocated_bytes == 2 * MIB


def test_a_loss_kept_in_every_step_is_a_suspect_and_optimizer_state_is_not(recordings: SimpleNamespace) -> None:
    growth = device_of(recordings.leaking(4)).growth
    assert growth.marker is StepMarker.ANNOTATION
    assert not isinstance(growth.suspects, Unavailable)
    (suspect,) = growth.suspects
    assert (suspect.site, suspect.per_step, suspect.size_bytes) == ("proj/train.py:30 train", (1, 1, 1, 1), 12 * MIB)
    assert device_of(recordings.leaking(4, leak=False)).growth.suspects == ()


def test_steps_are_found_without_annotations_by_the_optimizers_frames(recordings: SimpleNamespace) -> None:
    growth = device_of(recordings.leaking(5, marks=False)).growth
    assert (growth.marker, len(growth.step_ends)) == (StepMarker.OPTIMIZER, 5)
    assert not isinstance(growth.suspects, Unavailable)
    assert [suspect.site for suspect in growth.suspects] == ["proj/train.py:30 train"]


def test_two_steps_are_too_few_to_tell(recordings: SimpleNamespace) -> None:
    suspects = device_of(recordings.leaking(2)).growth.suspects
    assert isinstance(suspects, Unavailable)
    assert "2 of the 3 steps" in suspects.reason


@pytest.mark.parametrize("leak", [True, False])
def test_repetitions_are_found_where_no_optimizer_runs(recordings: SimpleNamespace, leak: bool) -> None:
    program = recordings.Recording()
    for turn in range(5):
        program.alloc("hidden", 8 * MIB, recordings.at(20))
        program.alloc("out", 8 * MIB, recordings.at(21))
        program.alloc(f"kept{turn}", 2 * MIB, recordings.at(30))
        program.free("hidden", "out", *([] if leak else [f"kept{turn}"]))
    growth = device_of(program).growth
    assert (growth.marker, len(growth.step_ends)) == (StepMarker.REPEAT, 5)
    assert not isinstance(growth.suspects, Unavailable)
    assert [suspect.site for suspect in growth.suspects] == (["proj/model.py:30 forward"] if leak else [])


def test_a_window_in_one_piece_is_cut_into_thirds_and_only_steady_growth_is_named(recordings: SimpleNamespace) -> None:
    steady, early = recordings.Recording(), recordings.Recording()
    for program in (steady, early):
        program.alloc("first", 2 * MIB, recordings.at(1))
    for number in range(30):
        steady.alloc(f"x{number}", 2 * MIB, recordings.at(100))
        early.alloc(f"x{number}", 2 * MIB, recordings.at(100 if number < 10 else 100 + number))
    for program, sites in ((steady, ["proj/model.py:100 forward"]), (early, [])):
        growth = device_of(program).growth
        assert (growth.marker, len(growth.step_ends)) == (StepMarker.THIRDS, 3)
        assert not isinstance(growth.suspects, Unavailable)
        assert [suspect.site for suspect in growth.suspects] == sites


def test_a_full_device_says_what_would_have_had_to_give(recordings: SimpleNamespace) -> None:
    (event,) = device_of(recordings.failing()).oom_events
    assert event.requested_bytes == 50 * MIB
    assert event.device_free_bytes == 20 * MIB
    assert (event.verdict, event.missing_bytes) == (OomVerdict.FULL, 30 * MIB)
    assert [part.site for part in event.give_way] == ["proj/model.py:1 __init__"]
    assert sum(part.size_bytes for part in event.by_stack) == event.state.allocated_bytes == 180 * MIB


def test_free_pieces_that_would_have_sufficed_are_called_fragmentation(recordings: SimpleNamespace) -> None:
    (event,) = device_of(recordings.failing(fragmented=True)).oom_events
    assert event.verdict is OomVerdict.FRAGMENTATION
    assert event.state.external_fragmentation_bytes >= event.requested_bytes > event.state.largest_free_block_bytes


def test_a_limit_on_the_process_is_told_from_a_full_device(recordings: SimpleNamespace) -> None:
    program = recordings.failing().snapshot()
    event = next(event for event in program["device_traces"][0] if event["action"] == "oom")
    event["device_free"] = 1 << 34
    (failure,) = told(program).devices[0].oom_events
    assert (failure.verdict, failure.missing_bytes, failure.give_way) == (OomVerdict.LIMIT, 0, ())
    del event["device_free"]
    (failure,) = told(program).devices[0].oom_events
    assert isinstance(failure.verdict, Unavailable)


def _without(count: int) -> Callable[[dict[str, Any]], None]:
    def cut(content: dict[str, Any]) -> None:
        del content["device_traces"][0][:count]

    return cut


def test_dropped_events_show_in_blocks_whose_allocation_is_missing(recordings: SimpleNamespace) -> None:
    whole = recordings.Recording()
    for number in range(6):
        whole.alloc(f"x{number}", 2 * MIB, recordings.at(number + 1))
    whole.free("x0", "x1")
    assert device_of(whole).num_dropped_events == 0
    content = whole.snapshot()
    for drop in (6, 8):  # segments and allocations of the first blocks
        del content["device_traces"][0][:2]
        device = told(content).devices[0]
        assert isinstance(device.num_dropped_events, Unavailable), drop
    assert device.min_dropped_events >= 1
    assert "events are missing" in device.num_dropped_events.reason


def test_a_free_whose_request_is_gone_shows_a_loss(recordings: SimpleNamespace) -> None:
    program = recordings.Recording()
    program.alloc("x", 2 * MIB, recordings.at(1))
    program.free("x")
    content = program.snapshot()
    content["device_traces"][0] = [content["device_traces"][0][-1]]
    device = told(content).devices[0]
    assert (content["device_traces"][0][0]["action"], device.min_dropped_events) == ("free_completed", 1)


def test_frees_of_earlier_blocks_alone_decide_nothing(recordings: SimpleNamespace) -> None:
    program = recordings.Recording(recording=False)
    program.alloc("x", 2 * MIB, recordings.at(1))
    program.start()
    program.alloc("y", 2 * MIB, recordings.at(2))
    program.free("x")
    device = device_of(program)
    assert isinstance(device.num_dropped_events, Unavailable)
    assert (device.min_dropped_events, device.num_orphan_frees) == (0, 1)


def test_a_round_number_of_events_raises_the_question(recordings: SimpleNamespace) -> None:
    program = recordings.Recording(recording=False)
    program.alloc("x", 2 * MIB, recordings.at(1))
    program.free("x")
    program.start()
    while len(program.events) < 1000:
        program.alloc("y", 2 * MIB, recordings.at(2))
        if len(program.events) <= 998:
            program.free("y")
    del program.events[1000:]
    device = device_of(program)
    assert device.num_events == 1000
    assert isinstance(device.num_dropped_events, Unavailable)
    assert "exactly 1000" in device.num_dropped_events.reason


def test_a_device_with_segments_and_no_events_is_told_by_its_state(recordings: SimpleNamespace) -> None:
    program = recordings.leaking(3)
    content = program.snapshot() | {"device_traces": []}
    (device,) = told(content).devices
    assert device.num_events == 0
    assert device.peak.allocated_bytes == device.end.allocated_bytes == device.before_window.allocated_bytes
    assert all(part.before_window for part in device.by_stack)
    assert {part.site for part in device.before_by_stack} >= {"proj/train.py:30 train", "(no stack recorded)"}
    assert isinstance(device.num_dropped_events, Unavailable)


def test_several_devices_are_told_apart_and_idle_ones_left_out(recordings: SimpleNamespace) -> None:
    first, third = recordings.leaking(3).snapshot(), recordings.Recording(device=2)
    third.alloc("x", 30 * MIB, recordings.at(9))
    other = third.snapshot()
    for segment in other["segments"]:
        for holder in (segment, *segment["blocks"]):
            holder["address"] += 1 << 46
    for event in other["device_traces"][2]:
        event["addr"] += 1 << 46
    both = first | {
        "segments": first["segments"] + other["segments"],
        "device_traces": [first["device_traces"][0], [], other["device_traces"][2]],
    }
    devices = told(both).devices
    assert [device.index for device in devices] == [0, 2]
    assert devices[1].peak.allocated_bytes == 30 * MIB
    assert told({"segments": [], "device_traces": [[], []]}).devices == ()


def test_settings_that_differ_from_the_defaults_are_told(recordings: SimpleNamespace) -> None:
    content = recordings.leaking(2).snapshot()
    assert told(content).allocator_settings == ()
    content["allocator_settings"] |= {"expandable_segments": True, "roundup_power2_divisions": {"1": 4, "2": 0}}
    expected = (("expandable_segments", True), ("roundup_power2_divisions", "1:4"))
    assert told(content).allocator_settings == expected


def test_events_that_do_not_fit_the_segments_are_counted_or_refused(recordings: SimpleNamespace) -> None:
    content = recordings.leaking(3).snapshot()
    content["device_traces"][0].append({"action": "alloc", "addr": 1 << 50, "size": 512, "stream": 0})
    assert told(content).devices[0].num_unmatched_events == 1
    content["device_traces"][0].insert(0, {"action": "segment_alloc", "addr": 1 << 51, "size": 1 << 40, "stream": 0})
    with pytest.raises(SnapshotFileError, match="contradicts itself"):
        told(content)


@pytest.mark.parametrize("nbytes", [1, 512, 513, 600, 5000, 1 << 20, (1 << 20) + 1, 3_000_001, 40 * MIB, (1 << 30) + 7])
def test_rounding_is_that_of_the_allocator_model(nbytes: int) -> None:
    from ilora_diag.memory.allocator import round_size

    divisions = (0, 2, 4, 8) * 4
    recorded = {"roundup_power2_divisions": {str(1 << power): value for power, value in enumerate(divisions)}}
    assert rounding(recorded)(nbytes) == round_size(nbytes, AllocatorSettings(roundup_power2_divisions=divisions))
    assert rounding({})(nbytes) == round_size(nbytes, AllocatorSettings())
