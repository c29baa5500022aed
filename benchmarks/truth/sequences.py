"""A sequence of allocator events in few bytes, and back.

Sizes repeat, so they go into a table; an allocation is `2 * index into the table`, a release is `2 * age + 1`, where
the age counts the allocations made since the released one (0: the latest). Both as base-128 varints, deflated, base85.
A release of a block from before the recording has no age and goes into `unknown_bytes`.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ALLOC, FREE = "alloc", "free_requested"
SEGMENTS = ("segment_alloc", "segment_free", "segment_map", "segment_unmap")


def encode(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Pack the trace events of one device (`device_traces` of a snapshot).

    Returns:
        `sizes`, `stream`, `num_events`, `unknown_bytes` (sizes released that were allocated before) and `segments`:
        [number of events before, action, bytes] of everything asked of or given back to the driver.
    """
    table: dict[int, int] = {}
    numbers: list[int] = []
    order: dict[int, int] = {}
    unknown: list[int] = []
    segments: list[list[Any]] = []
    num_allocs = 0
    for event in events:
        action, size = event["action"], int(event["size"])
        if action == ALLOC:
            numbers.append(2 * table.setdefault(size, len(table)))
            order[event["addr"]] = num_allocs
            num_allocs += 1
        elif action == FREE:
            born = order.pop(event["addr"], None)
            if born is None:
                unknown.append(size)
            else:
                numbers.append(2 * (num_allocs - 1 - born) + 1)
        elif action in SEGMENTS or action == "oom":
            segments.append([len(numbers), action, size])
    packed = base64.b85encode(zlib.compress(b"".join(map(_varint, numbers)), 9)).decode("ascii")
    return {
        "sizes": list(table),
        "stream": packed,
        "num_events": len(numbers),
        "unknown_bytes": unknown,
        "segments": segments,
    }


def decode(packed: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """(action, bytes, number of the allocation) of every event, in order.

    Raises:
        ValueError: the stream is not one that `encode` made.
    """
    sizes = packed["sizes"]
    born: list[int] = []
    count = 0
    for number in _varints(zlib.decompress(base64.b85decode(packed["stream"]))):
        count += 1
        if number % 2 == 0:
            if number // 2 >= len(sizes):
                raise ValueError(f"size number {number // 2} of {len(sizes)}")
            born.append(sizes[number // 2])
            yield ALLOC, born[-1], len(born) - 1
        else:
            index = len(born) - 1 - number // 2
            if index < 0:
                raise ValueError(f"a release of something {number // 2} allocations ago, after {len(born)}")
            yield FREE, born[index], index
    if count != packed["num_events"]:
        raise ValueError(f"{count} events where {packed['num_events']} were promised")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    out.append(number)
    return bytes(out)


def _varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number += (byte % 128) << shift
        if byte < 128:
            yield number
            number = shift = 0
        else:
            shift += 7
    if shift:
        raise ValueError("the stream ends inside a number")
