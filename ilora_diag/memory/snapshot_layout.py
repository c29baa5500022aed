"""One layout for the snapshots of all PyTorch versions: checked, completed, and with equal stacks stored once."""

from __future__ import annotations

import reprlib
from typing import Any, TypedDict

from ilora_diag.memory.snapshot_errors import DamageError

_KNOWN_KEYS = ("segments", "device_traces", "allocator_settings", "external_annotations")
ACTIONS = frozenset(("alloc", "free_requested", "free_completed", "oom", "snapshot", "user_defined", "annotate")) | (
    frozenset(("segment_alloc", "segment_free", "segment_map", "segment_unmap"))
)
"""What the allocators of torch 2.0 to 2.14 record (`TraceEntry::Action`); a remark on a block, `annotate`, is new in
2.14). Any other action might change the totals in a way not known here, so it is refused by name."""

_WITHOUT_SIZE = frozenset(("snapshot", "user_defined", "annotate"))
_STATES = frozenset(("active_allocated", "active_awaiting_free", "active_pending_free", "inactive"))
_LIMITS = {"addr": 1 << 64, "address": 1 << 64}  # addresses; everything else is a size, a time or a number of a thing
_LIMIT = 1 << 62
_EMPTY: list[FrameDict] = []


class FrameDict(TypedDict):
    """A place in a program; C++ frames carry the file `??` and line 0."""

    filename: str
    line: int
    name: str


class BlockDict(TypedDict):
    """A piece of a segment. Bytes; `frames` has the innermost call first, and is empty where none was recorded."""

    address: int
    size: int
    requested_size: int
    state: str
    frames: list[FrameDict]


class SegmentDict(TypedDict):
    """A region obtained from CUDA, with the blocks that fill it from its start to its end."""

    device: int
    address: int
    total_size: int
    stream: int
    segment_type: str
    is_expandable: bool
    segment_pool_id: tuple[int, ...]
    blocks: list[BlockDict]


class EventDict(TypedDict, total=False):
    """One action of the allocator. Bytes; `alloc` and `free_*` carry the requested, not the rounded size."""

    action: str
    addr: int
    device_free: int
    size: int
    stream: int
    time_us: int
    frames: list[FrameDict]


def checked_layout(content: object) -> dict[str, Any]:
    """The fields of a `RawSnapshot` (all but its path) from what was unpickled. The input is changed in place.

    Raises:
        DamageError: not a snapshot, or one of a layout not known here.
    """
    if isinstance(content, list):
        raise DamageError(
            "holds a list, not a snapshot: this is what torch.cuda.memory_snapshot() returns, or the form of torch "
            "before 2.0, and it has no events. Accepted: what torch.cuda.memory._dump_snapshot() of torch >= 2.0 writes"
        )
    if not isinstance(content, dict):
        raise DamageError(f"holds a {type(content).__name__}, not a snapshot (a dict with segments and device_traces)")
    missing = [key for key in ("segments", "device_traces") if key not in content]
    if missing:
        found = ", ".join(sorted(reprlib.repr(key) for key in content)[:12]) or "nothing"
        raise DamageError(
            f"lacks {' and '.join(missing)}: it is no memory snapshot, or one of a newer format. It holds: {found}"
        )
    stacks = _Stacks()
    raw = _list(content["segments"], "segments")
    if len({id(segment) for segment in raw}) != len(raw):
        raise DamageError("lists a segment twice")
    segments = [_segment(segment, f"segments[{index}]", stacks) for index, segment in enumerate(raw)]
    _refuse_overlaps(segments)
    traces = _list(content["device_traces"], "device_traces")
    if len({id(trace) for trace in traces}) != len(traces):
        raise DamageError("lists one device's events twice")
    settings, annotations = content.get("allocator_settings") or {}, content.get("external_annotations") or []
    if not isinstance(settings, dict):
        raise DamageError(f"has allocator_settings of type {type(settings).__name__}; accepted: a dict")
    return {
        "segments": segments,
        "device_traces": [_trace(trace, f"device_traces[{index}]", stacks) for index, trace in enumerate(traces)],
        "allocator_settings": settings,
        "external_annotations": [mark for mark in _list(annotations, "external_annotations") if isinstance(mark, dict)],
        "unread_keys": tuple(sorted(str(key) for key in content if key not in _KNOWN_KEYS)),
    }


def _segment(segment: Any, where: str, stacks: _Stacks) -> SegmentDict:
    if not isinstance(segment, dict):
        raise DamageError(f"has {where} of type {type(segment).__name__}; accepted: a dict")
    address = _size(segment, "address", where)
    total = _size(segment, "total_size", where)
    blocks, end = [], address
    for index, block in enumerate(_list(segment.get("blocks"), f"{where}.blocks")):
        checked = _block(block, f"{where}.blocks[{index}]", end, stacks)
        if checked["address"] != end:
            raise DamageError(f"is damaged: {where}.blocks[{index}] begins at {checked['address']}, not at {end}")
        end += checked["size"]
        blocks.append(checked)
    if end != address + total:
        raise DamageError(f"is damaged: the blocks of {where} fill {end - address} bytes of {total}")
    pool = segment.get("segment_pool_id", (0, 0))
    return {
        "device": _size(segment, "device", where, default=0),
        "address": address,
        "total_size": total,
        "stream": _integer(segment, "stream", where, default=0),
        "segment_type": str(segment.get("segment_type", "large")),
        "is_expandable": bool(segment.get("is_expandable", False)),
        "segment_pool_id": tuple(pool) if isinstance(pool, list | tuple) else (0, 0),
        "blocks": blocks,
    }


