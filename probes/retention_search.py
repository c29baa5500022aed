"""Which named object keeps which storages alive: a search from the names down, breadth first, within bounds.

From the names down rather than from the tensors up: what a user can change is a name, every path found ends in one by
construction, and one pass finds the holders of all tensors. The search keeps what it visits alive while it runs, and
nothing afterwards.
"""

from __future__ import annotations

import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from probes.retention_paths import (
    Hop,
    children,
    function_name,
    is_own_file,
    is_user_file,
    is_user_module,
    locals_of,
)

MOST_OBJECTS = 1_000_000
MOST_SECONDS = 8.0
_WIDEST = 20_000  # members of one object; a list of more is a data set, and its two ends are looked at


@dataclass(frozen=True, slots=True)
class Seed:
    """A name a user knows, and what it names."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Found:
    """A path from a seed to a tensor on a storage.

    Attributes:
        seed: the name it begins with.
        ids: of the objects on it, the seed's own first, the tensor last.
        hops: how each was reached from the one before.
        words, kinds: the objects up to the first tensor, where names end and the autograd graph begins.
        shape, dtype: of the tensor.
        with_graph: a tensor on the path hangs in a graph.
    """

    seed: str
    ids: tuple[int, ...]
    hops: tuple[Hop, ...]
    words: tuple[str, ...]
    kinds: tuple[type, ...]
    shape: tuple[int, ...]
    dtype: str
    with_graph: bool


@dataclass(slots=True)
class Search:
    """One search.

    Attributes:
        key_of: number of a tensor's storage, None for those of no interest.
        wanted: numbers still to be found.
        found: number -> path.
        is_cut: a bound was reached before everything was seen.
    """

    key_of: Callable[[Tensor], int | None]
    wanted: set[int]
    found: dict[int, Found] = field(default_factory=dict)
    is_cut: bool = False
    _nodes: dict[int, tuple[Any, int, Hop, str]] = field(default_factory=dict)
    _deadline: float = 0.0

    def run(self, tiers: Iterable[list[Seed]]) -> None:
        """Search tier after tier until everything wanted is found."""
        self._deadline = time.monotonic() + MOST_SECONDS
        try:
            for seeds in tiers:
                if not self.wanted or self.is_cut:
                    break
                self._tier(seeds)
        finally:
            self._nodes.clear()

    def _tier(self, seeds: list[Seed]) -> None:
        queue: deque[Any] = deque()
        for seed in seeds:
            if self._visit(0, Hop("", ""), seed.value, seed.name):
                queue.append(seed.value)
        while queue and self.wanted:
            if len(self._nodes) > MOST_OBJECTS or time.monotonic() > self._deadline:
                self.is_cut = True
                return
            value = queue.popleft()
            for hop, child in _bounded(value):
                if self._visit(id(value), hop, child, ""):
                    queue.append(child)

    def _visit(self, parent: int, hop: Hop, value: Any, seed: str) -> bool:
        """Note an object the first time it is met. Returns whether it is new."""
        if value is None or type(value) in _PLAIN or id(value) in self._nodes:
            return False
        self._nodes[id(value)] = (value, parent, hop, seed)
        if issubclass(type(value), Tensor):
            number = self.key_of(value)
            if number is not None and number in self.wanted:
                self.wanted.discard(number)
                self.found[number] = self._path(value)
        return True

    def _path(self, tensor: Tensor) -> Found:
        steps = []
        at, seed = id(tensor), ""
        while at:
            value, parent, hop, named = self._nodes[at]
            steps.append((at, hop, value))
            seed = named or seed
            at = parent
        steps.reverse()
        first = next(place for place, (_, _, value) in enumerate(steps) if issubclass(type(value), Tensor))
        return Found(
            seed=seed,
            ids=tuple(one for one, _, _ in steps),
            hops=tuple(hop for _, hop, _ in steps),
            words=tuple(description(value) for _, _, value in steps[: first + 1]),
            kinds=tuple(type(value) for _, _, value in steps[: first + 1]),
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            with_graph=any(issubclass(type(value), Tensor) and value.grad_fn is not None for _, _, value in steps),
        )


_PLAIN = frozenset((str, int, float, bool, bytes))


def _bounded(value: Any) -> Iterator[tuple[Hop, Any]]:
    """Children of an object, the first and last ones where there are very many."""
    if not issubclass(type(value), (list, tuple, deque)) or len(value) <= _WIDEST:
        yield from children(value)
        return
    members = list(value)
    for place in (*range(_WIDEST // 2), *range(len(members) - _WIDEST // 2, len(members))):
        yield Hop(f"[{place}]", f"item {place}"), members[place]


def description(value: Any) -> str:
    """An object in words of the program: `list of 12`, `Trainer`, `closure of step`."""
    kind = type(value)
    if issubclass(kind, Tensor):
        return f"tensor {'x'.join(map(str, value.shape)) or 'scalar'}"
    if issubclass(kind, (list, tuple, dict, set, frozenset, deque)):
        return f"{kind.__name__} of {len(value)}"
    if issubclass(kind, types.FunctionType):
        return f"function {value.__name__}"
    if issubclass(kind, type):
        return f"class {value.__name__}"
    return kind.__name__


def tiers(
    roots: list[nn.Module], main: dict[str, Any] | None, error: BaseException | None = None
) -> Iterator[list[Seed]]:
    """Where to begin: what a user named first, then models, then what libraries hold.

    Args:
        roots: models that were seen to run.
        main: globals of the script.
        error: an exception that ended the run; its frames are looked at as if they still ran.
    """
    frames = running_frames(error)
    script = [Seed(f"script:{name}", value) for name, value in list((main or {}).items()) if not name.startswith("__")]
    yield [*script, *_locals(frames, user=True), *_user_modules()]
    yield [Seed("module:", root) for root in roots]
    yield [*_locals(frames, user=False), *_handled()]
    yield list(_library_modules())


def main_globals(frames: list[types.FrameType]) -> dict[str, Any] | None:
    """Globals of the script that runs; None where nothing of a user's runs as the main program."""
    for frame in frames:
        names = frame.f_globals
        if names.get("__name__") == "__main__" and is_user_file(frame.f_code.co_filename):
            return names
    return None


