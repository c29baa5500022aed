"""The traces of an estimate as tasks for forked processes (`probes.estimate_crew`)."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ilora.config import ConfigError
from ilora.llm import LlmError
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.schema import CardEstimate, Knob, Known
from probes.estimate_batches import BatchTraces, Search
from probes.estimate_cards import Ground, answer, fits_at_ease, without_limit
from probes.estimate_crew import num_cores, one_thread
from probes.estimate_eval_parts import evaluation_of, training_of
from probes.estimate_knobs import Change, changed, knob_of, unknown_knob
from probes.estimate_parts import Parts, take_apart
from probes.estimate_trace import Bench, Setup
from probes.trace import Trace
from probes.virtual import VirtualDeviceError

STEPS = 2
"""Optimizer steps traced. The first makes the optimizer's states; from the second on steps repeat each other request by
request (tests hold the third and fourth against it), so that no later one reaches a higher peak."""

MAX_WORKERS = 3
"""Processes at most: each takes some 150 MB of its own."""


class Held:
    """The bench of this process, kept from task to task: some are of the same teacher on the same card."""

    def __init__(self) -> None:
        self._bench: Bench | None = None
        self.freezes = False

    @contextmanager
    def bench(self, setup: Setup) -> Iterator[Bench]:
        """A bench of this setup, the kept one if it is of the same; given up where an error leaves it."""
        bench = self._bench
        if bench is None or not bench.is_clean or bench.setup != setup:
            self.close()
            bench = self._bench = Bench(setup).__enter__()
            if self.freezes:
                gc.freeze()  # each trace ends in a collection, which need not look at the teacher again
        try:
            yield bench
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give it up."""
        bench, self._bench = self._bench, None
        if bench is not None:
            bench.close()


HELD = Held()


def begin_worker() -> None:
    """A worker ends soon: what collections overlook there, because it is frozen, is never missed."""
    one_thread()
    HELD.freezes = True


def workers_for(num_tasks: int) -> int:
    """How many processes so many tasks are worth; 0 where there is one core alone."""
    workers = min(num_cores(), MAX_WORKERS, num_tasks)
    return workers if workers > 1 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTask:
    """Cards on which a step makes the same requests.

    Attributes:
        setup: with the first of them.
        specs: all of them.
        ground: what answers rest on.
        is_first: the first card of all is among them, and comes first.
    """

    setup: Setup
    specs: tuple[GpuSpec, ...]
    ground: Ground
    is_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CardResult:
    """Answers in the order of the specs.

    Attributes:
        cards: the answers.
        evaluated: whether the evaluation fits each of them at ease, whatever the training batch is.
        trace: of training.
        parts: what the first card's peak consists of.
    """

    cards: tuple[CardEstimate, ...]
    evaluated: tuple[bool, ...]
    trace: Trace
    parts: Parts | None


def run_cards(task: CardTask) -> CardResult:
    """Trace once and answer for every card; the largest batches are left open."""
    with HELD.bench(task.setup) as bench:
        trace = bench.trace(task.setup.config, steps=STEPS, evaluation=True)
    answers = [answer(trace, spec, task.ground) for spec in task.specs]
    parts = take_apart(trace, answers[0], task.specs[0]) if task.is_first else None
    evaluated = tuple(
        found.card.fits is True or fits_at_ease(without_limit(evaluation_of(trace), spec, task.ground), spec)
        for found, spec in zip(answers, task.specs, strict=True)
    )
    cards = tuple(found.card for found in answers)
    return CardResult(cards=cards, evaluated=evaluated, trace=training_of(trace), parts=parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """The largest batch on each of the cards of a CardTask."""

    cards: CardTask
    trace: Trace
    evaluated: tuple[bool, ...]


def run_search(task: SearchTask) -> tuple[Known[int], ...]:
    """In the order of the specs. On the first card of all the answer and the next size are run."""
    cards = task.cards
    with HELD.bench(cards.setup) as bench:
        traces = BatchTraces(bench, cards.setup.config, task.trace)
        found: list[Known[int]] = []
        for place, spec in enumerate(cards.specs):
            if not task.evaluated[place]:
                found.append(0)
                continue
            executed = cards.is_first and place == 0
            found.append(Search(traces, spec, cards.ground).largest(executed=executed))
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobTask:
    """Changes that can be traced on one teacher; `of_run`: with the evaluation."""

    setup: Setup
    ground: Ground
    changes: tuple[Change, ...]
    of_run: bool = False


def run_knobs(task: KnobTask) -> tuple[Knob, ...]:
    """What each change makes of the peak; a change that cannot be traced says why."""
    first = task.changes[0]
    setup = task.setup
    try:
        if first.needs_new_teacher:
            setup = replace(setup, config=changed(setup.config, first.key, first.value))
        with HELD.bench(setup) as bench:
            return tuple(_knob(bench, setup, task, change) for change in task.changes)
    except (ConfigError, LlmError, VirtualDeviceError) as error:
        return tuple(unknown_knob(change, error, of_run=task.of_run) for change in task.changes)


def _knob(bench: Bench, setup: Setup, task: KnobTask, change: Change) -> Knob:
    config = setup.config if change.needs_new_teacher else changed(setup.config, change.key, change.value)
    try:
        trace = bench.trace(config, steps=STEPS, evaluation=task.of_run)
        found = without_limit(trace, setup.spec, task.ground)
    except (ConfigError, LlmError, VirtualDeviceError) as error:
        return unknown_knob(change, error, of_run=task.of_run)
    return knob_of(change, found, of_run=task.of_run)


def knob_tasks(setup: Setup, ground: Ground, found: Sequence[Change]) -> list[KnobTask]:
    """One task for the changes on the configured teacher, split in two for two processes, one for each other change."""
    light = tuple(change for change in found if not change.needs_new_teacher)
    groups = [light[::2], light[1::2], *((change,) for change in found if change.needs_new_teacher)]
    return [KnobTask(setup=setup, ground=ground, changes=group) for group in groups if group]


def run_knob_tasks(setup: Setup, ground: Ground, found: Sequence[Change]) -> list[KnobTask]:
    """One task for each change of the evaluation. They take longest: begun first, nobody waits for them in the end."""
    return [KnobTask(setup=setup, ground=ground, changes=(change,), of_run=True) for change in found]
