"""Feeding a recording's requests to the allocator model, and comparing the two at every event."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ilora_diag.memory.allocator import Block, CachingAllocator
from ilora_diag.memory.history import Event, WholeRecording, make_whole
from ilora_diag.memory.segments import SegmentView
from ilora_diag.memory.settings import AllocatorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An event after which model and recording disagree. `quantity`: address, allocated_bytes or reserved_bytes."""

    event: int
    action: str
    quantity: str
    recorded: int
    modelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it.

    Attributes:
        differences: every disagreement, in order; addresses only in a replay with the recorded ones.
        window: what the recording says by itself.
        peak_allocated_bytes: of the model; the window's own maximum is in `window`.
        peak_reserved_bytes: of the model.
        end: the model's segments after the last event.
    """

    num_events: int
    num_allocs: int
    differences: tuple[Difference, ...]
    window: WholeRecording
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    end: tuple[SegmentView, ...]

    def differing(self, quantity: str) -> tuple[Difference, ...]:
        """The disagreements about one quantity."""
        return tuple(difference for difference in self.differences if difference.quantity == quantity)


def replay(
    segments: Iterable[Mapping[str, Any]],
    events: Sequence[Event],
    *,
    settings: AllocatorSettings | None = None,
    recorded_addresses: bool = True,
) -> Replay:
    """Run the requests and frees of one device's trace through the model, from the state before the window.

    The model decides alone where a block goes and when a segment is taken. With `recorded_addresses` a new segment gets
    the address that the card's driver gave the recorded one, so every block must come to lie where it did; without, the
    model numbers segments itself.

    Args:
        segments: of the snapshot, of this device.
        events: its trace, oldest first.
        settings: the allocator's at the time.
        recorded_addresses: whether new segments take the recorded addresses.

    Raises:
        HistoryError: the recording contradicts itself or holds expandable segments.
    """
    settings = settings or AllocatorSettings()
    runner = _Runner(make_whole(segments, events, settings), events, settings, recorded_addresses=recorded_addresses)
    for index, event in enumerate(events):
        runner.step(index, event)
    allocator = runner.allocator
    return Replay(
        num_events=len(events),
        num_allocs=len(runner.window.sizes),
        differences=tuple(runner.differences),
        window=runner.window,
        peak_allocated_bytes=allocator.peak_allocated_bytes,
        peak_reserved_bytes=allocator.peak_reserved_bytes,
        end=allocator.segments(),
    )


class _Runner:
    def __init__(
        self, window: WholeRecording, events: Sequence[Event], settings: AllocatorSettings, *, recorded_addresses: bool
    ) -> None:
        self.window = window
        self.recorded_addresses = recorded_addresses
        self.differences: list[Difference] = []
        self.coming: deque[tuple[int, int]] = deque()
        self.allocator = CachingAllocator(
            settings=settings, address_source=self._address if recorded_addresses else None
        )
        self.blocks: dict[int, Block] = self.allocator.adopt(window.segments_before)
        if not recorded_addresses:
            self.allocator.core.driver.skip_addresses(max((e.get("addr", 0) + e["size"] for e in events), default=0))

    def _address(self, nbytes: int, _stream: int) -> int | None:
        if self.coming and self.coming[0][1] == nbytes:
            return self.coming.popleft()[0]
        return None

    def step(self, index: int, event: Event) -> None:
        """One event. A segment is compared at the request it was taken for, which the recording has after it."""
        action, size, address = event["action"], event["size"], event.get("addr", 0)
        if action == "segment_alloc":
            self.coming.append((address, size))
            return
        if action == "alloc":
            block = self.allocator.malloc(size, stream=event["stream"])
            assert block is not None, "a recorded request of 0 bytes"
            self.blocks[address] = block
            if self.recorded_addresses:
                self._compare(index, action, "address", address, block.address)
            self.coming.clear()
        elif action == "free_requested":
            self.allocator.request_free(self.blocks[address])
        elif action == "free_completed":
            self.allocator.complete_free(self.blocks.pop(address))
        elif action == "segment_free":
            self._release(address)
        self._compare(
            index, action, "allocated_bytes", self.window.allocated_bytes[index], self.allocator.allocated_bytes
        )
        self._compare(index, action, "reserved_bytes", self.window.reserved_bytes[index], self.allocator.reserved_bytes)

    def _release(self, address: int) -> None:
        """A segment the program gave back: `empty_cache` has no event of its own, so follow its parts."""
        core = self.allocator.core
        for pool in (core.large, core.small):
            for block in pool.blocks():
                if block.address == address and not block.is_split:
                    core.release_segment(block)
                    return

    def _compare(self, index: int, action: str, quantity: str, recorded: int, modelled: int) -> None:
        if recorded != modelled:
            self.differences.append(
                Difference(event=index, action=action, quantity=quantity, recorded=recorded, modelled=modelled)
            )
