"""The recorded window of one device, taken apart into blocks with a beginning and an end.

A snapshot holds the state when it was taken (`segments`) and the events that led to it, and the events say nothing of
what was allocated before the first of them. So the state before the window is found by undoing the events from the
final state. Events carry requested bytes; what `allocated_bytes` counts follows from the allocator's rules: requests
are rounded (`round_request`), and in the large pool of ordinary segments a rest of at most 1 MiB is not split off
(`DeviceCachingAllocator::should_split`), so a block there is as long as the free stretch it was put into. Those
stretches are followed event by event.

`history` reads windows too, for the replay on the allocator model, and says there why it is another reader.
"""

from __future__ import annotations

from array import array

from ilora_diag.memory.snapshot_events import ALLOC, FREE_COMPLETED, FREE_REQUESTED, Events
from ilora_diag.memory.snapshot_file import RawSnapshot
from ilora_diag.memory.snapshot_frames import FrameDict, Stacks
from ilora_diag.memory.window_blocks import BEFORE, GROWS, RESIZES, Blocks, Window
from ilora_diag.memory.window_sizes import size_blocks

__all__ = ["BEFORE", "Blocks", "Window", "read_window"]


def read_window(raw: RawSnapshot, device: int) -> Window:
    """The window of one device of a snapshot; a device without events has a window of length 0."""
    events = raw.device_traces[device] if device < len(raw.device_traces) else Events(Stacks())
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
        segment_events=[index for index, action in enumerate(events.action) if action in RESIZES],
    )
    _follow(window, stacks)
    _settle_end(window, stacks)
    size_blocks(window, raw.allocator_settings)
    _add_up(window)
    return window


class _StackNumbers:
    def __init__(self) -> None:
        self.frames: list[list[FrameDict]] = [[]]
        self._number: dict[int, int] = {}  # `snapshot_frames` made equal stacks one object

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
    events = window.events
    for index, (action, address, size) in enumerate(zip(events.action, events.address, events.size, strict=True)):
        if action == ALLOC:
            if address in live:
                window.num_unmatched += 1
                earlier = live[address]
                blocks.end[earlier] = blocks.released[earlier] = index
            stack = stacks.of(events.stacks.frames[events.stack[index]])
            live[address] = blocks.add(address, size, stack, start=index)
        elif action == FREE_REQUESTED:
            found = live.pop(address, None)
            if found is None:
                found = blocks.add(address, size, 0, start=BEFORE)
                window.num_orphan_frees += 1
            blocks.end[found] = index
            pending[address] = found
        elif action == FREE_COMPLETED:
            found = pending.pop(address, None)
            if found is None:
                # Freed before the window, and waiting for a stream ever since.
                found = blocks.add(address, size, 0, start=BEFORE)
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
    sizes, actions = window.events.size, window.events.action
    for index in window.segment_events:
        grown[index] = sizes[index] if actions[index] in GROWS else -sizes[index]
    window.before_allocated = before
    window.before_reserved = sum(segment["total_size"] for segment in window.final) - sum(grown)
    window.allocated, window.reserved = _running(change, before), _running(grown, window.before_reserved)


def _running(changes: array[int], start: int) -> array[int]:
    totals, total = array("q"), start
    for change in changes:
        total += change
        totals.append(total)
    return totals
