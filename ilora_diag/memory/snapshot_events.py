"""The recorded events of one device in columns: millions of them fit where as many dicts would not."""

from __future__ import annotations

import reprlib
from array import array
from collections.abc import Sequence
from typing import Any, TypedDict, overload

from ilora_diag.memory.snapshot_checks import LIMIT, checked_dict, checked_integer, checked_size
from ilora_diag.memory.snapshot_errors import DamageError
from ilora_diag.memory.snapshot_frames import FrameDict, Stacks

ACTIONS = (
    *("alloc", "free_requested", "free_completed", "oom", "snapshot", "user_defined", "annotate"),
    *("segment_alloc", "segment_free", "segment_map", "segment_unmap"),
)
"""What the allocators of torch 2.0 to 2.14 record (`TraceEntry::Action`); a remark on a block, `annotate`, is new in
2.14. Any other action might change the totals in a way not known here, so it is refused by name."""

ACTION_CODES = {action: code for code, action in enumerate(ACTIONS)}
ALLOC, FREE_REQUESTED, FREE_COMPLETED, OOM = (
    ACTION_CODES[action] for action in ("alloc", "free_requested", "free_completed", "oom")
)
SEGMENT_ALLOC, SEGMENT_FREE, SEGMENT_MAP, SEGMENT_UNMAP = (
    ACTION_CODES[action] for action in ("segment_alloc", "segment_free", "segment_map", "segment_unmap")
)
_WITHOUT_SIZE = frozenset(ACTION_CODES[action] for action in ("snapshot", "user_defined", "annotate"))
UNKNOWN_FREE = (1 << 64) - 1
"""In the column of addresses: an `oom` that does not say what the device had free."""


class EventDict(TypedDict, total=False):
    """One action of the allocator. Bytes; `alloc` and `free_*` carry the requested, not the rounded size."""

    action: str
    addr: int
    device_free: int
    size: int
    stream: int
    time_us: int
    frames: list[FrameDict]


class Events(Sequence[EventDict]):
    """Events from oldest to newest. Reading one by its place makes a dict of it; what reads all reads the columns.

    Attributes:
        action: place of the action in `ACTIONS`.
        address: of the block or segment; for `oom` the free bytes of the device, or `UNKNOWN_FREE`.
        size: bytes.
        stream: place of the stream in `streams`.
        time: microseconds; 0 where none was recorded.
        stack: number of the stack in `stacks`.
        streams: the streams in order of appearance.
        stacks: of the whole snapshot.
    """

    __slots__ = ("_stream_places", "action", "address", "size", "stack", "stacks", "stream", "streams", "time")

    def __init__(self, stacks: Stacks) -> None:
        self.action, self.stream, self.stack = array("B"), array("I"), array("I")
        self.address, self.size, self.time = array("Q"), array("q"), array("q")
        self.stacks = stacks
        self.streams: list[int] = []
        self._stream_places: dict[int, int] = {}

    def add(self, event: dict[str, Any], where: str, index: int) -> None:
        """One more event, as the file has it.

        Args:
            event: not changed.
            where: name of the list it stands in, for what is said of an odd one.
            index: its place there.

        Raises:
            DamageError: an action not known here, or a value that no event has; nothing is added then.
        """
        action = event.get("action")
        code = ACTION_CODES.get(action) if isinstance(action, str) else None
        if code is None:
            raise DamageError(
                f"has the action {reprlib.repr(action)} at {where}[{index}]: a snapshot of a newer format. "
                f"Known here: {', '.join(sorted(ACTIONS))}"
            )
        size, address = event.get("size"), event.get("device_free" if code == OOM else "addr")
        stream, time = event.get("stream", 0), event.get("time_us", 0)
        if not (
            type(size) is type(address) is type(stream) is type(time) is int
            and 0 <= size < LIMIT
            and 0 <= address < LIMIT
            and 0 <= time < LIMIT
        ):
            size, address, stream, time = _checked(event, code, f"{where}[{index}]")
        frames = event.get("frames")
        number = self.stacks.number(frames, where) if frames else 0
        self.append_rows([(code, address, size, stream, time, number)])

    def append_rows(self, rows: list[tuple[int, int, int, int, int, int]]) -> None:
        """More events: places of the actions, addresses, sizes, streams, times, numbers of the stacks."""
        if not rows:
            return
        actions, addresses, sizes, streams, times, stacks = zip(*rows, strict=True)
        for stream in set(streams) - self._stream_places.keys():
            self._stream_places[stream] = len(self.streams)
            self.streams.append(stream)
        self.action.extend(actions)
        self.address.extend(addresses)
        self.size.extend(sizes)
        self.stream.extend(map(self._stream_places.__getitem__, streams))
        self.time.extend(times)
        self.stack.extend(stacks)

    def extend(self, run: EventRun) -> None:
        """The events of a run."""
        other, part = run.events, slice(run.start, run.start + run.count)
        places = [self._stream_places.setdefault(stream, len(self._stream_places)) for stream in other.streams]
        self.streams = list(self._stream_places)
        if places == list(range(len(places))):
            self.stream.extend(other.stream[part])
        else:
            self.stream.extend(places[place] for place in other.stream[part])
        for name in ("action", "address", "size", "time"):
            getattr(self, name).extend(getattr(other, name)[part])
        self.stack.extend(map(run.stacks.__getitem__, other.stack[part]))

    def __len__(self) -> int:
        return len(self.action)

    @overload
    def __getitem__(self, index: int) -> EventDict: ...

    @overload
    def __getitem__(self, index: slice) -> list[EventDict]: ...

    def __getitem__(self, index: int | slice) -> EventDict | list[EventDict]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        code, address, time = self.action[index], self.address[index], self.time[index]
        event: EventDict = {"action": ACTIONS[code]}
        if code != OOM:
            event["addr"] = address
        elif address != UNKNOWN_FREE:
            event["device_free"] = address
        event["size"] = self.size[index]
        event["stream"] = self.streams[self.stream[index]]
        if time:
            event["time_us"] = time
        event["frames"] = self.stacks.frames[self.stack[index]]
        return event


class EventRun:
    """Events that were read already, in a list in place of their dicts.

    Attributes:
        events: the columns they are in.
        start: the first one's place there.
        count: how many.
        stacks: the numbers of their stacks, by the number that the columns have in that place.
    """

    __slots__ = ("count", "events", "stacks", "start")
    __hash__ = None  # type: ignore[assignment]  # as little a key as a dict

    def __init__(self, events: Events, start: int, stacks: Sequence[int]) -> None:
        self.events, self.start, self.stacks, self.count = events, start, stacks, 0


def events_of(items: list[Any], where: str, stacks: Stacks) -> Events:
    """The events in a list of dicts and of what stands for those that were read already.

    Raises:
        DamageError: something else than an event.
    """
    events = Events(stacks)
    for item in items:
        if isinstance(item, EventRun):
            events.extend(item)
        else:
            events.add(checked_dict(item, f"{where}[{len(events)}]"), where, len(events))
    return events


def _checked(event: dict[str, Any], code: int, where: str) -> tuple[int, int, int, int]:
    """Size, address, stream and time of an event that lacks one, has a very high address, or is odd."""
    values = []
    for key in ("size", "device_free" if code == OOM else "addr"):
        if event.get(key) is None and code in _WITHOUT_SIZE:
            values.append(0)
        elif event.get(key) is None and key == "device_free":
            values.append(UNKNOWN_FREE)
        else:
            values.append(checked_size(event, key, where))
    stream = checked_integer(event, "stream", where, default=0)
    return values[0], values[1], stream, checked_size(event, "time_us", where, default=0)
