"""Every allocation of a virtual run: when, how large, and what for.

A block gets a number when it is made and keeps it. What it is for may show itself later (a gradient is known as one
when its parameter holds it), so the category is decided at the end, from everything known by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ilora_diag.schema import Category

# A phase ends where another begins; `recompute` is backward running a checkpointed forward again.
LOAD, FORWARD, BACKWARD, RECOMPUTE, OPTIMIZER, VALIDATION = (
    "load",
    "forward",
    "backward",
    "recompute",
    "optimizer",
    "validation",
)
OUTSIDE = "(outside modules)"


@dataclass(slots=True)
class Ledger:
    """Allocations and frees in order.

    Attributes:
        events: +n where allocation n (from 1) was made, -n where it was freed.
        sizes: bytes asked for, by number; index 0 is unused.
        devices, modules, ops, phases, steps: of each allocation.
        freed_in: (step, phase) in which it was freed, None while it lives.
        fixed: categories that are known for certain, by number.
    """

    events: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=lambda: [0])
    devices: list[int] = field(default_factory=lambda: [0])
    modules: list[str] = field(default_factory=lambda: [""])
    ops: list[str] = field(default_factory=lambda: [""])
    phases: list[str] = field(default_factory=lambda: [""])
    steps: list[int] = field(default_factory=lambda: [0])
    freed_in: list[tuple[int, str] | None] = field(default_factory=lambda: [None])
    fixed: dict[int, Category] = field(default_factory=dict)
    marks: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, size: int, device: int, module: str, op: str, phase: str, step: int) -> int:
        """Note an allocation; returns its number."""
        number = len(self.sizes)
        self.events.append(number)
        self.sizes.append(size)
        self.devices.append(device)
        self.modules.append(module)
        self.ops.append(op)
        self.phases.append(phase)
        self.steps.append(step)
        self.freed_in.append(None)
        return number

    def free(self, number: int, phase: str, step: int) -> None:
        """Note that allocation `number` was given back."""
        self.events.append(-number)
        self.freed_in[number] = (step, phase)

    def mark(self, step: int, phase: str) -> None:
        """Note that from the next event on another phase runs."""
        self.marks.append((len(self.events), step, phase))

    def category(self, number: int) -> Category:
        """What an allocation was for, by everything that became known."""
        known = self.fixed.get(number)
        if known is not None:
            return known
        made_in, freed_in = (self.steps[number], self.phases[number]), self.freed_in[number]
        if made_in[1] in (FORWARD, RECOMPUTE) and freed_in != made_in:
            return Category.ACTIVATION
        return Category.TEMPORARY

    def live_at(self, event: int) -> list[int]:
        """Numbers of the allocations alive after the first `event` events."""
        live: dict[int, None] = {}
        for number in self.events[:event]:
            if number > 0:
                live[number] = None
            else:
                del live[-number]
        return list(live)


@dataclass(slots=True)
class Notes:
    """What the device could not know and answered nevertheless, counted, so that nobody takes it for knowledge."""

    counts: Counter[str] = field(default_factory=Counter)
    values: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Count one more answer of this kind."""
        self.counts[text] += 1

    def add_value(self, text: str) -> None:
        """Count one more answer that the code may branch on: a value, or a size that hangs on values."""
        self.values.add(text)
        self.add(text)

    def sentences(self) -> Iterable[str]:
        """Each kind once, with how often it was needed."""
        return (counted(text, count) for text, count in self.counts.items())

    def value_sentences(self) -> Iterable[str]:
        """Those of them that are values."""
        return (counted(text, count) for text, count in self.counts.items() if text in self.values)


def counted(text: str, count: int) -> str:
    """What was answered, with how often."""
    return f"{text} ({count} times)" if count > 1 else text
