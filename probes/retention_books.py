"""What is alive after each step, told by the numbers that a ledger gives to allocations.

A storage that is still there after the step that follows the one it was made in has outlived it. In a healthy training
those are the weights, the optimizer's states and what else was made once: their bytes stay the same from step to step.
What belongs to the current step (its loss, its batch, its gradients) is left out, since batches differ in size.

One thing grows without any storage growing old: a tensor that is made anew from itself and a bit more in every step, as
`everything = torch.cat([everything, new])` does. It is told by the operator.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor

from probes.recorder import Books, Reading, recording
from probes.retention_heap import heap
from probes.run_ledger import MeasuredLedger
from probes.virtual.ledger import LOAD
from probes.virtual.watch import Watch

_JOINS = ("aten::cat", "aten::stack", "aten::_cat")
_GRANULE = 512
Maker = tuple[str, str]
"""Module and operator."""


class HostClock:
    """Tensors of the host have no allocator that could be asked: their storages are all there is to count."""

    def read(self) -> Reading:
        """Nothing beyond the storages themselves."""
        return Reading(0, 0, 0)

    def has(self, tensor: Tensor) -> bool:
        """Dense tensors of the host."""
        return tensor.device.type == "cpu" and tensor.layout is torch.strided


@contextmanager
def host_books() -> Iterator[Watch]:
    """Record the storages of the host's tensors inside the block; its watch is what `GrowthWatch` wants on the CPU."""
    books = Books(HostClock())
    with recording(books):
        yield books.watch


@dataclass(slots=True)
class Samples:
    """Live storages after each step.

    Attributes:
        watch: of a virtual machine, of a real card's books or of `host_books`.
        outlived: bytes after each step that were there before it, joined tensors included.
        marks: the last number given out at the end of each step.
        joined: by what made them, bytes of joined tensors after each step that made some.
    """

    watch: Watch
    outlived: list[int] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    joined: list[dict[Maker, int]] = field(default_factory=list)

    @property
    def num(self) -> int:
        """Steps noted."""
        return len(self.marks)

    def take(self) -> None:
        """Note the storages that are alive now, at the end of a step."""
        machine, ledger = self.watch.machine, self.watch.machine.ledger
        if not self.marks and self.is_host:
            self._note_unseen()
        before = self.marks[-1] if self.marks else None
        old = 0
        joined: dict[Maker, int] = {}
        for entry in list(machine.alive.values()):
            number = entry.number
            if ledger.phases[number] == LOAD if before is None else number <= before:
                old += self.size_of(number)
            elif ledger.ops[number] in _JOINS:
                maker = (ledger.modules[number], ledger.ops[number])
                joined[maker] = joined.get(maker, 0) + self.size_of(number)
        self.outlived.append(old)
        self.marks.append(len(ledger.sizes) - 1)
        self.joined.append(joined)

    @property
    def is_host(self) -> bool:
        """Whether these are the host's tensors, whose contents can be read."""
        return isinstance(getattr(self.watch.machine, "clock", None), HostClock)

    def size_of(self, number: int) -> int:
        """Bytes of a storage: of the block under it on a card."""
        ledger = self.watch.machine.ledger
        if self.is_host:
            return ledger.sizes[number]
        if isinstance(ledger, MeasuredLedger) and number < len(ledger.block_sizes):
            return ledger.block_sizes[number]
        return -(-ledger.sizes[number] // _GRANULE) * _GRANULE

    def step_of(self, number: int) -> int:
        """The step, from 1, in which a storage was made."""
        return bisect_left(self.marks, number) + 1

    def live(self) -> list[int]:
        """Bytes after each step: what outlived it, and the joined tensors that grow."""
        grown = self.regrown()
        return [
            old + sum(size for maker, size in joined.items() if maker in grown)
            for old, joined in zip(self.outlived, self.joined, strict=True)
        ]

    def regrown(self) -> set[Maker]:
        """What makes a larger joined tensor in every step than in the one before."""
        if self.num < 4:
            return set()
        makers = set.intersection(*(set(joined) for joined in self.joined[1:]))
        return {maker for maker in makers if all(b > a for a, b in pairwise([j[maker] for j in self.joined[1:]]))}

    def kept(self) -> list[int]:
        """Numbers made in a step after the first that outlived a later one; of joined tensors those of the last."""
        machine, ledger = self.watch.machine, self.watch.machine.ledger
        if self.num < 3:
            return []
        first, last = self.marks[0], self.marks[-2]
        regrown = self.regrown()
        numbers = [entry.number for entry in machine.alive.values()]
        kept = [number for number in numbers if first < number <= last]
        return kept + [
            number
            for number in numbers
            if last < number <= self.marks[-1] and (ledger.modules[number], ledger.ops[number]) in regrown
        ]

    def growth_of(self, numbers: list[int]) -> tuple[int, int, bool]:
        """Bytes that some kept storages came to, median bytes a step, and whether it was in most steps."""
        ledger = self.watch.machine.ledger
        maker = (ledger.modules[numbers[0]], ledger.ops[numbers[0]])
        if numbers[0] > self.marks[-2] and maker in self.regrown():
            sizes = [joined[maker] for joined in self.joined[1:]]
            return sizes[-1] - sizes[0], int(median(b - a for a, b in pairwise(sizes))), True
        by_step = dict.fromkeys(range(2, self.num), 0)
        for number in numbers:
            by_step[self.step_of(number)] += self.size_of(number)
        in_steps = sum(1 for size in by_step.values() if size)
        is_even = in_steps >= 2 and 2 * in_steps >= len(by_step)
        return sum(by_step.values()), int(median(by_step.values())), is_even

    def number_of(self, tensor: Any) -> int | None:
        """The number of a tensor's storage; None for what is not on this device."""
        try:
            entry = self.watch.machine.alive.get(tensor.untyped_storage()._cdata)
        except (RuntimeError, NotImplementedError):  # wrappers, sparse layouts: no storage of their own
            return None
        return None if entry is None else entry.number

    def _note_unseen(self) -> None:
        """Tensors of the host that no operator made: from NumPy, from a file. They came before the second step."""
        books = cast(Any, self.watch.machine)  # of the host: `is_host`
        for value in heap().tensors:
            if books.clock.has(value):
                storage = value.untyped_storage()
                if storage.nbytes() and storage._cdata not in books.alive:
                    books.take([storage], "(made outside)", None)


def slope(live: list[int]) -> tuple[float, float]:
    """Growth per step and its standard error by least squares over the steps after the first; 0 and 0 of one point.

    Of two points the error is not known, and given as 0.
    """
    values = live[1:]
    count = len(values)
    if count < 2:
        return 0.0, 0.0
    middle = (count - 1) / 2
    mean = sum(values) / count
    spread = sum((place - middle) ** 2 for place in range(count))
    rise = sum((place - middle) * (value - mean) for place, value in enumerate(values)) / spread
    if count == 2:
        return rise, 0.0
    rests = sum((value - mean - rise * (place - middle)) ** 2 for place, value in enumerate(values))
    return rise, (rests / (count - 2) / spread) ** 0.5
