"""The longest answer from the first tokens of one: each pass asks for what the one before did, a token longer.

The cache of keys and values is made anew with every token, a little larger each time, which leaves gaps: segments taken
for it were up to a third more than it ever held. So no pass is left out, only what in a pass is as large as in the one
before, and gone at its end; it finds the same place free. Peaks of whole and of prolonged runs were the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probes.estimate_eval import NUM_TRACED, Evaluated
from probes.trace import Trace


class IrregularError(Exception):
    """Two passes that should ask for the same do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One pass of generation.

    Attributes:
        made: number of the request of each allocation, in order.
        growth: bytes by which each is larger than in the pass before.
        events: (how many passes ago the block was made, its place there), and whether it is made (now) or given back.
    """

    made: tuple[int, ...]
    growth: tuple[int, ...]
    events: tuple[tuple[int, int, bool], ...]

    @property
    def growing(self) -> list[tuple[int, int, bool]]:
        """The events of blocks that grow or outlast the pass: the others find the place of the pass before free."""
        own = {place for ago, place, is_made in self.events if not ago and not is_made}
        kept = {place for place, growth in enumerate(self.growth) if growth or place not in own}
        return [event for event in self.events if event[0] or event[1] in kept]


def with_evaluation(trace: Trace, evaluated: Evaluated, moved: int) -> Trace:
    """The trace with the phases of the evaluation, and with the whole of its generation.

    Args:
        trace: of training and what was run of the evaluation.
        evaluated: where in the ledger that was.
        moved: events of the ledger that the trace leaves out before them.
    """
    marks = (*trace.marks, *((event - moved, trace.steps, phase) for event, phase in evaluated.marks))
    marked = replace(trace, marks=marks)
    if len(evaluated.forwards) <= NUM_TRACED or evaluated.whole:
        return marked
    return prolonged(marked, [event - moved for event in evaluated.forwards], evaluated.num_passes)


def prolonged(trace: Trace, forwards: Sequence[int], num_passes: int) -> Trace:
    """The trace with passes put in between what was run of generation and its end.

    Args:
        trace: of a run that wrote three tokens and was ended as the fourth pass began.
        forwards: events done when each pass began: prompt, second token, third, and where it ended.
        num_passes: as many as there are to be.

    Raises:
        IrregularError: the second pass over a single token did not repeat the first.
    """
    if num_passes <= NUM_TRACED:
        return trace
    _, second, third, end = forwards
    before, pattern = _made_in(trace, second, third), _pattern(trace, (second, third, end))
    sizes, modules, ops = list(trace.sizes), list(trace.modules), list(trace.ops)
    categories = list(trace.categories)
    events = list(trace.events[:end])
    passes = [before, list(pattern.made)]
    num_more = num_passes - NUM_TRACED
    for more in range(1, num_more + 1):
        numbers: list[int] = [0] * len(pattern.made)
        for ago, place, is_made in pattern.events if more == num_more else pattern.growing:
            if not is_made:
                events.append(-(passes[-1] if ago else numbers)[place])
                continue
            model = pattern.made[place]
            numbers[place] = len(sizes)
            events.append(len(sizes))
            sizes.append(trace.sizes[model] + more * pattern.growth[place])
            modules.append(trace.modules[model])
            ops.append(trace.ops[model])
            categories.append(trace.categories[model])
        passes.append(numbers)
    renamed = dict(zip(pattern.made, passes[-1], strict=True))
    events += [-renamed.get(-event, -event) if event < 0 else event for event in trace.events[end:]]
    shift = len(events) - len(trace.events)
    return replace(
        trace,
        events=tuple(events),
        sizes=tuple(sizes),
        modules=tuple(modules),
        ops=tuple(ops),
        categories=tuple(categories),
        marks=tuple((at + shift if at >= end else at, step, phase) for at, step, phase in trace.marks),
    )


def _made_in(trace: Trace, begin: int, end: int) -> list[int]:
    return [event for event in trace.events[begin:end] if event > 0]


def _pattern(trace: Trace, borders: tuple[int, int, int]) -> Pattern:
    """The last whole pass, held against the one before it."""
    begin, middle, end = borders
    before, made = _made_in(trace, begin, middle), _made_in(trace, middle, end)
    like = [(trace.ops[number], trace.modules[number]) for number in before]
    if like != [(trace.ops[number], trace.modules[number]) for number in made]:
        raise IrregularError("the third token asked for other requests than the second")
    here, there = ({number: place for place, number in enumerate(numbers)} for numbers in (made, before))
    events = []
    for event in trace.events[middle:end]:
        number = abs(event)
        if number in here:
            events.append((0, here[number], event > 0))
        elif number in there:
            events.append((1, there[number], False))
        else:
            raise IrregularError("the third token gave back what was made before the second")
    growth = tuple(trace.sizes[new] - trace.sizes[old] for old, new in zip(before, made, strict=True))
    return Pattern(made=tuple(made), growth=growth, events=tuple(events))
