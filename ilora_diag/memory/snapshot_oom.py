"""Requests that failed: what was asked for, what was there, and what would have had to give.

Before it fails, the allocator gives back every cached segment that holds nothing and asks CUDA again
(`DeviceCachingAllocator::malloc`, `release_cached_blocks`), so those count as available beside what CUDA has free.
"""

from __future__ import annotations

from ilora_diag.memory.snapshot_events import OOM
from ilora_diag.memory.snapshot_state import Origins, cached_whole_segments, state_at
from ilora_diag.memory.window import Window
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.snapshot import MemoryState, OomVerdict, SnapshotOom, StackBytes

_UNKNOWN_FREE = Unavailable(reason="the event does not say what the device had free", source="device_traces")


def oom_events_of(window: Window, origins: Origins) -> tuple[SnapshotOom, ...]:
    """The failures of a window in order."""
    return tuple(_failure(window, origins, index) for index, action in enumerate(window.events.action) if action == OOM)


def _failure(window: Window, origins: Origins, index: int) -> SnapshotOom:
    event = window.events[index]
    requested, state = event["size"], state_at(window, index)
    free: Known[int] = event.get("device_free", _UNKNOWN_FREE)
    holders = origins.by_stack(index)
    missing: Known[int] = _UNKNOWN_FREE
    verdict: Known[OomVerdict] = _UNKNOWN_FREE
    give_way: tuple[StackBytes, ...] = ()
    if not isinstance(free, Unavailable):
        available = free + cached_whole_segments(window, index)
        missing = max(0, requested - available)
        verdict = _verdict(requested, available, state)
        give_way = _fewest(holders, missing)
    return SnapshotOom(
        event=index,
        requested_bytes=requested,
        device_free_bytes=free,
        missing_bytes=missing,
        verdict=verdict,
        state=state,
        by_stack=holders,
        give_way=give_way,
    )


def _verdict(requested: int, available: int, state: MemoryState) -> OomVerdict:
    if available >= requested:
        return OomVerdict.LIMIT
    if state.external_fragmentation_bytes >= requested:
        return OomVerdict.FRAGMENTATION
    return OomVerdict.FULL


def _fewest(holders: tuple[StackBytes, ...], missing: int) -> tuple[StackBytes, ...]:
    """The largest holders whose bytes together cover what was missing; none where all of them do not."""
    chosen: list[StackBytes] = []
    covered = 0
    for holder in holders:
        if covered >= missing:
            break
        chosen.append(holder)
        covered += holder.size_bytes
    return tuple(chosen) if covered >= missing else ()
