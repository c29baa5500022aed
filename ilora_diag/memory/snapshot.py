"""What a recorded snapshot holds: from the file to the record that renderers see."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ilora_diag.memory.growth import growth_of
from ilora_diag.memory.snapshot_events import ALLOC
from ilora_diag.memory.snapshot_file import MAX_SNAPSHOT_BYTES, RawSnapshot, SnapshotFileError, read_snapshot
from ilora_diag.memory.snapshot_loss import loss_of
from ilora_diag.memory.snapshot_oom import oom_events_of
from ilora_diag.memory.snapshot_state import Origins, state_at
from ilora_diag.memory.snapshot_timeline import timeline_of
from ilora_diag.memory.window import BEFORE, Window, read_window
from ilora_diag.schema.errors import LawError
from ilora_diag.schema.known import Settings
from ilora_diag.schema.snapshot import Snapshot, SnapshotDevice, SnapshotPeak

# What PyTorch records where nobody set anything; -1 and the largest unsigned number both say "no limit".
_DEFAULTS: Mapping[str, tuple[object, ...]] = {
    "PYTORCH_CUDA_ALLOC_CONF": ("",),
    "max_split_size": (-1, (1 << 64) - 1),
    "garbage_collection_threshold": (0.0,),
    "pinned_num_register_threads": (1,),
    "pinned_reserve_segment_size_mb": (0,),
}


def analyse_file(
    path: Path,
    *,
    max_bytes: int = MAX_SNAPSHOT_BYTES,
    free_bytes: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Snapshot:
    """Read a file and say what it holds; the other arguments are those of `read_snapshot`.

    Raises:
        SnapshotFileError: as `read_snapshot`; also where its parts contradict each other.
    """
    return analyse(read_snapshot(path, max_bytes=max_bytes, free_bytes=free_bytes, progress=progress))


def analyse(raw: RawSnapshot) -> Snapshot:
    """What a snapshot holds. A device that neither holds memory nor has events is left out.

    Raises:
        SnapshotFileError: the parts of the snapshot contradict each other.
    """
    held = {segment["device"] for segment in raw.segments}
    devices = sorted(held | {index for index, trace in enumerate(raw.device_traces) if trace})
    try:
        return Snapshot(
            file=raw.path.name,
            allocator_settings=_settings(raw.allocator_settings),
            unread_keys=raw.unread_keys,
            devices=tuple(_device(raw, index) for index in devices),
        )
    except LawError as error:
        raise SnapshotFileError(raw.path, f"contradicts itself, its events do not fit its segments: {error}") from error


def _device(raw: RawSnapshot, index: int) -> SnapshotDevice:
    window = read_window(raw, index)
    origins = Origins(window)
    peak = _peak(window)
    loss = loss_of(window)
    by_stack = origins.by_stack(peak.allocated_event)
    return SnapshotDevice(
        index=index,
        end=state_at(window, window.num_events - 1),
        before_window=state_at(window, BEFORE),
        peak=peak,
        num_events=window.num_events,
        num_dropped_events=loss.dropped,
        min_dropped_events=loss.at_least,
        num_orphan_frees=window.num_orphan_frees,
        num_unmatched_events=window.num_unmatched,
        num_allocations=window.events.action.count(ALLOC),
        num_without_stack=sum(
            not stack and action == ALLOC
            for action, stack in zip(window.events.action, window.events.stack, strict=True)
        ),
        oom_events=oom_events_of(window, origins),
        by_op=origins.by_op(peak.allocated_event),
        by_stack=by_stack,
        before_by_stack=origins.before_by_stack(peak.allocated_event),
        growth=growth_of(window, origins, raw.external_annotations),
        timeline=timeline_of(window, origins, by_stack),
    )


def _peak(window: Window) -> SnapshotPeak:
    moment = _largest(window.allocated, window.before_allocated)
    reserved = _largest(window.reserved, window.before_reserved)
    return SnapshotPeak(
        allocated_bytes=window.allocated_at(moment),
        reserved_bytes=window.reserved_at(reserved),
        allocated_event=moment,
        reserved_event=reserved,
        state=state_at(window, moment),
    )


def _largest(totals: array[int], before: int) -> int:
    """The first moment of the largest total."""
    if not totals:
        return BEFORE
    largest = max(totals)
    return BEFORE if before >= largest else totals.index(largest)


def _settings(recorded: Mapping[str, Any]) -> Settings:
    """Settings that say something: neither PyTorch's default nor off."""
    told = []
    for name, value in recorded.items():
        if isinstance(value, dict):
            value = ",".join(f"{key}:{part}" for key, part in value.items() if part)
        if value in _DEFAULTS.get(name, (False, None, "", 0)) or not isinstance(value, str | int | float):
            continue
        told.append((str(name), value))
    return tuple(told)
