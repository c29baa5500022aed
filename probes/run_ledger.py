"""A ledger that also keeps what the allocator said after every event, so that nothing need be replayed.

A script may empty the cache, use streams, or reset the peaks: what it held is read off the allocator as it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from probes.virtual.ledger import Ledger

Levels = tuple[int, int]
"""Allocated and reserved bytes of the card."""


def _nothing() -> Levels:
    return 0, 0


@dataclass(slots=True)
class MeasuredLedger(Ledger):
    """Allocations and frees in order, each with the bytes that it changed.

    Attributes:
        read: asks the allocator, right after a block was handed out and right before one is given back.
        block_sizes: allocated bytes of each request, by number; index 0 is unused.
        allocated, reserved: after each event.
    """

    read: Callable[[], Levels] = _nothing
    block_sizes: list[int] = field(default_factory=lambda: [0])
    allocated: list[int] = field(default_factory=list)
    reserved: list[int] = field(default_factory=list)

    def add(self, size: int, device: int, module: str, op: str, phase: str, step: int) -> int:
        """Note an allocation; returns its number."""
        number = Ledger.add(self, size, device, module, op, phase, step)
        allocated, reserved = self.read()
        self.block_sizes.append(allocated - (self.allocated[-1] if self.allocated else 0))
        self.allocated.append(allocated)
        self.reserved.append(reserved)
        return number

    def free(self, number: int, phase: str, step: int) -> None:
        """Note that allocation `number` is being given back."""
        Ledger.free(self, number, phase, step)
        self.allocated.append(self.allocated[-1] - self.block_sizes[number])
        self.reserved.append(self.read()[1])

    def cut(self, num_events: int) -> None:
        """Forget what came after so many events: a script that is being ended cleans up."""
        for event in self.events[num_events:]:
            if event < 0:
                self.freed_in[-event] = None
        del self.events[num_events:], self.allocated[num_events:], self.reserved[num_events:]
        num_kept = 1 + sum(1 for event in self.events if event > 0)
        for column in (self.sizes, self.devices, self.modules, self.ops, self.phases, self.steps, self.freed_in):
            del column[num_kept:]
        del self.block_sizes[num_kept:]
        self.marks[:] = [mark for mark in self.marks if mark[0] <= num_events]
