"""Peaks by phase: the allocator's own statistics, read with torch's public functions and reset at each border."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

KINDS = ("requested_bytes", "allocated_bytes", "reserved_bytes")


class PhaseMeter:
    """Collects a record per phase: peak and current bytes of each kind.

    Args:
        device: where the workload runs; without CUDA the records name the phases and hold no bytes.
    """

    def __init__(self, device: str) -> None:
        self.on_cuda = torch.device(device).type == "cuda"
        self.device = device
        self.records: list[dict[str, Any]] = []
        self._open: tuple[str, int] | None = None

    def begin(self, phase: str, step: int = 0) -> None:
        """Close the open phase, if any, and open this one."""
        self.end()
        self._open = (phase, step)
        if self.on_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)

    def end(self) -> None:
        """Close the open phase and record it."""
        if self._open is None:
            return
        phase, step = self._open
        self._open = None
        record: dict[str, Any] = {"phase": phase, "step": step}
        if self.on_cuda:
            stats = torch.cuda.memory_stats(self.device)
            record["peak"] = {kind: stats[f"{kind}.all.peak"] for kind in KINDS}
            record["end"] = {kind: stats[f"{kind}.all.current"] for kind in KINDS}
            record["num_alloc_retries"] = stats["num_alloc_retries"]
        self.records.append(record)

    @contextmanager
    def phase(self, name: str, step: int = 0) -> Iterator[None]:
        """The phase inside the block; recorded also when the block fails, for that is when its peak matters most."""
        self.begin(name, step)
        try:
            yield
        finally:
            self.end()
