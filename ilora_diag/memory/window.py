"""The recorded window of one device, taken apart into blocks with a beginning and an end.

A snapshot holds the state when it was taken (`segments`) and the events that led to it, and the events say nothing of
what was allocated before the first of them. So the state before the window is found by undoing the events from the
final state. Events carry requested bytes; what `allocated_bytes` counts follows from the allocator's rules: requests
are rounded (`round_request`), and in the large pool of ordinary segments a rest of at most 1 MiB is not split off
(`DeviceCachingAllocator::should_split`), so a block there is as long as the free stretch it was put into. Those
stretches are followed event by event.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ilora_diag.memory.blocks import MIN_BLOCK_BYTES, SMALL_BYTES
from ilora_diag.memory.snapshot_file import RawSnapshot
from ilora_diag.memory.snapshot_layout import EventDict, FrameDict, SegmentDict

BEFORE = -1
"""Index of the moment before the first event; events count from 0, and a moment is the state after its event."""

_GROWS, _SHRINKS = frozenset({"segment_alloc", "segment_map"}), frozenset({"segment_free", "segment_unmap"})


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
        num_orphan_frees: frees of blocks allocated before the window.
        num_unmatched: events that contradict each other or the final state.
        opens_mid_free: the first event completes a free whose request is not in the window.
    """

    device: int
    events: list[EventDict]
    blocks: Blocks
    stacks: list[list[FrameDict]]
    allocated: array[int]
    reserved: array[int]
    before_allocated: int
    before_reserved: int
    final: list[SegmentDict]
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
        for event in reversed(self.events[moment + 1 :]):
            if event["action"] in _GROWS:
                _take_out(ranges, event["addr"], event["size"])
            elif event["action"] in _SHRINKS:
                _put_in(ranges, event["addr"], event["size"], joins=event["action"] == "segment_unmap")
        return sorted(ranges.items())


def read_window(raw: RawSnapshot, device: int) -> Window:
    """The window of one device of a snapshot; a device without events has a window of length 0."""
    events = raw.device_traces[device] if device < len(raw.device_traces) else []
    final = [segment for segment in raw.segments if segment["device"] == device]
    stacks = _StackNumbers()
    blocks = Blocks()
    window = Window(
        device=device,
        events=events,
        blocks=blocks,
        stacks=stacks.frames,
        allocated=array("q"),
        reserved=array("q"),
        before_allocated=0,
        before_reserved=0,
        final=final,
    )
    _follow(window, stacks)
    _settle_end(window, stacks)
    _size_blocks(window, raw)
    _add_up(window)
    return window


class _StackNumbers:
    def __init__(self) -> None:
        self.frames: list[list[FrameDict]] = [[]]
        self._number: dict[int, int] = {}  # `snapshot_layout` made equal stacks one object

    def of(self, frames: list[FrameDict]) -> int:
        if not frames:
            return 0
        number = self._number.get(id(frames))
        if number is None:
            number = self._number[id(frames)] = len(self.frames)
            self.frames.append(frames)
        return number


def _follow(window: Window, stacks: _StackNumbers) -> None:
    """Pair allocations with frees. A free without an allocation tells of a block from before the window."""
    blocks, live, pending = window.blocks, dict[int, int](), dict[int, int]()
    for index, event in enumerate(window.events):
        action = event["action"]
        if action == "alloc":
            address = event["addr"]
            if address in live:
                window.num_unmatched += 1
                earlier = live[address]
                blocks.end[earlier] = blocks.released[earlier] = index
            live[address] = blocks.add(address, event["size"], stacks.of(event["frames"]), start=index)
        elif action == "free_requested":
            found = live.pop(event["addr"], None)
            if found is None:
                found = blocks.add(event["addr"], event["size"], 0, start=BEFORE)
                window.num_orphan_frees += 1
            blocks.end[found] = index
            pending[event["addr"]] = found
        elif action == "free_completed":
            found = pending.pop(event["addr"], None)
            if found is None:
                # Freed before the window, and waiting for a stream ever since.
                found = blocks.add(event["addr"], event["size"], 0, start=BEFORE)
                blocks.end[found] = BEFORE
                window.opens_mid_free |= index == 0
            blocks.released[found] = index


