"""What this project adds to a recorded row: the code that repeats its step, and the card to run it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.cases.case import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to run one row of the recorded cases again.

    Attributes:
        id: the row's.
        build: makes the program on a device.
        gpu: key of the card to run on.
        family: how the row was measured; rows are summed up by it.
        torch_version: where the row says none or no single one.
        memory_bytes: of the card, where it is not what its name says and the row does not say it.
        outside_bytes: of a whole card's reading, least and most that is not the allocator's.
        notes: assumptions and known differences.
    """

    id: str
    build: Callable[[str], Program]
    gpu: str
    family: str = "cs336 snapshots"
    torch_version: str | None = None
    memory_bytes: int | None = None
    outside_bytes: tuple[int, int] = (0, 0)
    notes: str = ""