def _block(block: Any, where: str, address: int, stacks: _Stacks) -> BlockDict:
    if not isinstance(block, dict):
        raise DamageError(f"has {where} of type {type(block).__name__}; accepted: a dict")
    state = block.get("state")
    if not isinstance(state, str) or state not in _STATES:
        raise DamageError(f"has {where} in state {reprlib.repr(state)}; accepted: {', '.join(sorted(_STATES))}")
    size = _size(block, "size", where)
    if not size:
        raise DamageError(f"has {where} of 0 bytes")
    history = block.get("history")
    frames = block.get("frames")
    if frames is None and isinstance(history, list) and history and isinstance(history[0], dict):
        # torch 2.0: the chain of what the block held, the newest first (`_memory_viz._block_extra_legacy`).
        frames = history[0].get("frames")
    active = state != "inactive"
    return {
        "address": _size(block, "address", where, default=address),
        "size": size,
        "requested_size": _size(block, "requested_size", where, default=size if active else 0),
        "state": state,
        "frames": stacks.same(frames, where) if active else _EMPTY,
    }


def _trace(trace: Any, where: str, stacks: _Stacks) -> list[EventDict]:
    events = _list(trace, where)
    for index, event in enumerate(events):
        if not isinstance(event, dict):
            raise DamageError(f"has {where}[{index}] of type {type(event).__name__}; accepted: a dict")
        action = event.get("action")
        if not isinstance(action, str) or action not in ACTIONS:
            raise DamageError(
                f"has the action {reprlib.repr(action)} at {where}[{index}]: a snapshot of a newer format. "
                f"Known here: {', '.join(sorted(ACTIONS))}"
            )
        place = "device_free" if action == "oom" else "addr"
        optional = action in _WITHOUT_SIZE
        for key in ("size", place):
            value = event.get(key)
            if type(value) is int and 0 <= value < _LIMIT:
                continue
            if value is None and (optional or key == "device_free"):
                if optional:
                    event[key] = 0
                continue
            _size(event, key, f"{where}[{index}]")
        if type(event.get("stream")) is not int:
            event["stream"] = _integer(event, "stream", f"{where}[{index}]", default=0)
        time = event.get("time_us", 0)
        if type(time) is not int or not 0 <= time < _LIMIT:
            _size(event, "time_us", f"{where}[{index}]")
        event["frames"] = stacks.same(event.get("frames"), where)
    return events


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DamageError(f"has {where} of type {type(value).__name__}; accepted: a list")
    return value


def _integer(holder: dict[str, Any], key: str, where: str, *, default: int | None = None) -> int:
    value = holder.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DamageError(f"has {where}.{key} = {reprlib.repr(value)}; accepted: an integer")
    return value


def _size(holder: dict[str, Any], key: str, where: str, *, default: int | None = None) -> int:
    value = _integer(holder, key, where, default=default)
    limit = _LIMITS.get(key, _LIMIT)
    if not 0 <= value < limit:
        raise DamageError(f"has {where}.{key} = {value}; accepted: 0 to 2**{limit.bit_length() - 1} - 1")
    return value


def _refuse_overlaps(segments: list[SegmentDict]) -> None:
    ends: dict[int, int] = {}
    for segment in sorted(segments, key=lambda item: item["address"]):
        if segment["address"] < ends.get(segment["device"], 0):
            raise DamageError(f"is damaged: two segments of device {segment['device']} overlap at {segment['address']}")
        ends[segment["device"]] = segment["address"] + segment["total_size"]


class _Stacks:
    """Equal stacks as one object: a training step repeats a few thousand of them, and a file holds each many times."""

    def __init__(self) -> None:
        self._by_frames: dict[tuple[int, ...], list[FrameDict]] = {}
        self._by_content: dict[tuple[tuple[str, int, str], ...], list[FrameDict]] = {}
        self._kept: list[Any] = []  # an id is only good for as long as its object lives

    def same(self, frames: Any, where: str) -> list[FrameDict]:
        if not frames:
            return _EMPTY
        if not isinstance(frames, list):
            raise DamageError(f"has frames of type {type(frames).__name__} in {where}; accepted: a list")
        # PyTorch makes a list for every event, of frames that it shares.
        identity = tuple(map(id, frames))
        known = self._by_frames.get(identity)
        if known is None:
            key = tuple(_frame(frame, where) for frame in frames)
            known = self._by_frames[identity] = self._by_content.setdefault(key, frames)
            self._kept.append(frames)
        return known


def _frame(frame: Any, where: str) -> tuple[str, int, str]:
    if not isinstance(frame, dict):
        raise DamageError(f"has a frame of type {type(frame).__name__} in {where}; accepted: a dict")
    filename, line, name = frame.get("filename"), frame.get("line"), frame.get("name")
    if not (isinstance(filename, str) and isinstance(line, int) and isinstance(name, str)):
        raise DamageError(f"has a frame in {where} without filename, line and name")
    return filename, line, name
