"""Memory history: `_record_memory_history`, `_snapshot`, `_dump_snapshot` in the form PyTorch's viewer opens."""

from __future__ import annotations

import pickle
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch

from ilora_diag.memory.events import TraceEvent
from probes.virtual.machine import Machine
from probes.virtual.patches import Patches

_SKIPPED = ("probes/virtual/", "ilora_diag/memory/", "torch/_ops.py", "torch/utils/_python_dispatch.py", "weakref.py")
_MAX_FRAMES = 48


class History:
    """Records allocator events with Python frames while it is switched on."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._stacks = "python"
        self._traces: list[deque[dict[str, Any]]] = []

    def install(self, patches: Patches) -> None:
        """Stand in for the recording functions of torch.cuda.memory."""
        patches.replace_all(
            torch.cuda.memory,
            {
                "_record_memory_history": self.record,
                "_snapshot": self.snapshot,
                "_dump_snapshot": self.dump,
                "memory_snapshot": lambda *_, **__: self.snapshot()["segments"],
            },
        )
        patches.replace(torch.cuda, "memory_snapshot", lambda *_, **__: self.snapshot()["segments"])
        patches.replace(torch.cuda, "_record_memory_history", self.record)

    def record(
        self,
        enabled: str | bool | None = "all",
        context: str | None = "all",
        stacks: str = "all",
        max_entries: int = sys.maxsize,
        **_: Any,
    ) -> None:
        """Switch recording on or off, as torch.cuda.memory._record_memory_history."""
        on = bool(enabled)
        self._traces = [deque(maxlen=min(max_entries, 1 << 24)) for _ in self._machine.cards] if on else []
        for card in self._machine.cards:
            trace = self._traces[card.index] if on else None
            wants_frames = on and context is not None
            card.allocator.core.record = None if trace is None else _recorder(self._machine, trace, frames=wants_frames)

    def snapshot(self, device: Any = None, **_: Any) -> dict[str, Any]:
        """The state of every card and the recorded events."""
        segments = []
        for card in self._machine.cards:
            for segment in card.allocator.snapshot_segments():
                segments.append({**segment, "device": card.index, "frames": segment.get("frames", [])})
                for block in segment["blocks"]:
                    block.setdefault("frames", [])
        traces = [list(trace) for trace in self._traces] or [[] for _ in self._machine.cards]
        settings = self._machine.settings
        return {
            "segments": segments,
            "device_traces": traces,
            "allocator_settings": {
                "PYTORCH_CUDA_ALLOC_CONF": self._machine.environ.get("PYTORCH_CUDA_ALLOC_CONF", ""),
                "expandable_segments": settings.expandable_segments,
                "garbage_collection_threshold": settings.garbage_collection_threshold,
                "max_split_size": -1 if settings.max_split_size_bytes is None else settings.max_split_size_bytes,
            },
            "external_annotations": [],
        }

    def dump(self, filename: str = "dump_snapshot.pickle", **_: Any) -> None:
        """Write the snapshot; protocol 4, which every version of the viewer reads, whole or not at all."""
        path = Path(filename)
        temporary = path.with_name(path.name + ".part")
        with temporary.open("wb") as file:
            pickle.dump(self.snapshot(), file, protocol=4)
        temporary.replace(path)


def _recorder(machine: Machine, trace: deque[dict[str, Any]], *, frames: bool) -> Any:
    def record(event: TraceEvent) -> None:
        entry = event.to_dict(time_us=time.time_ns() // 1000)
        asks = frames and event.action in ("alloc", "segment_alloc", "oom")
        operator = {"filename": "??", "line": 0, "name": machine.asking}
        entry["frames"] = [operator, *_frames()] if asks else []
        trace.append(entry)

    return record


def _frames() -> list[dict[str, Any]]:
    """The Python frames of the caller, innermost first, without ours and the allocator's."""
    found: list[dict[str, Any]] = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < _MAX_FRAMES:
        code = frame.f_code
        if not any(part in code.co_filename for part in _SKIPPED):
            found.append({"filename": code.co_filename, "line": frame.f_lineno, "name": code.co_name})
        frame = frame.f_back  # type: ignore[assignment]
    return found
