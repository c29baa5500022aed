"""Tracing steps of the trainer's own code on a virtual card without limits: every request, in order, by what made it.

A bench builds the teacher once and runs as many configurations on it as differ only in the batch, the optimizer,
attention or checkpointing: what loading took is the same for all of them. The allocator's answer to the requests is not
computed here (`probes.estimate_replay`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from ilora.assemble import build_teacher
from ilora.config import Config
from ilora.device import place
from ilora.llm.load import LoadedLlm
from ilora.loops import plain
from ilora.loops.job import StopFlag, TrainJob
from ilora.model import ILoRATeacher
from ilora.rec.build import build_recommender
from ilora.runlog import RunLog
from ilora.schedule import make_optimizer
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.schema import Category
from probes.estimate_batch import longest_batch
from probes.estimate_before import preceded
from probes.estimate_eval import Evaluated, evaluate
from probes.estimate_eval_decode import IrregularError, with_evaluation
from probes.estimate_model import Architecture, check_positions, make_llm
from probes.estimate_refusals import traced_code
from probes.estimate_unlimited import unlimited_card
from probes.run_place import module_of
from probes.trace import Trace, spoken_marks
from probes.virtual import Machine, virtual_cuda
from probes.virtual.ledger import LOAD

_VALIDATION_BATCHES = 2
HISTORY_ENTRIES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a bench is built of.

    Attributes:
        config: the configuration.
        shape: of its language model.
        num_items: of the catalogue.
        spec: the card.
        torch_version: whose rules are modelled.
        environ: variables the allocator and libraries read.
        before: what runs in the same process before the teacher is loaded; it stands in front of every trace.
    """

    config: Config
    shape: Architecture
    num_items: int
    spec: GpuSpec
    torch_version: str
    environ: Mapping[str, str]
    before: Trace | None = None


