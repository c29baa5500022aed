"""What a recorded snapshot says of its window's peaks, block by block.

A row's own number adds up requests; a card's allocator hands out blocks, which in large segments are up to 1 MiB
longer. The replay (`ilora_diag.memory.replay`) puts every block where the recording has it, so its sums are the card's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.cases.case import Case, Measured
from ilora_diag.memory.replay import replay
from ilora_diag.memory.snapshot_file import read_snapshot


class ReplayError(ValueError):
    """The model and the recording disagree, so the replay's figures are not the card's."""


def with_replay(case: Case, folder: Path) -> Case:
    """The case with the figures of its recording, if it has one and the file is there; else as it was.

    Args:
        case: of memory_cases.jsonl.
        folder: with the snapshots.

    Raises:
        ReplayError: allocated or reserved bytes differ from the recording at some event.
    """
    if case.snapshot is None or not (folder / case.snapshot).is_file():
        return case
    return replace(case, measured=replayed(case.measured, folder / case.snapshot))


def replayed(measured: Measured, file: Path) -> Measured:
    """The figures of the recording's busiest device in place of a row's."""
    raw = read_snapshot(file)
    device = max(range(len(raw.device_traces)), key=lambda index: len(raw.device_traces[index]))
    segments = [segment for segment in raw.segments if segment["device"] == device]
    result = replay(segments, raw.device_traces[device])
    for quantity in ("allocated_bytes", "reserved_bytes"):
        if differing := result.differing(quantity):
            raise ReplayError(f"{file.name}: {quantity} differ at {len(differing)} events")
    window = result.window
    return replace(
        measured,
        allocated_bytes=result.peak_allocated_bytes,
        reserved_bytes=result.peak_reserved_bytes,
        before_bytes=window.base_allocated_bytes,
        after_bytes=window.allocated_bytes[-1],
        origin="replay",
    )
