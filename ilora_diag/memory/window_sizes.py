"""How long blocks were, from what was asked for and where it was put."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ilora_diag.memory.blocks import SMALL_BYTES
from ilora_diag.memory.placement import round_size
from ilora_diag.memory.settings_records import NUM_ROUNDUP_INTERVALS, AllocatorSettings
from ilora_diag.memory.snapshot_events import SEGMENT_MAP, SEGMENT_UNMAP
from ilora_diag.memory.window_blocks import BEFORE, GROWS, Window, take_out

_IS_START, _EVENT_AT = 1 << 40, 41


def size_blocks(window: Window, settings: Mapping[str, Any]) -> None:
    """Give every block the size that `allocated_bytes` counts; those of the final state have theirs."""
    blocks, rounded = window.blocks, rounding(settings)
    max_split = settings.get("max_split_size", -1)
    max_split = max_split if isinstance(max_split, int) and 0 < max_split < 1 << 60 else None
    changes: list[int] = []  # (event, 0 release or 1 allocation, block) as one number: less than half of a tuple's room
    for index in range(len(blocks)):
        size = rounded(blocks.requested[index])
        if not blocks.size[index]:
            blocks.size[index] = size
        if size > SMALL_BYTES:
            changes.append((blocks.start[index] - BEFORE) << _EVENT_AT | _IS_START | index)
            changes.append((blocks.released[index] - BEFORE) << _EVENT_AT | index)
    changes.sort()
    layout = _Layout(window, max_split)
    moment, num_events = BEFORE, window.num_events
    for change in changes:
        event, is_start, index = (change >> _EVENT_AT) + BEFORE, change & _IS_START, change & _IS_START - 1
        if event >= num_events:
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
        actions = window.events.action
        self._mapped = (
            any(segment["is_expandable"] for segment in window.final)
            or SEGMENT_MAP in actions
            or SEGMENT_UNMAP in actions
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
        at = self._window.segment_events
        for index in at[bisect_right(at, moment) : bisect_right(at, event)]:
            address, size = self._window.events.address[index], self._window.events.size[index]
            if self._window.events.action[index] in GROWS:
                insort(self._ranges, (address, size))
            else:
                ranges = dict(self._ranges)
                take_out(ranges, address, size)
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
        return 0 if self._mapped else kept_rest(free)

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


def kept_rest(free_bytes: int) -> int:
    """Of the free bytes behind a request in the large pool, those that its block keeps: all of up to 1 MiB.

    `DeviceCachingAllocator::should_split`. No free block there is so short, then, and a gap of that length behind a
    block belongs to it.
    """
    return free_bytes if 0 < free_bytes <= SMALL_BYTES else 0


def rounding(settings: Mapping[str, Any]) -> Callable[[int], int]:
    """What a request is rounded up to under recorded settings (`placement.round_size`; the recorded keys are MiB)."""
    recorded = settings.get("roundup_power2_divisions")
    divisions = recorded if isinstance(recorded, dict) else {}
    told = [divisions.get(str(1 << power), 0) for power in range(NUM_ROUNDUP_INTERVALS)]
    by_class = tuple(value if isinstance(value, int) else 0 for value in told)
    return partial(round_size, settings=AllocatorSettings(roundup_power2_divisions=by_class if any(by_class) else ()))