def _settle_end(window: Window, stacks: _StackNumbers) -> None:
    """Give what the final state holds its size and stack, and add what the events never mentioned."""
    blocks, num_events = window.blocks, window.num_events
    open_blocks = {blocks.address[i]: i for i in range(len(blocks)) if blocks.released[i] == -2}
    for segment in window.final:
        for block in segment["blocks"]:
            if block["state"] == "inactive":
                continue
            allocated = block["state"] == "active_allocated"
            found = open_blocks.pop(block["address"], None)
            if found is not None and allocated != (blocks.end[found] == -2):
                window.num_unmatched += 1
                blocks.end[found] = blocks.released[found] = num_events - 1
                found = None
            if found is None:
                found = blocks.add(block["address"], block["requested_size"], stacks.of(block["frames"]), start=BEFORE)
            blocks.size[found] = block["size"]
            if blocks.end[found] == -2:
                blocks.end[found] = num_events if allocated else BEFORE
            blocks.released[found] = num_events
    for found in open_blocks.values():
        # The events leave it allocated, the final state does not know it: let it end with the window.
        window.num_unmatched += 1
        last = max(num_events - 1, 0)
        blocks.end[found] = last if blocks.end[found] == -2 else blocks.end[found]
        blocks.released[found] = last


def _size_blocks(window: Window, raw: RawSnapshot) -> None:
    blocks, rounded = window.blocks, rounding(raw.allocator_settings)
    max_split = raw.allocator_settings.get("max_split_size", -1)
    max_split = max_split if isinstance(max_split, int) and 0 < max_split < 1 << 60 else None
    changes: list[tuple[int, int, int]] = []  # (event, 0 release or 1 allocation, block)
    for index in range(len(blocks)):
        size = rounded(blocks.requested[index])
        if not blocks.size[index]:
            blocks.size[index] = size
        if size > SMALL_BYTES:
            changes.append((blocks.start[index], 1, index))
            changes.append((blocks.released[index], 0, index))
    changes.sort()
    layout = _Layout(window, max_split)
    moment = BEFORE
    for event, is_start, index in changes:
        if event >= window.num_events:
            break
        if event > BEFORE:
            layout.advance(moment, event)
            moment = event
        if not is_start:
            layout.release(index)
        elif event == BEFORE:
            layout.place_before(index)
        else:
            layout.place(index)


class _Layout:
    """Which stretches of the large pool are free, moment by moment."""

    def __init__(self, window: Window, max_split: int | None) -> None:
        self._window, self._max_split = window, max_split
        self._ranges = window.ranges_at(BEFORE)
        # Expandable segments split off every rest, so no block is longer than its rounded request.
        mapping = ("segment_map", "segment_unmap")
        self._mapped = any(segment["is_expandable"] for segment in window.final) or any(
            event["action"] in mapping for event in window.events
        )
        blocks = window.blocks
        self._live: list[int] = []
        self._unsettled: list[int] = []
        self._settled = False
        self._known = {index for index in range(len(blocks)) if blocks.released[index] == window.num_events}

    def advance(self, moment: int, event: int) -> None:
        """Follow the segments up to and including an event."""
        if not self._settled:
            self._settle_before()
        events = self._window.events
        for index in range(moment + 1, event + 1):
            action = events[index]["action"]
            if action in _GROWS:
                insort(self._ranges, (events[index]["addr"], events[index]["size"]))
            elif action in _SHRINKS:
                ranges = dict(self._ranges)
                _take_out(ranges, events[index]["addr"], events[index]["size"])
                self._ranges = sorted(ranges.items())

    def place_before(self, index: int) -> None:
        """A block that was there before the window."""
        insort(self._live, self._window.blocks.address[index])
        if index not in self._known:
            self._unsettled.append(index)

    def place(self, index: int) -> None:
        """A block allocated in the window: as long as the rules make it."""
        blocks = self._window.blocks
        address = blocks.address[index]
        if index not in self._known:
            blocks.size[index] += self._slack(address, blocks.size[index])
        insort(self._live, address)

    def release(self, index: int) -> None:
        """A block whose place is free again."""
        address = self._window.blocks.address[index]
        place = bisect_left(self._live, address)
        if place < len(self._live) and self._live[place] == address:
            del self._live[place]

    def _slack(self, address: int, size: int) -> int:
        """Bytes behind a request that were not worth splitting off."""
        free = self._free_behind(address, size)
        if self._max_split is not None and size >= self._max_split:
            return max(free, 0)
        return free if 0 < free <= SMALL_BYTES and not self._mapped else 0

    def _free_behind(self, address: int, size: int) -> int:
        place = bisect_right(self._ranges, (address, 1 << 64)) - 1
        if place < 0:
            return 0
        start, length = self._ranges[place]
        if address >= start + length:
            return 0
        following = bisect_right(self._live, address)
        end = start + length
        if following < len(self._live):
            end = min(end, self._live[following])
        return end - address - size

    def _settle_before(self) -> None:
        """Blocks from before the window that it freed: their final size is gone with them.

        In the large pool no free block is as short as 1 MiB, so such a gap behind one belonged to it. That is inferred
        and not recorded, so it is kept apart from the size.
        """
        self._settled = True
        blocks = self._window.blocks
        for index in self._unsettled:
            blocks.rest[index] = self._slack(blocks.address[index], blocks.size[index])


