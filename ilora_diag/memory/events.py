"""Trace events of the allocator, in the form of `torch.cuda.memory._snapshot()["device_traces"]`."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Action = Literal[
    "alloc",
    "free_requested",
    "free_completed",
    "segment_alloc",
    "segment_free",
    "segment_map",
    "segment_unmap",
    "oom",
    "snapshot",
]


class TraceEvent(NamedTuple):
    """One thing the allocator did; a tuple, which is quicker to make at every request than a frozen dataclass.

    Attributes:
        action: what it did.
        addr: address of the block or segment; for `oom` the free bytes of the device, as PyTorch stores it.
        size: requested bytes for `alloc` and the two frees (seen in every recording, torch 2.0 to 2.13); bytes of the
            segment or of the mapped pages for the segment events; the rounded request for `oom`; the active bytes for
            `snapshot`.
        stream: of the block.
        block_bytes: size of the block for `alloc` and the frees; the snapshot's form has no place for it.
        context: what the caller attached to the block.
    """

    action: Action
    addr: int
    size: int
    stream: int = 0
    block_bytes: int = 0
    context: object = None

    def to_dict(self, *, time_us: int | None = None) -> dict[str, Any]:
        """The event as the snapshot has it; frames are the caller's to add."""
        address = "device_free" if self.action == "oom" else "addr"
        event: dict[str, Any] = {"action": self.action, address: self.addr, "size": self.size, "stream": self.stream}
        if time_us is not None:
            event["time_us"] = time_us
        return event
