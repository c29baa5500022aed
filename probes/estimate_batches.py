"""The largest batch that fits a card, from traces of a few sizes.

Every size in a step is a constant plus a multiple of the batch, so two traces with the same requests in the same order
give the trace of any size between and beyond, to the byte where a kernel's scratch does not jump. Where one of them
has scratch that the other does without, the nearer one counts. One run comes near the edge; derived traces tell where
it is; on request the edge and the next size are run too, and the search goes on until an executed pair, one fitting and
one not, stands side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol

from ilora.config import Config
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.schema import Category, Known, Unavailable
from probes.estimate_cards import Ground, fits_at_ease, span, without_limit
from probes.estimate_knobs import changed
from probes.estimate_replay import Replay, live_after
from probes.trace import Trace

if TYPE_CHECKING:
    from probes.estimate_trace import Bench

KEY = "train.batch_size"
MAX_BATCH = 1 << 20
STEPS = 2
_EXECUTED_RUNS, _DERIVED_RUNS = 6, 2
_PER_SAMPLE = (Category.ACTIVATION, Category.TEMPORARY, Category.INPUT)


class Traces(Protocol):
    """Traces by batch size.

    Attributes:
        run: those that were run, the configured one first.
    """

    run: dict[int, Trace]

    def executed(self, batch_size: int) -> Trace:
        """The trace of a batch, run unless it was."""


class BatchTraces:
    """Traces of one teacher by batch size, run where asked for."""

    def __init__(self, bench: Bench, config: Config, first: Trace) -> None:
        self._bench, self._config = bench, config
        self.run: dict[int, Trace] = {config.train.batch_size: first}

    def executed(self, batch_size: int) -> Trace:
        """The trace of a batch, run unless it was."""
        if batch_size not in self.run:
            self.run[batch_size] = self._bench.trace(changed(self._config, KEY, batch_size), steps=STEPS)
        return self.run[batch_size]


def derived(run: Mapping[int, Trace], batch_size: int) -> Trace | None:
    """The trace of a batch from the two nearest that were run with the same requests; None if there are no two."""
    if batch_size in run:
        return run[batch_size]
    # A batch of one has no padding, hence no mask.
    near = sorted((size for size in run if size > 1), key=lambda size: abs(size - batch_size))[:2]
    if batch_size == 1 or len(near) < 2:
        return None
    close, far = near
    return on_the_line(run[close], close, run[far], far, batch_size)


def on_the_line(close: Trace, close_size: int, far: Trace, far_size: int, size: int) -> Trace | None:
    """The trace at `size` on the lines through two traces; None where their requests are not the same.

    Scratch that only the first has keeps its size there.
    """
    partners = _partners(close, far)
    if partners is None:
        return None
    width, way = far_size - close_size, size - close_size
    sizes = tuple(
        own if partner is None or far.sizes[partner] == own else max(0, own + (far.sizes[partner] - own) * way // width)
        for own, partner in zip(close.sizes, partners, strict=True)
    )
    return replace(close, sizes=sizes)


def _partners(close: Trace, far: Trace) -> Sequence[int | None] | None:
    """For every request of `close` its like in `far`; None where there are others than scratch without a like."""
    if close.events == far.events and close.ops == far.ops:
        return range(len(close.sizes))
    partners: list[int | None] = [0]
    place, last = 1, len(far.ops)
    for number in range(1, len(close.ops)):
        like = close.ops[number], close.modules[number]
        scratch = _is_scratch(close, number)
        while not scratch and place < last and (far.ops[place], far.modules[place]) != like and _is_scratch(far, place):
            place += 1
        if place < last and (far.ops[place], far.modules[place]) == like:
            partners.append(place)
            place += 1
        elif scratch:
            partners.append(None)
        else:
            return None
    return partners if _in_the_same_order(close, far, partners) else None


def _is_scratch(trace: Trace, number: int) -> bool:
    """Scratch has the operator's name and, after a space, its purpose."""
    return " " in trace.ops[number]


def _in_the_same_order(close: Trace, far: Trace, partners: Sequence[int | None]) -> bool:
    """Whether the requests that have a like are made and freed in the same order."""
    own = (
        partner if event > 0 else -partner for event in close.events if (partner := partners[abs(event)]) is not None
    )
    liked = frozenset(partners)
    return all(left == right for left, right in zip_longest(own, (e for e in far.events if abs(e) in liked)))


