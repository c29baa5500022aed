"""The run log: one JSON object a line, the trainer's only output beside checkpoints and artefacts.

Whoever watches the trainer reads this file; the trainer does not know that it is watched. A line is written with one
`write` call and flushed, so a killed trainer leaves at most one torn last line.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import psutil
import torch

Json = dict[str, Any]


class RunLog:
    """Appends events to a file; a log without a file (ranks other than 0) swallows them.

    Args:
        path: the JSONL file, created with its folder; None writes nothing.
        device: whose memory the events carry.
    """

    def __init__(self, path: Path | None, device: torch.device | None = None) -> None:
        self.path = path
        self.device = device
        self.phase_name = "start"
        self._process = psutil.Process()
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(path)
            self._file = path.open("a", encoding="utf-8")

    def event(self, name: str, /, **values: object) -> None:
        """Write one event with the time in seconds since the epoch. Not-a-number becomes null: JSON has none."""
        if self._file is None:
            return
        record = {"event": name, "t": round(time.time(), 3), **values}
        self._file.write(json.dumps(_finite(record), ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Mark the beginning and the end of a phase, with memory at both; a phase left by an exception has no end."""
        before, self.phase_name = self.phase_name, name
        begin = time.perf_counter()
        self._reset_peak()
        self.event("phase", phase=name, status="begin", **self.memory())
        yield
        self.event("phase", phase=name, status="end", seconds=time.perf_counter() - begin, **self.memory())
        self.phase_name = before

    def memory(self) -> Json:
        """Bytes held now and at the peak: the process's resident memory, and the caching allocator's on CUDA."""
        return {"rss_bytes": self.rss_bytes(), "rss_peak_bytes": _rss_peak_bytes(), "device": self.device_memory()}

    def rss_bytes(self) -> int:
        """Resident memory of this process, in bytes."""
        return int(self._process.memory_info().rss)

    def device_memory(self) -> Json | None:
        """Allocator statistics of the CUDA device since the phase began, in bytes; None on a CPU."""
        if self.device is None or self.device.type != "cuda":
            return None
        return {
            "allocated_bytes": torch.cuda.memory_allocated(self.device),
            "reserved_bytes": torch.cuda.memory_reserved(self.device),
            "peak_allocated_bytes": torch.cuda.max_memory_allocated(self.device),
            "peak_reserved_bytes": torch.cuda.max_memory_reserved(self.device),
        }

    def failure(self, error: BaseException) -> None:
        """Write what ended the run, with the phase it happened in."""
        text = "".join(traceback.format_exception(error))
        self.event(
            "error", phase=self.phase_name, type=type(error).__name__, message=str(error), traceback=text[-20_000:]
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _reset_peak(self) -> None:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)


def _rss_peak_bytes() -> int:
    """Largest resident memory of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _drop_torn_line(path: Path) -> None:
    """Cut off the half line a killed run may have left: a resumed one must not continue it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
