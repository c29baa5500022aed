"""How gates reach the layers: beside the model's inputs, and exactly.

Gates belong to one call, while layers belong to the model; between them stands a `GateContext`. A layer asks it for the
gates in use on its thread. Forwards may run on several threads at once, so what is in use is kept per thread. Backward
needs no gates (autograd has saved what it needs), with one exception: gradient checkpointing runs forwards again inside
backward, on a thread of autograd's choice (on CUDA never the caller's), when other gates may be in use or none. So the
gates are recorded when a checkpointed forward starts and put in place again around its recomputation, by the hook
torch.utils.checkpoint has for this (`context_fn`). Gates put in place before a backward began never count inside it: a
recomputation that nobody recorded is refused, rather than run with gates that may be another batch's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from types import TracebackType
from typing import NoReturn

import torch
from torch import Tensor

from ilora.lora.errors import GateMissingError, GateShapeError, RecomputeError

CheckpointContexts = tuple[AbstractContextManager[object], AbstractContextManager[object]]

_NO_BACKWARD = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GateFrame:
    """What one call gives its layers; one of `gates` and `users` is set.

    Attributes:
        gates: expert weights (B, N), the same for all layers.
        users: user vectors (B, U), from which each layer computes its own.
        graph_task: which backward was running on the thread when this was put in place; -1 for none.
    """

    gates: Tensor | None
    users: Tensor | None
    graph_task: int


class GateContext:
    """The gates in use, per thread. Copies and pickles of it are new and empty: gates in use belong to calls."""

    def __init__(self) -> None:
        self._stack = _Stack()

    def __reduce__(self) -> tuple[type[GateContext], tuple[()]]:
        return GateContext, ()

    @contextmanager
    def use(self, gates: Tensor | None = None, *, users: Tensor | None = None) -> Iterator[None]:
        """Put gates, or user vectors for layers with gates of their own, in use on this thread.

        Args:
            gates: expert weights (B, N) or (1, N) for any batch. Gradients flow into them.
            users: user vectors (B, U).

        Raises:
            GateShapeError: not a matrix.
        """
        assert (gates is None) != (users is None), "give either gates or users"
        for name, value in (("gates", gates), ("users", users)):
            if value is not None and value.ndim != 2:
                raise GateShapeError(f"{name} have shape {tuple(value.shape)}; needed is a row per sample, (batch, n)")
        frame = GateFrame(gates=gates, users=users, graph_task=_graph_task())
        self._stack.frames.append(frame)
        try:
            yield
        finally:
            self._stack.frames.pop()

    def current(self) -> GateFrame:
        """What is in use on this thread.

        Raises:
            GateMissingError: nothing is.
            RecomputeError: inside backward, and what is in use was put in place before that backward began.
        """
        frame = self._top()
        if not torch.compiler.is_compiling():  # a compiled region is recomputed by its own graph, without Python
            graph_task = _graph_task()
            if graph_task != _NO_BACKWARD and (frame is None or frame.graph_task != graph_task):
                raise RecomputeError
        if frame is None:
            _refuse()
        return frame

    def checkpoint_contexts(self, inner: Callable[[], CheckpointContexts] | None = None) -> CheckpointContexts:
        """The `context_fn` of torch.utils.checkpoint: records the gates in use now for the recomputation.

        Args:
            inner: another context_fn (selective checkpointing, say), whose contexts are entered within ours.
        """
        forward, recompute = inner() if inner is not None else (nullcontext(), nullcontext())
        return forward, _Recorded(self._stack, self._top(), recompute)

    def _top(self) -> GateFrame | None:
        return self._stack.frames[-1] if self._stack.frames else None


class _Stack(threading.local):
    """Frames in use on the current thread, innermost last; None where a recorded forward had no gates."""

    def __init__(self) -> None:
        self.frames: list[GateFrame | None] = []


class _Recorded:
    """Puts a recorded frame in place while a checkpointed region is recomputed.

    A class, not a generator: with retain_graph, torch enters the same object once per backward.
    """

    def __init__(self, stack: _Stack, frame: GateFrame | None, inner: AbstractContextManager[object]) -> None:
        self._stack, self._frame, self._inner = stack, frame, inner

    def __enter__(self) -> None:
        frame = None if self._frame is None else replace(self._frame, graph_task=_graph_task())
        self._inner.__enter__()
        self._stack.frames.append(frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._stack.frames.pop()
        return self._inner.__exit__(kind, error, trace)


def _raise_missing() -> NoReturn:
    raise GateMissingError


# Outside of compiled graphs: some versions of Dynamo answer an error of one's own with an assertion of theirs.
_refuse: Callable[[], NoReturn] = torch.compiler.disable(_raise_missing)  # type: ignore[no-untyped-call]


def _graph_task() -> int:
    """Number of the backward running on this thread, -1 outside of any.

    torch's own module tracker tells forward from recomputation by the same function.
    """
    return int(torch._C._current_graph_task_id())
