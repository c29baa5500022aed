"""What a case is: how to build a step, how to run it, and what was measured when somebody ran it on a card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.naive_rules import Outline

Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A step in two parts.

    Attributes:
        prepare: everything before the measurement began (warm-up steps); its memory stays.
        window: what was measured.
    """

    prepare: Work
    window: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the card said, in bytes; None where the source does not say.

    Attributes:
        allocated_bytes: `max_memory_allocated` of the window.
        reserved_bytes: `max_memory_reserved` of the window.
        after_bytes: `memory_allocated` at its end.
        before_bytes: `memory_allocated` at its begin.
        device_bytes: used memory of the whole card (NVML), with everything outside the allocator.
        resolution_bytes: how coarse the printed figure is; errors below it say nothing.
        out_of_memory: the step did not fit the card; then a prediction must not fit either.
        origin: "row", or "replay" where the figures come from the recording itself.
    """

    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    after_bytes: int | None = None
    before_bytes: int | None = None
    device_bytes: int | None = None
    resolution_bytes: int = 0
    out_of_memory: bool = False
    origin: str = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One recorded row that determines its configuration.

    Attributes:
        id: the row's own.
        family: groups of rows measured the same way; errors are summed up per family.
        gpu: key of the card, as `virtual_cuda` names it. Where the source does not name the card, one whose cuBLAS
            workspace has the recorded size, and `notes` says so.
        torch_version: of the recording.
        build: makes the program; called with the device's name.
        measured: the row's figures.
        memory_bytes: of the card, where its size matters (rows that ran out of memory).
        snapshot: file name of the recording with the sequence of requests, if there is one.
        outside_bytes: how much of a whole card's reading may lie outside the allocator: least and most.
        outline: what rules of thumb are given.
        notes: what is assumed where the row is silent, and what is known to differ.
    """

    id: str
    family: str
    gpu: str
    torch_version: str
    build: Callable[[str], Program]
    measured: Measured
    memory_bytes: int | None = None
    snapshot: str | None = None
    outside_bytes: tuple[int, int] = (0, 0)
    outline: Outline | None = None
    notes: str = ""


@dataclass(slots=True)
class Held:
    """Names of a script that outlive a step: what they point to is freed only when they are written again."""

    values: dict[str, object] = field(default_factory=dict)

    def __setitem__(self, name: str, value: object) -> None:
        self.values[name] = value

    def drop(self, *names: str) -> None:
        for name in names:
            self.values.pop(name, None)


def nothing() -> None:
    """No warm-up."""


def repeated(work: Work, times: int) -> Work:
    def run() -> None:
        for _ in range(times):
            work()

    return run