class Search:
    """The search on one card.

    Args:
        traces: with the configured batch.
        spec: the card.
        ground: what answers rest on.
    """

    def __init__(self, traces: Traces, spec: GpuSpec, ground: Ground) -> None:
        self._traces, self._spec, self._ground = traces, spec, ground
        self._start = next(iter(traces.run))
        self._fits, self._too_large = 0, MAX_BATCH + 1
        self._high: dict[int, int] = {}

    def largest(self, *, executed: bool, max_runs: int | None = None) -> Known[int]:
        """The largest batch that fits at ease, everything else unchanged; 0 if not even 1 does.

        Args:
            executed: run the edge and its neighbour; otherwise the edge may be derived from two runs near it.
            max_runs: traces to run at most, beside those that were run; None: 6 where the edge is executed, else 2.
        """
        if max_runs is None:
            max_runs = _EXECUTED_RUNS if executed else _DERIVED_RUNS
        limit = len(self._traces.run) + max_runs
        self._try(self._start)
        while self._too_large - self._fits > 1 and len(self._traces.run) < limit:
            edge = self._edge()
            if edge is not None and not executed and self._near(edge):
                return edge
            self._try(self._inside(self._secant() if edge is None else edge))
        if self._too_large - self._fits == 1:
            return self._fits
        edge = self._edge()
        if edge is not None:
            return edge
        upper = "" if self._too_large > MAX_BATCH else f" and less than {self._too_large}"
        return Unavailable(
            reason=f"at least {self._fits}{upper}: not found within {max_runs} traces", source="estimate"
        )

    def _try(self, size: int) -> None:
        trace = self._traces.executed(size)
        found = without_limit(trace, self._spec, self._ground)
        self._high[size] = span(found.peak_reserved_bytes, self._spec).high_bytes
        if len(self._high) == 1:
            self._rough = _rough(trace, found, size, self._spec)
        if fits_at_ease(found, self._spec):
            self._fits = max(self._fits, size)
        else:
            self._too_large = min(self._too_large, size)

    def _inside(self, guess: int) -> int:
        """The guess moved between the bounds; the edge that was run already is followed by its neighbour."""
        if guess <= self._fits:
            return self._fits + 1
        return min(guess, self._too_large - 1)

    def _near(self, edge: int) -> bool:
        """Whether a run lies within a tenth of the edge."""
        return any(abs(size - edge) * 10 <= edge for size in self._high if size > 1)

    def _secant(self) -> int:
        """Where the line through the two runs nearest the edge meets the card's memory."""
        if len(self._high) < 2:
            return self._rough
        total = self._spec.usable_total_bytes
        (first, low), (second, high) = sorted(sorted(self._high.items(), key=lambda run: abs(run[1] - total))[:2])
        if high <= low:
            return 2 * second
        return max(1, first + (total - low) * (second - first) // (high - low))

    def _edge(self) -> int | None:
        """The largest size whose derived trace fits; None while no two runs have the same requests.

        It is looked for around where the line through the runs meets the card's memory, in growing steps.
        """
        below, above = self._fits, self._too_large
        guess, step = self._secant(), 1
        while above - below > 1 and below < MAX_BATCH:
            guess = above - step if guess >= above else max(guess, below + step)
            middle = guess if below < guess < above else (below + above) // 2
            trace = derived(self._traces.run, middle)
            if trace is None:
                return None
            if fits_at_ease(without_limit(trace, self._spec, self._ground), self._spec):
                below, guess = middle, middle + step
            else:
                above, guess = middle, middle - step
            step *= 2
        return below


def _rough(trace: Trace, found: Replay, batch_size: int, spec: GpuSpec) -> int:
    """A first guess: what the samples hold at the peak grows with them, the rest stays."""
    held = sum(
        found.block_sizes[number]
        for number in live_after(trace, found.peak_event)
        if trace.categories[number] in _PER_SAMPLE
    )
    if held == 0:
        return 2 * batch_size
    room = spec.usable_total_bytes * 97 // 100 - spec.context_bytes.high_bytes - found.peak_reserved_bytes + held
    return max(1, room * batch_size // held)
