"""What a run asked of the allocator, in order: the form that replays and breakdowns start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from ilora_diag.schema import Category
from probes.virtual.ledger import BACKWARD, FORWARD, LOAD, OPTIMIZER, RECOMPUTE, VALIDATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What steps asked of the allocator.

    Attributes:
        events: +n where request n (from 1) was made, -n where it was given back.
        sizes, modules, ops, categories: of each request; place 0 is unused.
        marks: (event, step, phase) from which on that phase runs; step 0 is before the first.
        steps: optimizer steps traced.
        num_load_events: how many of the events are loading and building.
        attention: backends of scaled-dot-product attention, with how often each was called.
        notes: what the device could not know and answered nevertheless, each with how often.
    """

    events: tuple[int, ...]
    sizes: tuple[int, ...]
    modules: tuple[str, ...]
    ops: tuple[str, ...]
    categories: tuple[Category, ...]
    marks: tuple[tuple[int, int, str], ...]
    steps: int
    num_load_events: int
    attention: tuple[tuple[str, int], ...]
    notes: tuple[tuple[str, int], ...]

    @property
    def num_requests(self) -> int:
        """Requests that asked for bytes."""
        return sum(1 for size in self.sizes if size)


def spoken_marks(marks: list[tuple[int, int, str]], steps: int) -> Iterator[tuple[int, int, str]]:
    """Steps counted from 1, 0 before the first. A validation belongs to the step done, as does all after the last."""
    last = (0, LOAD)
    yield (0, *last)
    for (event, step, phase), following in zip_longest(marks, marks[1:], fillvalue=(0, 0, "")):
        if phase == FORWARD and following[2] == OPTIMIZER:
            phase = OPTIMIZER  # what follows backward clips gradients
        number = step if phase == VALIDATION else min(step + 1, steps)
        now = (0, LOAD) if phase == LOAD else (number, BACKWARD if phase == RECOMPUTE else phase)
        if now != last:
            yield (event, *now)
        last = now
