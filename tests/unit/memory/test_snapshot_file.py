"""Files that are no usable snapshot, and files that mean harm: refused with what is wrong, and nothing of them runs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ilora_diag.memory.snapshot import analyse
from ilora_diag.memory.snapshot_errors import SnapshotFileError
from ilora_diag.memory.snapshot_file import read_snapshot


@pytest.fixture
def snapshot(recordings: SimpleNamespace) -> dict[str, Any]:
    made: dict[str, Any] = recordings.leaking(2).snapshot()
    return made


def write(folder: Path, content: object, *, protocol: int = 4) -> Path:
    path = folder / "a.pickle"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return path


def refusal(path: Path, **limits: int) -> str:
    with pytest.raises(SnapshotFileError) as caught:
        read_snapshot(path, **limits)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


class Runs:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


def test_a_pickle_that_calls_something_is_refused_by_name_and_not_run(tmp_path: Path, snapshot: dict[str, Any]) -> None:
    snapshot["external_annotations"].append(Runs(tmp_path / "made"))
    for protocol in (2, 3, 4):
        message = refusal(write(tmp_path, snapshot, protocol=protocol))
        assert "posix.mkdir, which is refused" in message
        assert not (tmp_path / "made").exists()


def test_even_harmless_classes_are_refused_since_no_snapshot_needs_one(
    tmp_path: Path, snapshot: dict[str, Any]
) -> None:
    assert "collections.OrderedDict" in refusal(write(tmp_path, OrderedDict(snapshot)))


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        (b"\x80\x04\x82\x01.", "EXT1"),
        (b"\x80\x04\x8c\x01aQ.", "BINPERSID"),
        (b"\x80\x04)R.", "REDUCE"),
        (b"\x80\x04}" + b"r" + struct.pack("<I", 1 << 31) + b".", "2147483648 memo slots"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a.", "cut short"),
        (b"\x80\x04\x8a\xff" + b"\x01" * 255 + b".", "an integer of 255 bytes"),
        (b"\x80\x04\xff.", "no pickle instruction is 0xff"),
        (b"\x80\x04t.", "is damaged"),
        (b"\x80\x04}a.", "is damaged"),
        (b"\x80\x04j\xff\xff\xff\x00.", "is damaged"),
        (b"\x80\x04\x95" + b"\xff" * 8 + b"}.", "is damaged"),
        (b"\x80\x09}.", "protocol 9"),
        (b"\x80\x04" + b"(" * 200_000 + b"l" * 3, "LIST"),
        (b"(dp0\n.", "is not a pickle of protocol 2 to 5"),
        (b"PK\x03\x04rest", "a zip archive (torch.save"),
        (b'{"segments": []}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "is empty"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 20, "zstd"),
    ],
)
def test_hand_made_programs_are_refused_before_they_run(tmp_path: Path, program: bytes, complaint: str) -> None:
    if complaint == "zstd" and __import__("sys").version_info >= (3, 14):
        pytest.skip("this Python reads zstd")
    assert complaint in refusal(write(tmp_path, program))


def test_nesting_without_end_does_not_end_the_process(tmp_path: Path) -> None:
    deep = b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b"."
    assert "not a snapshot" in refusal(write(tmp_path, deep)) or "holds a list" in refusal(write(tmp_path, deep))


def test_every_truncation_is_refused_and_the_whole_is_not(tmp_path: Path, snapshot: dict[str, Any]) -> None:
    whole = pickle.dumps(snapshot, protocol=4)
    for length in [*range(40), *range(40, len(whole), 97)]:
        refusal(write(tmp_path, whole[:length]))
    assert read_snapshot(write(tmp_path, whole)).segments


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_told_by_content_not_by_name(tmp_path: Path, snapshot: dict[str, Any], pack: Any) -> None:
    raw = read_snapshot(write(tmp_path, pack(pickle.dumps(snapshot, protocol=4))))
    assert len(raw.device_traces[0]) == len(snapshot["device_traces"][0])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_cut_archive_is_said_to_be_one(tmp_path: Path, snapshot: dict[str, Any], pack: Any) -> None:
    packed = pack(pickle.dumps(snapshot, protocol=4))
    assert "damaged or cut short" in refusal(write(tmp_path, packed[: len(packed) // 2]))


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, lzma.compress])
def test_a_bomb_stops_at_the_limit_which_can_be_raised(tmp_path: Path, pack: Any) -> None:
    path = write(tmp_path, pack(pickle.dumps({"segments": [], "device_traces": [], "x": "a" * 3_000_000}, protocol=4)))
    assert "holds more than 2000000 bytes" in refusal(path, max_bytes=2_000_000)
    assert read_snapshot(path, max_bytes=4_000_000).unread_keys == ("x",)


def test_a_file_that_memory_is_too_small_for_is_refused_before_it_is_unpickled(
    tmp_path: Path, snapshot: dict[str, Any]
) -> None:
    path = write(tmp_path, snapshot)
    size = path.stat().st_size
    assert "are free here" in refusal(path, free_bytes=size - 1)
    assert read_snapshot(path, free_bytes=5 * size).segments


def test_what_is_not_there_or_is_a_folder_is_said(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.pickle")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([{"address": 1, "blocks": []}], "holds a list"),
        ("text", "holds a str"),
        ({"segments": []}, "lacks device_traces"),
        ({"snapshot_v9": 1}, "lacks segments and device_traces: it is no memory snapshot, or one of a newer format"),
        ({"segments": {}, "device_traces": []}, "segments of type dict"),
        ({"segments": [1], "device_traces": []}, "segments[0] of type int"),
        ({"segments": [], "device_traces": [[3]]}, "device_traces[0][0] of type int"),
        ({"segments": [], "device_traces": [[{"action": "teleport", "size": 1}]]}, "'teleport'"),
        ({"segments": [], "device_traces": [[{"action": "alloc", "addr": 1, "size": -5}]]}, "size = -5"),
        ({"segments": [], "device_traces": [[{"action": "alloc", "addr": 1, "size": True}]]}, "an integer"),
        ({"segments": [], "device_traces": [[{"action": "alloc", "size": 5}]]}, "addr = None"),
        ({"segments": [], "device_traces": [], "allocator_settings": 3}, "allocator_settings of type int"),
        (
            {"segments": [], "device_traces": [[{"action": "alloc", "addr": 1, "size": 5, "frames": [{}]}]]},
            "without filename, line and name",
        ),
    ],
)
def test_a_layout_that_is_not_known_is_refused_by_place(tmp_path: Path, content: object, complaint: str) -> None:
    assert complaint in refusal(write(tmp_path, content))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda segment: segment.update(total_size=-1), "total_size = -1; accepted: 0 to"),
        (lambda segment: segment.update(total_size=segment["total_size"] + 512), "fill"),
        (lambda segment: segment["blocks"][0].update(size=-512), "size = -512"),
        (lambda segment: segment["blocks"][0].update(size=0), "0 bytes"),
        (lambda segment: segment["blocks"][0].update(state="haunted"), "'haunted'; accepted: active_allocated"),
        (lambda segment: segment["blocks"][0].update(address=7), "begins at 7"),
        (lambda segment: segment.update(blocks=None), "blocks of type NoneType"),
    ],
)
def test_a_segment_that_does_not_add_up_is_refused(
    tmp_path: Path, snapshot: dict[str, Any], change: Any, complaint: str
) -> None:
    change(snapshot["segments"][0])
    assert complaint in refusal(write(tmp_path, snapshot))


def test_segments_that_overlap_or_stand_twice_are_refused(tmp_path: Path, snapshot: dict[str, Any]) -> None:
    again = {**snapshot, "segments": [*snapshot["segments"], dict(snapshot["segments"][0])]}
    assert "overlap" in refusal(write(tmp_path, again))
    same = {**snapshot, "segments": [*snapshot["segments"], snapshot["segments"][0]]}
    assert "twice" in refusal(write(tmp_path, same))


def test_the_layout_of_torch_2_0_is_completed(tmp_path: Path) -> None:
    frames = [{"filename": "/x/a.py", "line": 3, "name": "f"}]
    blocks = [
        {
            "size": 1024,
            "requested_size": 1000,
            "state": "active_allocated",
            "history": [{"addr": 4096, "frames": frames}],
        },
        {"size": 2096128, "requested_size": 0, "state": "inactive"},
    ]
    segment = {"address": 4096, "total_size": 2097152, "segment_type": "small", "stream": 0, "blocks": blocks}
    raw = read_snapshot(write(tmp_path, {"segments": [segment], "device_traces": [[]]}))
    first, second = raw.segments[0]["blocks"]
    assert (first["address"], second["address"], first["frames"]) == (4096, 5120, frames)
    assert (raw.segments[0]["device"], raw.allocator_settings) == (0, {})


def test_a_remark_on_a_live_block_which_2_14_records_changes_no_total(tmp_path: Path, snapshot: dict[str, Any]) -> None:
    without = analyse(read_snapshot(write(tmp_path, snapshot)))
    trace = max(snapshot["device_traces"], key=len)
    place = next(index for index, event in enumerate(trace) if event["action"] == "alloc")
    remark = {"action": "annotate", "addr": trace[place]["addr"], "size": 0, "stream": 0, "user_metadata": "packed"}
    trace.insert(place + 1, remark)
    within = analyse(read_snapshot(write(tmp_path, snapshot)))
    bytes_of = [(device.end, device.peak.allocated_bytes, device.peak.reserved_bytes) for device in without.devices]
    assert [(each.end, each.peak.allocated_bytes, each.peak.reserved_bytes) for each in within.devices] == bytes_of


def test_how_far_reading_has_come_is_told_on_the_way(tmp_path: Path, recordings: SimpleNamespace) -> None:
    snapshot = recordings.leaking(4).snapshot()
    snapshot["device_traces"][0] = [dict(event) for event in snapshot["device_traces"][0] * 1200]
    path = write(tmp_path, snapshot)
    told: list[tuple[int, int]] = []
    read_snapshot(path, progress=lambda num_read, num_bytes: told.append((num_read, num_bytes)))
    steps = [num_read for num_read, _ in told]
    assert steps == sorted(steps)
    assert {num_bytes for _, num_bytes in told} == {path.stat().st_size}
    assert len(set(steps)) > 2
    assert steps[-1] == path.stat().st_size