def _add_up(window: Window) -> None:
    blocks, num_events = window.blocks, window.num_events
    change = array("q", bytes(8 * num_events))
    grown = array("q", bytes(8 * num_events))
    before = 0
    for index, size in enumerate(blocks.size):
        start, end = blocks.start[index], blocks.end[index]
        if start == BEFORE:
            before += size if end != BEFORE else 0
        else:
            change[start] += size
        if BEFORE < end < num_events:
            change[end] -= size
    for index, event in enumerate(window.events):
        if event["action"] in _GROWS:
            grown[index] = event["size"]
        elif event["action"] in _SHRINKS:
            grown[index] = -event["size"]
    window.before_allocated = before
    window.before_reserved = sum(segment["total_size"] for segment in window.final) - sum(grown)
    window.allocated, window.reserved = _running(change, before), _running(grown, window.before_reserved)


def _running(changes: array[int], start: int) -> array[int]:
    totals, total = array("q"), start
    for change in changes:
        total += change
        totals.append(total)
    return totals


def rounding(settings: dict[str, object]) -> Callable[[int], int]:
    """What a request is rounded up to under recorded settings.

    `DeviceCachingAllocator::round_size`: 512 B at least, multiples of 512 B, or one of the divisions between two
    powers of two where `roundup_power2_divisions` says so for the request's size class (keys are MiB).
    """
    recorded = settings.get("roundup_power2_divisions")
    divisions = recorded if isinstance(recorded, dict) else {}
    by_class = [divisions.get(str(1 << power), 0) for power in range(16)]
    if not any(isinstance(value, int) and value > 1 for value in by_class):
        return _round_to_512
    return lambda nbytes: _round_to_divisions(nbytes, by_class)


def _round_to_512(nbytes: int) -> int:
    return max(MIN_BLOCK_BYTES, -(-nbytes // MIN_BLOCK_BYTES) * MIN_BLOCK_BYTES)


def _round_to_divisions(nbytes: int, by_class: list[int]) -> int:
    parts = by_class[min(max(nbytes.bit_length() - 21, 0), 15)]
    if parts <= 1 or nbytes <= MIN_BLOCK_BYTES * parts or nbytes & (nbytes - 1) == 0:
        return _round_to_512(nbytes)
    step = (1 << (nbytes.bit_length() - 1)) >> (parts.bit_length() - 1)
    return -(-nbytes // step) * step if step else 1 << nbytes.bit_length()


def _take_out(ranges: dict[int, int], address: int, size: int) -> None:
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


def _put_in(ranges: dict[int, int], address: int, size: int, *, joins: bool) -> None:
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
