"""What runs in the same process before the teacher is loaded: its recommender's training, whose cache is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ilora_diag.schema import Category
from probes.estimate_replay import live_after
from probes.trace import Trace
from probes.virtual.ledger import OUTSIDE

TRAIN_REC = "train_rec"
"""The phase, by the name of a run's log."""


def preceded(trace: Trace, before: Trace | None) -> Trace:
    """The trace with the recommender's training in front of it.

    Libraries keep their workspaces: those of `before` are the first ones of their kind in `trace`, which asks for them
    no more. They are as large as there, since the two may be of cards that differ in that.
    """
    if before is None:
        return trace
    shift, moved = len(before.sizes) - 1, len(before.events)
    kept = dict(_shared_workspaces(trace, before))
    sizes = list(before.sizes)
    for own, earlier in kept.items():
        sizes[earlier] = trace.sizes[own]

    def renumbered(event: int) -> int:
        number = kept.get(abs(event), abs(event) + shift)
        return number if event > 0 else -number

    return replace(
        trace,
        events=(*before.events, *(renumbered(event) for event in trace.events if event not in kept)),
        sizes=(*sizes, *trace.sizes[1:]),
        modules=(*map(_inside, before.modules), *trace.modules[1:]),
        ops=(*before.ops, *trace.ops[1:]),
        categories=(*before.categories, *trace.categories[1:]),
        marks=tuple(_marks(trace, frozenset(kept), moved)),
        num_load_events=trace.num_load_events + moved,
        notes=tuple((Counter(dict(trace.notes)) + Counter(dict(before.notes))).items()),
    )


def _shared_workspaces(trace: Trace, before: Trace) -> Iterator[tuple[int, int]]:
    """(number in `trace`, number in `before`) of buffers that are the same ones."""
    left = [n for n in live_after(before, len(before.events)) if before.categories[n] is Category.WORKSPACE]
    seen: Counter[str] = Counter()
    for number, category in enumerate(trace.categories):
        if category is not Category.WORKSPACE:
            continue
        op = trace.ops[number]
        same = [earlier for earlier in left if before.ops[earlier] == op]
        if seen[op] < len(same):
            yield number, same[seen[op]]
        seen[op] += 1


def _inside(module: str) -> str:
    return module if module in ("", OUTSIDE) else f"recommender.{module}"


def _marks(trace: Trace, dropped: frozenset[int], moved: int) -> Iterator[tuple[int, int, str]]:
    """Marks where the same events are now; requests that were dropped do not count."""
    yield (0, 0, TRAIN_REC)
    places = [place for place, event in enumerate(trace.events) if event in dropped]
    for event, step, phase in trace.marks:
        yield (event + moved - sum(place < event for place in places), step, phase)
