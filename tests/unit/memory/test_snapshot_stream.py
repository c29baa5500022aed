"""Reading a snapshot event by event gives what unpickling the whole of it gives, whoever wrote it and how."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ilora_diag.memory.snapshot_errors import DamageError, ReadWholeError
from ilora_diag.memory.snapshot_file import read_snapshot
from ilora_diag.memory.snapshot_layout import checked_layout
from ilora_diag.memory.snapshot_rewrite import MARGIN_BYTES, Rewritten
from ilora_diag.memory.snapshot_scan import scan
from ilora_diag.memory.snapshot_stream import read_by_events

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "snapshots"
FILES = sorted(FOLDER.glob("*.xz")) if FOLDER.is_dir() else []


def told(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"device_traces": [list(events) for events in fields["device_traces"]]}


def streamed(
    data: bytes, *, chunk_bytes: int = 1 << 20, margin_bytes: int = MARGIN_BYTES
) -> tuple[dict[str, Any], int]:
    """What is read, and how many events were taken out on the way."""
    seen = [0]

    def watch(num_read: int, num_as_objects: int, num_events: int) -> None:
        assert 0 <= num_as_objects <= num_read <= len(data)
        seen.append(num_events)

    fields = read_by_events(io.BytesIO(data), watch=watch, chunk_bytes=chunk_bytes, margin_bytes=margin_bytes)
    return told(fields), seen[-1]


def whole(data: bytes) -> dict[str, Any]:
    return told(checked_layout(pickle.loads(data)))


def is_read_whole(data: bytes) -> bool:
    with pytest.raises(ReadWholeError):
        read_by_events(io.BytesIO(data))
    return True


@pytest.fixture
def snapshot(recordings: SimpleNamespace) -> dict[str, Any]:
    """A recording with a list of frames per event, of frames that are shared, as torch makes them."""
    made: dict[str, Any] = recordings.leaking(6).snapshot()
    frames: dict[tuple[Any, ...], Any] = {}
    for event in made["device_traces"][0]:
        event["frames"] = [frames.setdefault(tuple(frame.values()), frame) for frame in event["frames"]]
    return made


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_pickle_writes_is_read_the_same_and_nearly_all_of_it_event_by_event(
    snapshot: dict[str, Any], protocol: int
) -> None:
    data = pickle.dumps(snapshot, protocol=protocol)
    fields, num_taken = streamed(data)
    assert fields == whole(data)
    assert num_taken >= len(snapshot["device_traces"][0]) - 12  # the first of their kind, and of a stack
    slim = pickletools.optimize(data)
    assert len(slim) < len(data)
    assert streamed(slim)[0] == fields


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5, 8, 13, 64, 1000])
@pytest.mark.parametrize("margin_bytes", [0, 40, 400])
def test_where_a_chunk_ends_makes_no_difference(snapshot: dict[str, Any], chunk_bytes: int, margin_bytes: int) -> None:
    snapshot["external_annotations"][0]["name"] += "\u00e9" * 300
    for protocol in (2, 4):
        data = pickle.dumps(snapshot, protocol=protocol)
        assert scan(io.BytesIO(data), 1 << 20, chunk_bytes=chunk_bytes).num_bytes == len(data)
        fields, num_taken = streamed(data, chunk_bytes=chunk_bytes, margin_bytes=margin_bytes)
        assert fields == whole(data)
        assert num_taken or margin_bytes < 400


@pytest.mark.parametrize("chunk_bytes", [1, 7, 50])
def test_a_cut_or_hostile_stream_is_refused_the_same_in_small_pieces(
    snapshot: dict[str, Any], chunk_bytes: int
) -> None:
    data = pickle.dumps(snapshot, protocol=4)
    programs = [data[:length] for length in range(0, len(data), 61)]
    programs += [data[:500] + code + data[500:] for code in (b"Q", b"R", b"\xff", b"\x82")]
    programs += [b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a.", b"\x80\x04\x95" + b"\xff" * 8 + b"}."]
    for program in programs:
        messages = []
        for size in (chunk_bytes, 1 << 20):
            with pytest.raises(DamageError) as caught:
                scan(io.BytesIO(program), 1 << 20, chunk_bytes=size)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_two_devices_an_empty_one_and_one_with_a_single_event_keep_their_own(recordings: SimpleNamespace) -> None:
    first, other = recordings.leaking(3).snapshot(), recordings.leaking(2).snapshot()
    for segment in other["segments"]:
        segment["device"] = 2
    for event in other["device_traces"][0]:
        event["stream"] = 7
    traces = [first["device_traces"][0], [], other["device_traces"][0], [{"action": "snapshot", "addr": 0, "size": 3}]]
    data = pickle.dumps({"segments": first["segments"] + other["segments"], "device_traces": traces}, protocol=4)
    fields, _ = streamed(data)
    assert fields == whole(data)
    assert [len(events) for events in fields["device_traces"]] == [len(trace) for trace in traces]
    assert {event["stream"] for event in fields["device_traces"][2]} == {7}


def test_failures_with_and_without_the_free_bytes_and_old_events_without_frames(recordings: SimpleNamespace) -> None:
    content = recordings.failing().snapshot()
    trace = content["device_traces"][0] * 3
    for event in trace[len(trace) // 3 :]:
        event.pop("frames", None)
    trace.append({"action": "oom", "size": 5, "stream": 0})
    trace += [{"action": "oom", "size": 5, "stream": 0, "device_free": 1 << 40}] * 2
    data = pickle.dumps({"segments": [], "device_traces": [[dict(event) for event in trace]]}, protocol=4)
    assert streamed(data)[0] == whole(data)


def test_fields_that_newer_versions_add_are_passed_over(snapshot: dict[str, Any]) -> None:
    for number, event in enumerate(snapshot["device_traces"][0]):
        frames = event.pop("frames")
        # As torch 2.9 does: a new string object for every event.
        event |= {"compile_context": "".join(["N", "/A"]), "user_metadata": f"{number % 2}"[:1] * 2, "frames": frames}
        event["action"] = "".join(list(event["action"]))
    data = pickle.dumps(snapshot, protocol=4)
    fields, num_taken = streamed(data)
    assert fields == whole(data)
    assert num_taken >= len(snapshot["device_traces"][0]) - 12


def test_stacks_of_which_every_frame_is_new_are_read_event_by_event_too(snapshot: dict[str, Any]) -> None:
    for event in snapshot["device_traces"][0]:
        event["frames"] = [dict(frame) for frame in event["frames"]]
    data = pickle.dumps(snapshot, protocol=4)
    fields, num_taken = streamed(data)
    assert fields == whole(data)
    assert num_taken > len(snapshot["device_traces"][0]) // 2


def test_a_list_of_frames_that_events_share_is_one_stack(snapshot: dict[str, Any]) -> None:
    trace = snapshot["device_traces"][0]
    shared, empty = trace[0]["frames"], list[Any]()
    for event in trace[::2]:
        event["frames"] = shared
    for event in trace[1::4]:
        event["frames"] = empty
    data = pickle.dumps(snapshot, protocol=4)
    fields, num_taken = streamed(data)
    assert fields == whole(data)
    assert num_taken >= len(trace) - 12


def test_an_event_that_stands_twice_is_read_twice(tmp_path: Path, snapshot: dict[str, Any]) -> None:
    trace = snapshot["device_traces"][0]
    content = {"segments": [], "device_traces": [[*trace, trace[-1], trace[7]]]}
    data = pickle.dumps(content, protocol=4)
    assert is_read_whole(data)
    path = tmp_path / "a.pickle"
    path.write_bytes(data)
    read = list(read_snapshot(path).device_traces[0])
    assert read == whole(data)["device_traces"][0]
    assert (len(read), read[-1]) == (len(trace) + 2, read[7])


def test_an_odd_event_among_many_is_refused_by_its_place(snapshot: dict[str, Any]) -> None:
    for odd in ({"size": -1}, {"addr": 1 << 65}, {"time_us": 1 << 62}, {"action": "teleport"}, {"stream": None}):
        trace = [dict(event) for event in snapshot["device_traces"][0]]
        place = next(index for index in range(15, len(trace)) if trace[index]["action"] == "alloc")
        trace[place] |= odd
        data = pickle.dumps(snapshot | {"device_traces": [[], trace]}, protocol=4)
        with pytest.raises(DamageError, match=rf"device_traces\[1\]\[{place}\]"):
            read_by_events(io.BytesIO(data))


class Changing:
    """A pickler's stream with a place to go on from, in the hands of somebody who means no good."""

    def __init__(self, trace: list[dict[str, Any]]) -> None:
        data = pickle.dumps({"segments": [], "device_traces": [trace]}, protocol=4)
        assert data[2:3] == b"\x95"  # one frame of the stream, which is left out
        assert data.endswith(b"u.")
        self.body = data[:2] + data[11:-2]
        self.slots: dict[str, list[int]] = {"EMPTY_DICT": [], "EMPTY_LIST": []}
        previous, slot = "", 0
        for instruction, _, _ in pickletools.genops(data):
            if instruction.name == "MEMOIZE":
                self.slots.setdefault(previous, []).append(slot)
                slot += 1
            previous = instruction.name

    def then(self, kind: str, number: int, change: bytes) -> bytes:
        """The snapshot with one more key, whose value is the n-th dict or list of the events, changed."""
        return self.body + b"\x8c\x01xj" + struct.pack("<I", self.slots[kind][number]) + change + b"u."


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("EMPTY_DICT", b""),
        ("EMPTY_DICT", b"(\x8c\x04lineM9\x05\x8c\x04sizeK\x07u"),
        ("EMPTY_DICT", b"\x8c\x04nameK\x07s"),
        ("EMPTY_LIST", b""),
        ("EMPTY_LIST", b"(}e"),
        ("EMPTY_LIST", b"Na"),
    ],
)
def test_what_a_stream_fetches_and_changes_afterwards_is_read_as_changed(
    snapshot: dict[str, Any], kind: str, change: bytes
) -> None:
    stream = Changing(snapshot["device_traces"][0])
    outcomes = set()
    for number in range(len(stream.slots[kind])):
        data = stream.then(kind, number, change)
        scan(io.BytesIO(data), 1 << 20)
        try:
            expected: dict[str, Any] | str = whole(data)
        except DamageError as damage:
            expected = str(damage)
        try:
            found: dict[str, Any] | str = streamed(data)[0]
        except DamageError as damage:
            found = str(damage)
        except ReadWholeError:
            outcomes.add("whole")
            continue
        outcomes.add("by events")
        assert found == expected
    assert "whole" in outcomes or not change or kind == "EMPTY_LIST"


