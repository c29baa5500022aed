"""From storages that stayed and the paths to them: what grew, by kind, and the name of what holds each kind."""

from __future__ import annotations

import ast
import functools
import gc
import sys
import types
from collections import defaultdict
from dataclasses import dataclass

from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial_answer import GrownTensors, Holder
from probes.retention_books import Samples
from probes.retention_names import CYCLES, name_of
from probes.retention_paths import function_name
from probes.retention_search import Found, Search, running_frames

_MOST_KINDS = 20
_MOST_WORDS = 8
_MODEL = "(the model itself)"
_NOT_PYTHON = "no object that Python knows leads to it: held by code of C++ alone"
_CUT = "the search for its holder was ended after its bound of objects and seconds"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What makes kept tensors one entry."""

    module: str
    op: str
    dtype: str
    with_graph: bool
    holder: str


def grown_tensors(samples: Samples, kept: list[int], search: Search, cycles: set[int]) -> tuple[GrownTensors, ...]:
    """The kept storages by kind, the largest first; kinds that came in less than half of the steps are left out."""
    ledger = samples.watch.machine.ledger
    by_maker = defaultdict(list)
    for number in kept:
        path = search.found.get(number)
        dtype, graph = (path.dtype, path.with_graph) if path is not None else ("unknown", False)
        by_maker[ledger.modules[number], ledger.ops[number], dtype, graph].append(number)
    kinds: dict[_Kind, list[int]] = defaultdict(list)
    holders: dict[int, Known[Holder]] = {}
    for (module, op, dtype, graph), numbers in by_maker.items():
        places = holder_places(samples, numbers, search)
        for number in numbers:
            holders[number] = holder = _holder(number, places, search, cycles)
            name = holder.reason if isinstance(holder, Unavailable) else holder.name
            kinds[_Kind(module, op, dtype, graph, name)].append(number)
    told = [_told(samples, kind, numbers, search, holders) for kind, numbers in kinds.items()]
    entries = [entry for entry in told if entry is not None]
    return tuple(sorted(entries, key=lambda one: -one.size_bytes)[:_MOST_KINDS])


def holder_places(samples: Samples, numbers: list[int], search: Search) -> dict[int, int]:
    """Number -> how many objects of its path lead to its holder, that one included.

    The holder is the last object on the path that still keeps tensors of as many steps as the name it begins with: a
    list of which each member keeps one step's, or a running total whose graph keeps every step's.
    """
    paths = {number: search.found[number] for number in numbers if number in search.found}
    steps: dict[int, set[int]] = defaultdict(set)
    for number, path in paths.items():
        for one in path.ids[: len(path.kinds)]:
            steps[one].add(samples.step_of(number))
    places = {}
    for number, path in paths.items():
        most = len(steps[path.ids[0]])
        full = [place for place in range(len(path.kinds)) if len(steps[path.ids[place]]) == most]
        places[number] = full[-1] + 1
        if most == 1 and len(path.kinds) > 1 and not _is_lone(path):
            places[number] = len(path.kinds) - 1
    return places


def _is_lone(path: Found) -> bool:
    """Whether the tensor is a variable or attribute by itself rather than a member of something that holds several."""
    return not (path.hops[len(path.kinds) - 1].name or "").startswith("[")


def holder_of(path: Found, place: int) -> Holder:
    """The object `place` objects down a path as a holder, with the way from it to the tensor."""
    name = name_of(path, place)
    words = [path.words[place - 1], *(hop.words for hop in path.hops[place:] if hop.words)]
    if len(words) > _MOST_WORDS:
        words = [*words[: _MOST_WORDS - 2], "...", words[-1]]
    return Holder(name=name, chain=tuple(words), where=where(name))


def _holder(number: int, places: dict[int, int], search: Search, cycles: set[int]) -> Known[Holder]:
    if number in places:
        return holder_of(search.found[number], places[number])
    if number in cycles:
        return Holder(name=CYCLES, chain=("objects that refer to each other and to nothing that runs",), where="")
    return Unavailable(reason=_CUT if search.is_cut else _NOT_PYTHON, source="retention")


def collected(samples: Samples, numbers: list[int]) -> set[int]:
    """Which of some storages go when Python's collector runs, as it does here: only cycles of garbage held them."""
    gc.collect()
    alive = {entry.number for entry in samples.watch.machine.alive.values()}
    return {number for number in numbers if number not in alive}


def _told(
    samples: Samples, kind: _Kind, numbers: list[int], search: Search, holders: dict[int, Known[Holder]]
) -> GrownTensors | None:
    size, per_step, is_even = samples.growth_of(numbers)
    if not is_even or not size:
        return None
    largest = max(numbers, key=samples.size_of)
    path = search.found.get(largest)
    return GrownTensors(
        shape=path.shape if path is not None else (),
        dtype=kind.dtype,
        num_tensors=len(numbers),
        size_bytes=size,
        bytes_per_step=per_step,
        module=kind.module or _MODEL,
        op=kind.op,
        with_graph=kind.with_graph,
        holder=holders[largest],
    )


def where(name: str) -> str:
    """File and line that first bind a global of the script or a local of a running function; empty if not found."""
    kind, _, rest = name.partition(":")
    word = rest.partition(".")[0].partition("[")[0]
    for frame in running_frames():
        if kind == "script" and frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
            return _assigned(frame, word)
        function = function_name(frame)
        if kind == "frame" and rest.startswith(f"{function}."):
            return _assigned(frame, rest.removeprefix(f"{function}.").partition(".")[0].partition("[")[0])
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    return _line(file, word, 1, None) if kind == "script" and file else ""


def _assigned(frame: types.FrameType, word: str) -> str:
    code = frame.f_code
    last = max((line for _, _, line in code.co_lines() if line), default=None)
    is_module = code.co_name == "<module>"
    return _line(code.co_filename, word, 1 if is_module else code.co_firstlineno, None if is_module else last)


def _line(file: str, word: str, first: int, last: int | None) -> str:
    for line, name in _assignments(file):
        if name == word and line >= first and (last is None or line <= last):
            return f"{file}:{line}"
    return ""


@functools.lru_cache(maxsize=8)
def _assignments(file: str) -> tuple[tuple[int, str], ...]:
    """(line, name) of everything a source file binds, in order; nothing of a file that cannot be read."""
    try:
        with open(file, encoding="utf-8") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append((node.lineno, node.id))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append((node.lineno, node.name))
        elif isinstance(node, ast.arg):
            found.append((node.lineno, node.arg))
    return tuple(sorted(found))
