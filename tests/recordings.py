"""Memory snapshots made by the allocator model: real in form, small, and known in every byte. No test; see conftest."""

from __future__ import annotations

from typing import Any

from ilora_diag.memory.allocator import CachingAllocator
from ilora_diag.memory.blocks import Block
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.oom import AllocatorOutOfMemory
from ilora_diag.memory.settings import AllocatorSettings

MIB = 1 << 20
HOME = "/home/alice/proj"
TRAIN = {"filename": f"{HOME}/train.py", "line": 10, "name": "<module>"}
OPTIMIZER = {"filename": f"{HOME}/.venv/lib/python3.11/site-packages/torch/optim/adamw.py", "line": 99, "name": "step"}
FUNCTIONAL = {
    "filename": f"{HOME}/.venv/lib/python3.11/site-packages/torch/nn/functional.py",
    "line": 2371,
    "name": "linear",
}


def at(line: int, name: str = "forward", file: str = "model.py") -> list[dict[str, Any]]:
    """A stack that ends in a line of the program, below PyTorch's own frame."""
    return [FUNCTIONAL, {"filename": f"{HOME}/{file}", "line": line, "name": name}, TRAIN]


def stepping(line: int = 12) -> list[dict[str, Any]]:
    """A stack inside an optimizer's step."""
    return [OPTIMIZER, {"filename": f"{HOME}/train.py", "line": line, "name": "<module>"}]


class Recording:
    """A program under `torch.cuda.memory._record_memory_history()`.

    Args:
        capacity_bytes: of the device.
        recording: whether the recorder is on from the start; else `start` switches it on.
        device: index.
        settings: of the allocator.
    """

    def __init__(
        self,
        capacity_bytes: int | None = None,
        *,
        recording: bool = True,
        device: int = 0,
        settings: AllocatorSettings | None = None,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self._on, self._device, self._clock = recording, device, 1_700_000_000_000_000
        self._stack: list[dict[str, Any]] = []
        self._live: dict[str, Block] = {}
        self._frames: dict[int, list[dict[str, Any]]] = {}
        self.model = CachingAllocator(capacity_bytes, settings=settings or AllocatorSettings(), record=self._record)

    def start(self) -> None:
        """Switch the recorder on."""
        self._on = True

    def alloc(self, name: str, nbytes: int, stack: list[dict[str, Any]]) -> bool:
        """Allocate under a name; False where that failed."""
        self._stack = stack
        try:
            block = self.model.malloc(nbytes)
        except AllocatorOutOfMemory:
            return False
        assert block is not None
        self._live[name] = block
        self._frames[block.address] = stack if self._on else []
        return True

    def free(self, *names: str) -> None:
        """Free by name."""
        self._stack = [TRAIN]
        for name in names:
            self.model.free(self._live.pop(name))

    def mark(self, name: str = "Optimizer.step#AdamW.step") -> None:
        """The optimizer's annotation of the end of its step."""
        self.marks.append({"stage": "END", "name": name, "device": self._device, "time_us": self._clock})

    def snapshot(self) -> dict[str, Any]:
        """What `torch.cuda.memory._snapshot()` would say."""
        segments = self.model.snapshot_segments()
        for segment in segments:
            segment["device"] = self._device
            for block in segment["blocks"]:
                active = block["state"] != "inactive"
                block["frames"] = list(self._frames.get(block["address"], [])) if active else []
        return {
            "segments": segments,
            "device_traces": [*([] for _ in range(self._device)), self.events],
            "allocator_settings": {"PYTORCH_CUDA_ALLOC_CONF": "", "max_split_size": -1, "expandable_segments": False},
            "external_annotations": self.marks,
        }

    def _record(self, event: TraceEvent) -> None:
        self._clock += 1
        if self._on:
            self.events.append(event.to_dict(time_us=self._clock) | {"frames": list(self._stack)})


def leaking(steps: int = 4, *, leak: bool = True, marks: bool = True) -> Recording:
    """A training whose weights were there before; each step makes activations, and appends a loss to a list."""
    program = Recording(recording=False)
    program.alloc("weights", 100 * MIB, at(1, "__init__"))
    program.start()
    for step in range(steps):
        program.alloc("hidden", 40 * MIB, at(20))
        program.alloc("logits", 30 * MIB, at(21))
        if leak:
            program.alloc(f"loss{step}", 3 * MIB, at(30, "train", "train.py"))
        if step == 0:
            program.alloc("state", 50 * MIB, stepping())
        else:
            program.alloc("temporary", 2 * MIB, stepping())
            program.free("temporary")
        if marks:
            program.mark()
        program.free("logits", "hidden")
    return program


def failing(*, fragmented: bool = False) -> Recording:
    """A program that runs out of memory on a device of 200 MiB: full, or in pieces."""
    program = Recording(200 * MIB)
    if fragmented:
        # Blocks of 8 MiB share segments of 20 MiB, so that freeing every other one gives no whole segment back.
        for index in range(20):
            program.alloc(f"part{index}", 8 * MIB, at(40, "load", "data.py"))
        for index in range(0, 20, 2):
            program.free(f"part{index}")
        program.alloc("wanted", 60 * MIB, at(50))
        return program
    program.alloc("weights", 120 * MIB, at(1, "__init__"))
    program.alloc("cache", 60 * MIB, at(60, "remember", "cache.py"))
    program.alloc("wanted", 50 * MIB, at(50))
    return program
