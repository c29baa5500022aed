"""The blocks of a recorded window and the address ranges they lie in, at any moment of it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from ilora_diag.memory.snapshot_events import SEGMENT_ALLOC, SEGMENT_FREE, SEGMENT_MAP, SEGMENT_UNMAP, Events
from ilora_diag.memory.snapshot_frames import FrameDict
from ilora_diag.memory.snapshot_layout import SegmentDict

BEFORE = -1
"""Index of the moment before the first event; events count from 0, and a moment is the state after its event."""

GROWS = frozenset({SEGMENT_ALLOC, SEGMENT_MAP})
RESIZES = GROWS | {SEGMENT_FREE, SEGMENT_UNMAP}


class Blocks:
    """The blocks of a window, one entry a block in each column.

    Columns:
        address, size, requested: bytes; `size` is what allocated bytes count.
        start: event that allocated it, `BEFORE` if it was there already.
        end: event that asked to free it; the number of events if none did.
        released: event after which its place could be used again; the number of events if there was none.
        stack: number of the stack that allocated it.
        rest: bytes behind it that must have been part of it although no event tells so; not counted in `size`.
    """

    __slots__ = ("address", "end", "released", "requested", "rest", "size", "stack", "start")

    def __init__(self) -> None:
        self.address, self.size, self.requested = array("Q"), array("q"), array("q")
        self.start, self.end, self.released = array("q"), array("q"), array("q")
        self.stack, self.rest = array("q"), array("q")

    def add(self, address: int, requested: int, stack: int, *, start: int) -> int:
        """A block that is never freed until said otherwise; its number."""
        self.address.append(address)
        self.requested.append(requested)
        self.size.append(0)
        self.stack.append(stack)
        self.rest.append(0)
        self.start.append(start)
        self.end.append(-2)
        self.released.append(-2)
        return len(self.address) - 1

    def __len__(self) -> int:
        return len(self.address)

    def live_at(self, moment: int) -> Iterator[int]:
        """Blocks allocated after the given event."""
        end = self.end
        return (index for index, start in enumerate(self.start) if start <= moment < end[index])

    def pending_at(self, moment: int) -> Iterator[int]:
        """Blocks freed by the program and not yet usable, because a stream may still work on them."""
        released = self.released
        return (index for index, end in enumerate(self.end) if end <= moment < released[index])


@dataclass(slots=True)
class Window:
    """What one device did while it was watched.

    Attributes:
        device: index.
        events: as recorded; oldest first.
        blocks: every block that lived at any moment of the window.
        stacks: stack number -> frames, innermost first; number 0 is "none recorded".
        allocated, reserved: bytes after each event.
        before_allocated, before_reserved: bytes before the first event.
        final: the segments when the snapshot was taken.
        segment_events: which events took memory from CUDA or gave it back.
        num_orphan_frees: frees of blocks allocated before the window.
        num_unmatched: events that contradict each other or the final state.
        opens_mid_free: the first event completes a free whose request is not in the window.
    """

    device: int
    events: Events
    blocks: Blocks
    stacks: list[list[FrameDict]]
    allocated: array[int]
    reserved: array[int]
    before_allocated: int
    before_reserved: int
    final: list[SegmentDict]
    segment_events: list[int]
    num_orphan_frees: int = 0
    num_unmatched: int = 0
    opens_mid_free: bool = False

    @property
    def num_events(self) -> int:
        """How many events were recorded."""
        return len(self.events)

    def allocated_at(self, moment: int) -> int:
        """Allocated bytes after an event, or before the window."""
        return self.before_allocated if moment == BEFORE else self.allocated[moment]

    def reserved_at(self, moment: int) -> int:
        """Reserved bytes after an event, or before the window."""
        return self.before_reserved if moment == BEFORE else self.reserved[moment]

    def ranges_at(self, moment: int) -> list[tuple[int, int]]:
        """Address ranges held from CUDA after an event: (start, bytes), ordered; mapped neighbours count as one."""
        ranges = {segment["address"]: segment["total_size"] for segment in self.final}
        later = bisect_right(self.segment_events, moment)
        for index in reversed(self.segment_events[later:]):
            action, address, size = self.events.action[index], self.events.address[index], self.events.size[index]
            if action in GROWS:
                take_out(ranges, address, size)
            else:
                put_in(ranges, address, size, joins=action == SEGMENT_UNMAP)
        return sorted(ranges.items())


def take_out(ranges: dict[int, int], address: int, size: int) -> None:
    """Remove a stretch; where it lies inside a range, what remains of that stays."""
    if ranges.get(address) == size:
        del ranges[address]
        return
    for start, length in list(ranges.items()):
        if start <= address and address + size <= start + length:
            del ranges[start]
            if address > start:
                ranges[start] = address - start
            if address + size < start + length:
                ranges[address + size] = start + length - address - size
            return


def put_in(ranges: dict[int, int], address: int, size: int, *, joins: bool) -> None:
    """Add a stretch; mapped ones join their neighbours, segments stay apart even where their addresses touch."""
    if joins:
        for start, length in list(ranges.items()):
            if start + length == address:
                address, size = start, length + size
                del ranges[start]
            elif start == address + size:
                size += length
                del ranges[start]
    ranges[address] = size
