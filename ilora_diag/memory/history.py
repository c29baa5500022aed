"""A recording made whole for its replay: the state before its window, the size of every block, the totals everywhere.

There are two readers of a window, with rules in common and different duties. `window` serves `ilora-diag snapshot`: it
takes every file, counts what does not fit together, and keeps apart from a block's size what no event tells of it. This
one serves `replay`, which puts the blocks into the allocator model and so needs all of every block: it counts that rest
in, and refuses recordings that contradict themselves or use expandable segments.

Events carry requested bytes, never block sizes, and say nothing of what was allocated before the window. Both follow
from the addresses and from the segments at the end:

- Before the window: the state at the end, with the events undone from the last to the first. Free neighbours are always
  merged, so the blocks in use fix the free ones.
- Sizes: in the small pool the request rounded up. In the large pool a rest of more than 1 MiB is split off, so no free
  block is smaller than that: a gap of up to 1 MiB up to the next block in use (or to the end of the segment) at the
  moment of the request belongs to the block.

For a block from before the window that was freed in it, that moment is not recorded: the nearest block seen behind it
while it lived decides. Where its neighbour was free all that time, the size is a lower bound (up to 1 MiB short).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ilora_diag.memory.blocks import SMALL_BYTES
from ilora_diag.memory.placement import round_size
from ilora_diag.memory.segments import ALLOCATED, FREE, PENDING
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.memory.window_sizes import kept_rest

Event = Mapping[str, Any]


class HistoryError(ValueError):
    """The events and the segments contradict each other, or use what is not understood here."""


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """A block in use or waiting, as a recording shows it."""

    address: int
    size: int
    requested: int
    state: str


@dataclass(slots=True)
class _Segment:
    address: int
    size: int
    stream: int
    is_small: bool
    device: int = 0

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRecording:
    """A recording made whole.

    Attributes:
        segments_before: the state before the first event, in the snapshot's form.
        sizes: bytes of the block that each `alloc` event handed out, by the event's index.
        allocated_bytes: after every event.
        reserved_bytes: after every event.
        base_allocated_bytes: before the first event.
        base_reserved_bytes: before the first event.
    """

    segments_before: tuple[dict[str, Any], ...]
    sizes: dict[int, int]
    allocated_bytes: tuple[int, ...]
    reserved_bytes: tuple[int, ...]
    base_allocated_bytes: int
    base_reserved_bytes: int


def make_whole(
    segments: Iterable[Mapping[str, Any]], events: Sequence[Event], settings: AllocatorSettings | None = None
) -> WholeRecording:
    """Undo the events of one device from the state at their end, then follow them forwards.

    Raises:
        HistoryError: an event fits neither the segments nor the events around it, or a segment is expandable.
    """
    settings = settings or AllocatorSettings()
    undone = _Undo(segments, settings)
    for event in reversed(events):
        undone.undo(event)
    undone.settle_sizes(events)
    before = undone.snapshot_form()
    base_reserved = sum(segment["total_size"] for segment in before)
    base_allocated = sum(block.size for block in undone.blocks.values() if block.state == ALLOCATED)
    return _forward(_Totals(undone, settings), before, events, base_allocated, base_reserved)


class _Undo:
    """The state at the end, moved back event by event."""

    def __init__(self, segments: Iterable[Mapping[str, Any]], settings: AllocatorSettings) -> None:
        self.settings = settings
        self.segments: dict[int, _Segment] = {}
        self.blocks: dict[int, RecordedBlock] = {}
        self.unsure: set[int] = set()
        for segment in segments:
            if segment.get("is_expandable"):
                raise HistoryError("recordings with expandable segments cannot be made whole yet")
            self._take(segment)

    def _take(self, segment: Mapping[str, Any]) -> None:
        address = segment["address"]
        self.segments[address] = _Segment(
            address,
            segment["total_size"],
            segment["stream"],
            segment["segment_type"] == "small",
            segment.get("device", 0),
        )
        for block in segment["blocks"]:
            if block["state"] != FREE:
                state = ALLOCATED if block["state"] == ALLOCATED else PENDING
                self.blocks[address] = RecordedBlock(address, block["size"], block["requested_size"], state)
            address += block["size"]

    def undo(self, event: Event) -> None:
        action = event["action"]
        address, size = event.get("addr", 0), event["size"]
        if action == "alloc":
            if self.blocks.pop(address, None) is None:
                raise HistoryError(f"the event alloc at {address:#x} has no block at the end of the window")
            self.unsure.discard(address)
        elif action == "free_completed":
            if address in self.blocks:
                raise HistoryError(f"the block freed at {address:#x} is still in use afterwards")
            self.blocks[address] = RecordedBlock(address, round_size(size, self.settings), size, PENDING)
            self.unsure.add(address)
        elif action == "free_requested":
            block = self.blocks.get(address)
            if block is None:
                raise HistoryError(f"the block freed at {address:#x} is neither waiting nor completed afterwards")
            self.blocks[address] = RecordedBlock(address, block.size, block.requested, ALLOCATED)
        elif action == "segment_alloc":
            if self.segments.pop(address, None) is None:
                raise HistoryError(f"the segment taken at {address:#x} is not there at the end of the window")
        elif action == "segment_free":
            # A small segment is 2 MiB and a large one never less than 12: the size tells the pool.
            self.segments[address] = _Segment(address, size, event["stream"], size <= 2 * SMALL_BYTES)
        elif action in ("segment_map", "segment_unmap"):
            raise HistoryError("recordings with expandable segments cannot be made whole yet")

    def settle_sizes(self, events: Sequence[Event]) -> None:
        """Give the blocks that were freed in the window the size that the addresses around them leave.

        While such a block lives, the nearest block seen behind it bounds it, and a gap of up to 1 MiB is its own.
        """
        if not self.unsure:
            return
        starts = sorted(self.segments)
        bounds = {}
        unsure = sorted(self.unsure)
        for address in unsure:
            index = bisect_right(starts, address) - 1
            if index < 0:
                raise HistoryError(f"the block at {address:#x} lies in no segment of its time")
            segment = self.segments[starts[index]]
            bounds[address] = None if segment.is_small else segment.end
        alive = sorted(address for address in unsure if bounds[address] is not None)

        def bound_by(address: int) -> None:
            index = bisect_right(alive, address - 1) - 1
            if index >= 0:
                limit = bounds[alive[index]]
                assert limit is not None
                bounds[alive[index]] = min(limit, address)

        for address in self.blocks:
            bound_by(address)
        for event in events:
            if event["action"] == "alloc":
                bound_by(event["addr"])
            elif event["action"] == "free_completed" and bounds.get(event["addr"]) is not None:
                index = bisect_right(alive, event["addr"]) - 1
                if index >= 0 and alive[index] == event["addr"]:
                    del alive[index]
        for address, limit in bounds.items():
            block = self.blocks[address]
            rest = 0 if limit is None else kept_rest(limit - address - block.size)
            if rest:
                self.blocks[address] = RecordedBlock(address, block.size + rest, block.requested, block.state)

    def snapshot_form(self) -> tuple[dict[str, Any], ...]:
        """The segments with their blocks, free ones filled in."""
        starts = sorted(self.segments)
        inside: dict[int, list[RecordedBlock]] = {start: [] for start in starts}
        for block in sorted(self.blocks.values(), key=lambda block: block.address):
            index = bisect_right(starts, block.address) - 1
            if index < 0 or block.address + block.size > self.segments[starts[index]].end:
                raise HistoryError(f"the block at {block.address:#x} lies in no segment of its time")
            inside[starts[index]].append(block)
        return tuple(_segment_form(self.segments[start], inside[start]) for start in starts)


def _segment_form(segment: _Segment, used: list[RecordedBlock]) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    end = segment.address

    def add(address: int, size: int, requested: int, state: str) -> None:
        blocks.append({"address": address, "size": size, "requested_size": requested, "state": state, "frames": []})

    for block in used:
        if block.address > end:
            add(end, block.address - end, 0, FREE)
        add(block.address, block.size, block.requested, block.state)
        end = block.address + block.size
    if end < segment.end:
        add(end, segment.end - end, 0, FREE)
    return {
        "device": segment.device,
        "address": segment.address,
        "total_size": segment.size,
        "stream": segment.stream,
        "segment_type": "small" if segment.is_small else "large",
        "is_expandable": False,
        "blocks": blocks,
    }


class _Totals:
    """Blocks and segments in use, by address, while the events run forwards."""

    def __init__(self, undone: _Undo, settings: AllocatorSettings) -> None:
        self.settings = settings
        self.sizes = {block.address: block.size for block in undone.blocks.values()}
        self.starts = sorted(self.sizes)
        self.ends = {segment.address: (segment.end, segment.is_small) for segment in undone.segments.values()}
        self.segment_starts = sorted(self.ends)

    def alloc(self, address: int, requested: int) -> int:
        size = round_size(requested, self.settings)
        index = bisect_right(self.segment_starts, address) - 1
        if index < 0 or address >= self.ends[self.segment_starts[index]][0]:
            raise HistoryError(f"the block handed out at {address:#x} lies in no segment of its time")
        limit, is_small = self.ends[self.segment_starts[index]]
        if not is_small:
            following = bisect_right(self.starts, address)
            if following < len(self.starts):
                limit = min(limit, self.starts[following])
            size += kept_rest(limit - address - size)
        self.sizes[address] = size
        insort(self.starts, address)
        return size

    def free_completed(self, address: int) -> None:
        del self.starts[bisect_right(self.starts, address) - 1]
        del self.sizes[address]

    def segment_alloc(self, address: int, size: int) -> None:
        self.ends[address] = (address + size, size <= 2 * SMALL_BYTES)
        insort(self.segment_starts, address)

    def segment_free(self, address: int) -> None:
        del self.ends[address]
        self.segment_starts.remove(address)


def _forward(
    totals: _Totals, before: tuple[dict[str, Any], ...], events: Sequence[Event], allocated: int, reserved: int
) -> WholeRecording:
    base = allocated, reserved
    allocated_series, reserved_series = [], []
    sizes: dict[int, int] = {}
    for index, event in enumerate(events):
        action, size = event["action"], event["size"]
        if action == "alloc":
            sizes[index] = totals.alloc(event["addr"], size)
            allocated += sizes[index]
        elif action == "free_requested":
            allocated -= totals.sizes[event["addr"]]
        elif action == "free_completed":
            totals.free_completed(event["addr"])
        elif action == "segment_alloc":
            totals.segment_alloc(event["addr"], size)
            reserved += size
        elif action == "segment_free":
            totals.segment_free(event["addr"])
            reserved -= size
        allocated_series.append(allocated)
        reserved_series.append(reserved)
    return WholeRecording(
        segments_before=before,
        sizes=sizes,
        allocated_bytes=tuple(allocated_series),
        reserved_bytes=tuple(reserved_series),
        base_allocated_bytes=base[0],
        base_reserved_bytes=base[1],
    )