class Cpp:
    """torch's own pickler (`torch/csrc/jit/serialization/pickler.cpp`), as `_memory_snapshot_pickled` uses it.

    Protocol 2; strings are kept in the memo, a dict only where it is used again, behind the finished object; all items
    of a list are appended at once.
    """

    def __init__(self, shared: list[Any]) -> None:
        self.out, self.slots = bytearray(b"\x80\x02"), dict[object, int]()
        self.shared = {id(item) for item in shared}

    def keep(self, key: object) -> None:
        slot = self.slots[key] = len(self.slots)
        self.out += b"q" + bytes([slot]) if slot < 256 else b"r" + struct.pack("<I", slot)

    def put(self, value: Any) -> None:
        key = value if isinstance(value, str) else id(value)
        if key in self.slots and isinstance(value, str | dict):
            slot = self.slots[key]
            self.out += b"h" + bytes([slot]) if slot < 256 else b"j" + struct.pack("<I", slot)
        elif isinstance(value, str):
            self.out += b"X" + struct.pack("<I", len(value.encode())) + value.encode()
            self.keep(key)
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self.out += pickle.dumps(value, protocol=2)[2:-1]
        elif isinstance(value, list):
            self.out += b"]("
            for item in value:
                self.put(item)
            self.out += b"e"
        else:
            self.out += b"}("
            for name, item in value.items():
                self.put(name)
                self.put(item)
            self.out += b"u"
            if id(value) in self.shared:
                self.keep(id(value))


