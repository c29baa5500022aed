"""One layout for the snapshots of all PyTorch versions: checked, completed, and with equal stacks stored once."""

from __future__ import annotations

import reprlib
from typing import Any, TypedDict

from ilora_diag.memory.snapshot_checks import checked_dict, checked_integer, checked_list, checked_size
from ilora_diag.memory.snapshot_errors import DamageError, ReadWholeError
from ilora_diag.memory.snapshot_events import EventRun, events_of
from ilora_diag.memory.snapshot_frames import FrameDict, Stacks

_KNOWN_KEYS = ("segments", "device_traces", "allocator_settings", "external_annotations")
_STATES = frozenset(("active_allocated", "active_awaiting_free", "active_pending_free", "inactive"))


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


def checked_layout(content: object, stacks: Stacks | None = None) -> dict[str, Any]:
    """The fields of a `RawSnapshot` (all but its path) from what was unpickled.

    Args:
        content: what was unpickled; it is not changed.
        stacks: those that were met while it was unpickled.

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
    stacks = stacks or Stacks()
    raw = checked_list(content["segments"], "segments")
    if len({id(segment) for segment in raw}) != len(raw):
        raise DamageError("lists a segment twice")
    segments = [_segment(segment, f"segments[{index}]", stacks) for index, segment in enumerate(raw)]
    _refuse_overlaps(segments)
    traces = checked_list(content["device_traces"], "device_traces")
    if len({id(trace) for trace in traces}) != len(traces):
        raise DamageError("lists one device's events twice")
    settings, annotations = content.get("allocator_settings") or {}, content.get("external_annotations") or []
    if not isinstance(settings, dict):
        raise DamageError(f"has allocator_settings of type {type(settings).__name__}; accepted: a dict")
    return {
        "segments": segments,
        "device_traces": [
            events_of(checked_list(trace, f"device_traces[{index}]"), f"device_traces[{index}]", stacks)
            for index, trace in enumerate(traces)
        ],
        "allocator_settings": settings,
        "external_annotations": _marks(annotations),
        "unread_keys": tuple(sorted(str(key) for key in content if key not in _KNOWN_KEYS)),
    }


def _segment(segment: Any, where: str, stacks: Stacks) -> SegmentDict:
    segment = checked_dict(segment, where)
    address = checked_size(segment, "address", where)
    total = checked_size(segment, "total_size", where)
    blocks, end = [], address
    for index, block in enumerate(checked_list(segment.get("blocks"), f"{where}.blocks")):
        checked = _block(block, f"{where}.blocks[{index}]", end, stacks)
        if checked["address"] != end:
            raise DamageError(f"is damaged: {where}.blocks[{index}] begins at {checked['address']}, not at {end}")
        end += checked["size"]
        blocks.append(checked)
    if end != address + total:
        raise DamageError(f"is damaged: the blocks of {where} fill {end - address} bytes of {total}")
    pool = segment.get("segment_pool_id", (0, 0))
    return {
        "device": checked_size(segment, "device", where, default=0),
        "address": address,
        "total_size": total,
        "stream": checked_integer(segment, "stream", where, default=0),
        "segment_type": str(segment.get("segment_type", "large")),
        "is_expandable": bool(segment.get("is_expandable", False)),
        "segment_pool_id": tuple(pool) if isinstance(pool, list | tuple) else (0, 0),
        "blocks": blocks,
    }


def _block(block: Any, where: str, address: int, stacks: Stacks) -> BlockDict:
    block = checked_dict(block, where)
    state = block.get("state")
    if not isinstance(state, str) or state not in _STATES:
        raise DamageError(f"has {where} in state {reprlib.repr(state)}; accepted: {', '.join(sorted(_STATES))}")
    size = checked_size(block, "size", where)
    if not size:
        raise DamageError(f"has {where} of 0 bytes")
    history = block.get("history")
    frames = block.get("frames")
    if frames is None and isinstance(history, list) and history and isinstance(history[0], dict):
        # torch 2.0: the chain of what the block held, the newest first (`_memory_viz._block_extra_legacy`).
        frames = history[0].get("frames")
    active = state != "inactive"
    return {
        "address": checked_size(block, "address", where, default=address),
        "size": size,
        "requested_size": checked_size(block, "requested_size", where, default=size if active else 0),
        "state": state,
        "frames": stacks.frames[stacks.number(frames, where) if active else 0],
    }


def _marks(annotations: Any) -> list[dict[str, Any]]:
    marks = checked_list(annotations, "external_annotations")
    if any(isinstance(mark, EventRun) for mark in marks):
        raise ReadWholeError
    return [mark for mark in marks if isinstance(mark, dict)]


def _refuse_overlaps(segments: list[SegmentDict]) -> None:
    ends: dict[int, int] = {}
    for segment in sorted(segments, key=lambda item: item["address"]):
        if segment["address"] < ends.get(segment["device"], 0):
            raise DamageError(f"is damaged: two segments of device {segment['device']} overlap at {segment['address']}")
        ends[segment["device"]] = segment["address"] + segment["total_size"]
