"""The allocator at one moment of a window: totals, fragmentation, and who holds what."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain

from ilora_diag.memory.snapshot_stacks import Origin, origin_of
from ilora_diag.memory.window import BEFORE, Blocks, Window
from ilora_diag.schema.snapshot import MemoryState, OpBytes, StackBytes

BEFORE_WINDOW = "(before the window)"


def state_at(window: Window, moment: int) -> MemoryState:
    """Totals after an event, or before the window (`BEFORE`)."""
    blocks = window.blocks
    live, pending = list(blocks.live_at(moment)), list(blocks.pending_at(moment))
    allocated = sum(blocks.size[index] for index in live)
    active = allocated + sum(blocks.size[index] for index in pending)
    requested = sum(min(blocks.requested[index], blocks.size[index]) for index in live)
    reserved = window.reserved_at(moment)
    ranges = window.ranges_at(moment)
    split, largest = _free_stretches(blocks, chain(live, pending), ranges)
    return MemoryState(
        requested_bytes=requested,
        allocated_bytes=allocated,
        active_bytes=active,
        reserved_bytes=reserved,
        internal_fragmentation_bytes=allocated - requested,
        external_fragmentation_bytes=reserved - active,
        inactive_split_bytes=split,
        largest_free_block_bytes=largest,
        num_segments=len(ranges),
        unseen_rest_bytes=sum(blocks.rest[index] for index in live),
    )


def cached_whole_segments(window: Window, moment: int) -> int:
    """Bytes of segments that hold nothing at a moment: the allocator gives these back before it fails."""
    blocks = window.blocks
    ranges = window.ranges_at(moment)
    used = set()
    starts = [start for start, _ in ranges]
    for index in chain(blocks.live_at(moment), blocks.pending_at(moment)):
        used.add(bisect_right(starts, blocks.address[index]) - 1)
    return sum(size for place, (_, size) in enumerate(ranges) if place not in used)


def _free_stretches(blocks: Blocks, held: Iterable[int], ranges: list[tuple[int, int]]) -> tuple[int, int]:
    """(free bytes in segments that also hold something, longest free stretch)."""
    starts = [start for start, _ in ranges]
    inside: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index in held:
        inside[bisect_right(starts, blocks.address[index]) - 1].append((blocks.address[index], blocks.size[index]))
    split = largest = 0
    for place, (start, length) in enumerate(ranges):
        position, end = start, start + length
        for address, size in sorted(inside.get(place, ())):
            gap = address - position
            if gap > 0:
                split += gap
                largest = max(largest, gap)
            position = max(position, address + size)
        gap = end - position
        if gap > 0:
            split += gap if place in inside else 0
            largest = max(largest, gap)
    return split, largest


class Origins:
    """The origin of every stack of a window, worked out once."""

    def __init__(self, window: Window) -> None:
        self._of_stack = [origin_of(frames) for frames in window.stacks]
        self._window = window

    def of(self, index: int) -> Origin:
        """The origin of a block."""
        return self._of_stack[self._window.blocks.stack[index]]

    def of_stack(self, number: int) -> Origin:
        """The origin of a stack by its number."""
        return self._of_stack[number]

    def by_op(self, moment: int) -> tuple[OpBytes, ...]:
        """Allocated bytes at a moment by operator, what was there before the window as one part."""
        sizes, counts = Counter[tuple[str, bool]](), Counter[tuple[str, bool]]()
        blocks = self._window.blocks
        for index in blocks.live_at(moment):
            before = blocks.start[index] == BEFORE
            key = (BEFORE_WINDOW if before else self.of(index).op, before)
            sizes[key] += blocks.size[index]
            counts[key] += 1
        return tuple(
            OpBytes(op=op, size_bytes=size, num_blocks=counts[op, before], before_window=before)
            for (op, before), size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        )

    def by_stack(self, moment: int) -> tuple[StackBytes, ...]:
        """Allocated bytes at a moment by line of the program, what was there before the window as one part."""
        shares = self._by_site(moment, before=False)
        live = [i for i in self._window.blocks.live_at(moment) if self._window.blocks.start[i] == BEFORE]
        if live:
            size = sum(self._window.blocks.size[index] for index in live)
            part = StackBytes(site=BEFORE_WINDOW, size_bytes=size, num_blocks=len(live), before_window=True, frames=())
            shares = sorted([*shares, part], key=_by_size)
        return tuple(shares)

    def before_by_stack(self, moment: int) -> tuple[StackBytes, ...]:
        """The part of a moment's bytes that was allocated before the window, by the stacks its blocks kept."""
        return tuple(self._by_site(moment, before=True))

    def _by_site(self, moment: int, *, before: bool) -> list[StackBytes]:
        blocks = self._window.blocks
        sizes, counts = Counter[str](), Counter[str]()
        frames: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for index in blocks.live_at(moment):
            if (blocks.start[index] == BEFORE) is not before:
                continue
            origin, size = self.of(index), blocks.size[index]
            sizes[origin.site] += size
            counts[origin.site] += 1
            frames[origin.site][origin.frames] += size
        shares = [
            StackBytes(
                site=site,
                size_bytes=size,
                num_blocks=counts[site],
                before_window=before,
                frames=min(frames[site].items(), key=lambda item: (-item[1], item[0]))[0],
            )
            for site, size in sizes.items()
        ]
        return sorted(shares, key=_by_size)


def _by_size(share: StackBytes) -> tuple[int, str]:
    return -share.size_bytes, share.site