def running_frames(error: BaseException | None = None) -> list[types.FrameType]:
    """Frames of every thread, and of an exception's traceback, the innermost first; ours left out."""
    found: dict[int, types.FrameType] = {}

    def note(frame: types.FrameType) -> None:
        # Ours are never put into a list that they themselves hold: a cycle would keep what their locals name alive.
        if not is_own_file(frame.f_code.co_filename):
            found.setdefault(id(frame), frame)

    mine = threading.get_ident()
    tops = [frame for thread, frame in sys._current_frames().items() if thread != mine]
    for place in (sys._getframe().f_back, *tops):
        while place is not None:
            note(place)
            place = place.f_back
    trace = error.__traceback__ if error is not None else None
    passed = []
    while trace is not None:
        passed.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(passed):
        note(frame)
    return list(found.values())


def _locals(frames: list[types.FrameType], *, user: bool) -> Iterator[Seed]:
    for frame in frames:
        if is_user_file(frame.f_code.co_filename) != user or frame.f_code.co_name == "<module>":
            continue
        for name, value in locals_of(frame).items():
            yield Seed(f"frame:{function_name(frame)}.{name}", value)


def _user_modules() -> Iterator[Seed]:
    for name, module in list(sys.modules.items()):
        if name != "__main__" and isinstance(module, types.ModuleType) and is_user_module(module):
            yield from _globals(name, module)


def _library_modules() -> Iterator[Seed]:
    for name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and not is_user_module(module) and name != "__main__":
            yield from _globals(name, module)


def _globals(name: str, module: types.ModuleType) -> Iterator[Seed]:
    for key, value in list(vars(module).items()):
        if not key.startswith("__"):
            yield Seed(f"global:{name}:{key}", value)


def _handled() -> Iterator[Seed]:
    """An exception that is being handled right now keeps the frames it passed."""
    for error in (sys.exc_info()[1], getattr(sys, "last_value", None)):
        if error is not None:
            yield Seed("exception:traceback", error)
