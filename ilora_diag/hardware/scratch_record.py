"""What a kernel allocates besides its outputs, as a short list of buffers with their lives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ilora_diag.schema.errors import require


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """One temporary of a kernel.

    Attributes:
        name: as the kernel calls it.
        num_bytes: asked for, before the allocator rounds.
        first: step of the kernel in which it is allocated.
        last: step after which it is freed.
    """

    name: str
    num_bytes: int
    first: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        require(self.num_bytes >= 0, f"a buffer's bytes are not negative, got {self.num_bytes}")
        require(0 <= self.first <= self.last, "a buffer is freed no earlier than it is allocated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """The temporaries of one call; none means that the kernel takes nothing but its outputs.

    Attributes:
        buffers: in order of allocation.
        evidence: "[source]", "[derived]" or "[unverified]", and what it concerns.
        source: file and tree.
        missing: temporaries known to exist and not counted, because their size is not known.
    """

    buffers: tuple[Buffer, ...]
    evidence: str
    source: str
    missing: tuple[str, ...] = ()

    @property
    def peak_bytes(self) -> int:
        """The most bytes alive at once, before rounding."""
        current = peak = 0
        for action, buffer in self.events():
            current += buffer.num_bytes if action == "alloc" else -buffer.num_bytes
            peak = max(peak, current)
        return peak

    def events(self) -> Iterator[tuple[Literal["alloc", "free"], Buffer]]:
        """Allocations and frees in the kernel's order; empty buffers ask the allocator for nothing."""
        buffers = [buffer for buffer in self.buffers if buffer.num_bytes]
        for step in range(max((buffer.last for buffer in buffers), default=-1) + 1):
            yield from (("alloc", buffer) for buffer in buffers if buffer.first == step)
            yield from (("free", buffer) for buffer in reversed(buffers) if buffer.last == step)


def align_up(number: int, step: int) -> int:
    """The next multiple of `step` that is not smaller."""
    return -(-number // step) * step


def ceil_div(number: int, divisor: int) -> int:
    """The quotient, rounded up."""
    return -(-number // divisor)