def test_what_the_pickler_of_torch_in_cpp_writes_is_read_event_by_event(snapshot: dict[str, Any]) -> None:
    frames = {id(frame): frame for event in snapshot["device_traces"][0] for frame in event["frames"]}
    writer = Cpp(list(frames.values()))
    trace = [dict(event) for event in snapshot["device_traces"][0]]
    writer.put({"segments": [], "device_traces": [trace], "allocator_settings": {"expandable_segments": False}})
    data = bytes(writer.out) + b"."
    scan(io.BytesIO(data), 1 << 20)
    fields, num_taken = streamed(data)
    assert fields == whole(data)
    assert num_taken >= len(trace) - 12


def test_a_large_file_is_never_held_in_one_piece(snapshot: dict[str, Any]) -> None:
    data = pickle.dumps(snapshot | {"device_traces": [[dict(e) for e in snapshot["device_traces"][0]] * 1]}, protocol=4)
    rewritten = Rewritten(io.BytesIO(data), chunk_bytes=100, margin_bytes=300)
    longest = num_blocks = 0
    while block := rewritten.peek(1):
        longest, num_blocks = max(longest, len(block)), num_blocks + 1
        rewritten.read(len(block))
    assert num_blocks > 5
    assert longest < len(data) / 3


@pytest.mark.data
@pytest.mark.skipif(not FILES, reason="the shared folder of recordings is not beside this checkout")
def test_recordings_are_read_the_same_and_event_by_event() -> None:
    import lzma

    for path in FILES:
        data = lzma.decompress(path.read_bytes())
        fields, num_taken = streamed(data)
        assert fields == whole(data), path.name
        num_events = sum(map(len, fields["device_traces"]))
        assert num_taken > 0.9 * num_events or num_events < 2, (path.name, num_taken, num_events)
