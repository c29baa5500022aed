"""Streams and events of a virtual card: everything is done at once, but every stream has memory pools of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from probes.virtual.errors import NotCarriedError

if TYPE_CHECKING:
    from probes.virtual.machine import Machine

_POOLED = 32  # c10/cuda/CUDAStream.cpp, kStreamsPerPool: later streams share those made before
_EVENT_TIMES = "times between CUDA events are this host's, not a card's"


class Stream:
    """A stream of a virtual card.

    Attributes:
        device: its card.
        stream_id: 0 for the default stream.
    """

    _made = 0

    def __init__(
        self, device: torch.device, priority: int = 0, *, stream_id: int | None = None, machine: Machine | None = None
    ) -> None:
        if stream_id is None:
            Stream._made = Stream._made % _POOLED + 1
            stream_id = Stream._made
        self.device, self.priority, self._machine = device, priority, machine
        self.device_index, self.device_type = device.index or 0, 1
        self.stream_id = self.cuda_stream = stream_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self.stream_id) == (other.device, other.stream_id)

    def __hash__(self) -> int:
        return hash((self.device, self.stream_id))

    def __enter__(self) -> Stream:
        if self._machine is None:
            raise NotCarriedError("a stream of another block", "make streams inside the block they are used in")
        self._context = StreamContext(self._machine, self)
        self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)

    def synchronize(self) -> None:
        """Wait for the stream: it is always done."""

    def wait_stream(self, stream: Stream) -> None:
        """Wait for another stream: it is always done."""

    def wait_event(self, event: Event) -> None:
        """Wait for an event: it has always happened."""

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event, a new one if none is given."""
        event = event or Event(self._machine)
        event.record(self)
        return event

    def query(self) -> bool:
        """Whether all work is done: always."""
        return True

    def is_capturing(self) -> bool:
        """Whether a CUDA graph is being captured: never."""
        return False


class StreamContext:
    """`with torch.cuda.stream(s)`: allocations inside come from the pools of `s`; None changes nothing."""

    def __init__(self, machine: Machine, stream: Stream | None) -> None:
        self._machine, self.stream = machine, stream
        self._before: tuple[int, int] | None = None

    def __enter__(self) -> None:
        if self.stream is None:
            return
        machine, index = self._machine, self.stream.device_index
        self._before = (machine.current_device, machine.streams[index])
        machine.current_device, machine.streams[index] = index, self.stream.stream_id

    def __exit__(self, *error: object) -> None:
        if self._before is not None and self.stream is not None:
            self._machine.current_device, self._machine.streams[self.stream.device_index] = self._before


class Event:
    """An event that has happened once it was recorded; it remembers the host's clock."""

    def __init__(self, machine: Machine | None = None, *, enable_timing: bool = False) -> None:
        self._machine, self._timed = machine, enable_timing
        self._at: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Note the time."""
        self._at = time.perf_counter()

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream wait: the event has always happened."""

    def query(self) -> bool:
        """Whether it has happened: always."""
        return True

    def synchronize(self) -> None:
        """Wait for it: it has always happened."""

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds between two events, of this host's clock; noted as such.

        Raises:
            ValueError: an event without timing, or never recorded.
        """
        if not (self._timed and other._timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._at is None or other._at is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if self._machine is not None:
            self._machine.notes.add(_EVENT_TIMES)
        return (other._at - self._at) * 1e3


def functions(machine: Machine) -> dict[str, Any]:
    """Name in `torch.cuda` -> replacement, for what concerns streams and events."""
    from probes.virtual.devices import index_of

    def device_of(device: Any = None) -> torch.device:
        return torch.device("cuda", index_of(machine, device))

    class VirtualStream(Stream):
        def __init__(self, device: Any = None, priority: int = 0, **given: Any) -> None:
            super().__init__(device_of(device), priority, stream_id=given.get("stream_id"), machine=machine)

    class VirtualEvent(Event):
        def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
            super().__init__(machine, enable_timing=enable_timing)

    class VirtualContext(StreamContext):
        def __init__(self, stream: Stream | None) -> None:
            super().__init__(machine, stream)

    def set_stream(stream: Stream | None) -> None:
        if stream is not None:
            machine.current_device = stream.device_index
            machine.streams[stream.device_index] = stream.stream_id

    def current_stream(device: Any = None) -> Stream:
        return VirtualStream(device, stream_id=machine.streams[index_of(machine, device)])

    for made, name in ((VirtualStream, "Stream"), (VirtualEvent, "Event")):
        made.__name__ = made.__qualname__ = name
    return {
        "Stream": VirtualStream,
        "Event": VirtualEvent,
        "stream": VirtualContext,
        "StreamContext": VirtualContext,
        "set_stream": set_stream,
        "current_stream": current_stream,
        "default_stream": lambda device=None: VirtualStream(device, stream_id=0),
        "is_current_stream_capturing": lambda: False,
    }