class Bench:
    """A teacher on a virtual card, and the steps of it; a context manager, one at a time in a process.

    Args:
        setup: what to build.
        real_card: with the card's own memory and allocator, its history recorded, instead of a card without limits.
    """

    def __init__(self, setup: Setup, *, real_card: bool = False) -> None:
        self.setup = setup
        self._real_card = real_card
        self.is_clean = True
        self._stack = ExitStack()
        self._teacher: ILoRATeacher | None = None

    @property
    def teacher(self) -> ILoRATeacher:
        """The teacher, inside the block."""
        assert self._teacher is not None, "a bench is a context manager"
        return self._teacher

    def __enter__(self) -> Bench:
        try:
            self._enter_card()
            with self._traced():
                self.build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def card(self) -> Iterator[None]:
        """The card alone inside the block; `build` is the caller's."""
        self._enter_card()
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Take the card away."""
        self._teacher = None
        self._stack.close()
        gc.collect()

    def _traced(self) -> AbstractContextManager[None]:
        """Tell failures of the code that is traced from our own."""
        return traced_code(lambda error: module_of(error, self.machine.watch.name_of))

    def _enter_card(self) -> None:
        setup = self.setup
        enter = virtual_cuda if self._real_card else unlimited_card
        self.machine: Machine = self._stack.enter_context(
            enter(setup.spec, torch_version=setup.torch_version, environ=setup.environ)
        )
        if self._real_card:
            torch.cuda.memory._record_memory_history(max_entries=HISTORY_ENTRIES)

    def build(self) -> None:
        """Load and build as `ilora.run` does."""
        self._load()
        self.machine.watch.name_root(self.teacher)
        ledger = self.machine.ledger
        self._num_load_events, self._num_load_numbers = len(ledger.events), len(ledger.sizes)
        self._live = frozenset(ledger.live_at(len(ledger.events)))

    def _load(self) -> None:
        setup, config = self.setup, self.setup.config
        self._placement = place(config.train, "cuda")
        recommender = build_recommender(config.rec, setup.num_items, config.data.max_history).eval()
        llm: LoadedLlm = make_llm(config, setup.shape, self._placement)
        check_positions(config, llm.model)
        self._teacher = build_teacher(config, recommender, llm, self._placement)

    def trace(self, config: Config, *, steps: int, evaluation: bool = False, whole: bool = False) -> Trace:
        """Run `steps` optimizer steps of a configuration that needs the same teacher, and on request its evaluation.

        `whole`: write every token of the answers, which is derived from the first ones where those are regular.

        Raises:
            torch.OutOfMemoryError, NotCarriedError, ...: as the code or the device raises.
        """
        machine, ledger = self.machine, self.machine.ledger
        first_event, first_number = len(ledger.events), len(ledger.sizes)
        first_mark, attended = len(ledger.marks), dict(machine.attention)
        machine.watch.step = 0
        machine.watch.set_phase(LOAD)
        self.is_clean = False
        with self._traced(), self._as_configured(config):
            self.run_steps(config, steps)
            attention = {name: num - attended.get(name, 0) for name, num in machine.attention.items()}
            evaluated = Evaluated(trained=len(ledger.events), whole=whole)
            if evaluation:
                evaluate(self.teacher, config, self.setup.num_items, evaluated, lambda: len(ledger.events))
        try:
            found = self._collect(first_event, first_number, first_mark, evaluated, steps)
        except IrregularError:
            found = None
        gc.collect()
        machine.drop_workspaces()
        self.is_clean = frozenset(ledger.live_at(len(ledger.events))) == self._live
        if found is None:
            return self.trace(config, steps=steps, evaluation=True, whole=True)
        found = replace(found, attention=tuple((name, num) for name, num in attention.items() if num))
        return preceded(found, self.setup.before)

    def run_steps(self, config: Config, steps: int) -> None:
        """Train for so many optimizer steps."""
        teacher, num_items = self.teacher, self.setup.num_items
        train = replace(config.train, max_steps=steps, eval_every=steps if config.train.eval_every else 0)
        micro_batches = steps * train.gradient_accumulation_steps
        optimizer = make_optimizer(teacher.trainable_groups(), train)

        def batches(count: int) -> Callable[[], Iterator[Any]]:
            return lambda: (longest_batch(config, num_items) for _ in range(count))

        job = TrainJob(
            teacher=teacher,
            optimizer=optimizer,
            config=train,
            train_batches=batches(micro_batches),
            val_batches=batches(min(_VALIDATION_BATCHES, train.eval_batches)),
            device=self._placement.device,
            log=RunLog(None),
            start_step=0,
            save=lambda step: None,
            stop=StopFlag(),
        )
        if train.loop == "plain":
            plain.run(job)
        else:
            from ilora.loops import lightning

            lightning.run(job)
        optimizer.zero_grad(set_to_none=True)

    def _as_configured(self, config: Config) -> ExitStack:
        """The teacher with another attention or checkpointing inside the block."""
        stack, built = ExitStack(), self.setup.config
        llm = self.teacher.causal_lm
        if config.llm.attn_implementation != built.llm.attn_implementation:
            llm.set_attn_implementation(config.llm.attn_implementation)
            stack.callback(llm.set_attn_implementation, built.llm.attn_implementation)
        if config.train.gradient_checkpointing != built.train.gradient_checkpointing:
            on, off = self.teacher.gradient_checkpointing_enable, llm.gradient_checkpointing_disable
            first, then = (on, off) if config.train.gradient_checkpointing else (off, on)
            first()
            stack.callback(then)
        return stack

    def _collect(self, first_event: int, first_number: int, first_mark: int, evaluated: Evaluated, steps: int) -> Trace:
        """Loading and the events of this run, numbered through."""
        ledger = self.machine.ledger
        shift = first_number - self._num_load_numbers

        def renumbered(event: int) -> int:
            number = abs(event)
            if number < self._num_load_numbers:
                return event
            return event - shift if event > 0 else event + shift

        kept = [*range(self._num_load_numbers), *range(first_number, len(ledger.sizes))]
        moved = first_event - self._num_load_events
        marks = [mark for mark in ledger.marks if mark[0] <= self._num_load_events]
        marks += [
            (event - moved, step, phase)
            for event, step, phase in ledger.marks[first_mark:]
            if event <= evaluated.trained
        ]
        found = Trace(
            events=(*ledger.events[: self._num_load_events], *map(renumbered, ledger.events[first_event:])),
            sizes=tuple(ledger.sizes[number] for number in kept),
            modules=tuple(ledger.modules[number] for number in kept),
            ops=tuple(ledger.ops[number] for number in kept),
            categories=tuple(ledger.category(number) if number else Category.UNKNOWN for number in kept),
            marks=tuple(spoken_marks(marks, steps)),
            steps=steps,
            num_load_events=self._num_load_events,
            attention=(),
            notes=tuple(self.machine.notes.counts.items()),
        )
        return with_evaluation(found, evaluated, moved)


def trace_once(setup: Setup, *, steps: int) -> Trace:
    """Build and run once."""
    with Bench(setup) as bench:
        return bench.trace(setup.config, steps=steps)
