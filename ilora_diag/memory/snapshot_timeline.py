"""Allocated bytes over a window by who made them, thinned to what a figure can show."""

from __future__ import annotations

from array import array

from ilora_diag.memory.snapshot_state import Origins
from ilora_diag.memory.window import BEFORE, Window
from ilora_diag.schema.snapshot import SnapshotTimeline, StackBytes, TimelinePoint

MAX_SERIES = 7
MAX_POINTS = 300


def timeline_of(window: Window, origins: Origins, by_stack: tuple[StackBytes, ...]) -> SnapshotTimeline:
    """The largest sites of the peak as series; each stretch of the window is told by its highest and lowest moment."""
    series = tuple(share.site for share in by_stack if not share.before_window)[:MAX_SERIES]
    place = {site: index for index, site in enumerate(series)}
    before, other = len(series), len(series) + 1
    blocks, num_events = window.blocks, window.num_events
    whose, change = array("b", bytes(num_events)), array("q", bytes(8 * num_events))
    sizes = [0] * (len(series) + 2)
    for index in range(len(blocks)):
        start, end, size = blocks.start[index], blocks.end[index], blocks.size[index]
        mine = before if start == BEFORE else place.get(origins.of(index).site, other)
        if start == BEFORE:
            sizes[before] += size if end != BEFORE else 0
        else:
            whose[start], change[start] = mine, size
        if BEFORE < end < num_events:
            whose[end], change[end] = mine, change[end] - size
    kept = _kept_moments(window)
    points = [TimelinePoint(event=BEFORE, reserved_bytes=window.before_reserved, sizes=tuple(sizes))]
    for event in range(num_events):
        sizes[whose[event]] += change[event]
        if event in kept:
            points.append(TimelinePoint(event=event, reserved_bytes=window.reserved[event], sizes=tuple(sizes)))
    return SnapshotTimeline(series=series, points=tuple(points))


def _kept_moments(window: Window) -> set[int]:
    num_events, allocated = window.num_events, window.allocated
    if num_events <= MAX_POINTS:
        return set(range(num_events))
    kept, num_stretches = {num_events - 1}, MAX_POINTS // 2
    for part in range(num_stretches):
        first, end = (num_events * edge // num_stretches for edge in (part, part + 1))
        heights = allocated[first:end]
        kept |= {first + heights.index(max(heights)), first + heights.index(min(heights))}
    return kept
