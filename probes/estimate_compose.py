"""Puts an estimate together: which traces it takes, and what was assumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ilora.config import Config, ConfigError, check_catalogue, flat_settings
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.memory.settings import parse_allocator_settings
from ilora_diag.schema import CardEstimate, Estimate, Knob
from probes.estimate_batch import shape_assumption
from probes.estimate_cards import Ground, with_largest_batch
from probes.estimate_knobs import changes
from probes.estimate_model import architecture, catalogue_size, fetch_for_all
from probes.estimate_parts import Parts
from probes.estimate_trace import Setup
from probes.estimate_work import STEPS, CardTask, Crew, SearchTask, knob_tasks, run_cards, run_knobs, run_search
from probes.virtual.machine import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        config: valid.
        specs: the cards, the first of which gets the breakdowns.
        torch_version: whose rules; empty: the installed one.
        more: also the changes and the largest batches.
        begin: `time.perf_counter()` when the process began its work.
    """

    config: Config
    specs: tuple[GpuSpec, ...]
    torch_version: str
    more: bool
    begin: float


def estimate(question: Question, early: Callable[[Estimate], None] = lambda known: None) -> Estimate:
    """Answer.

    Args:
        question: what is asked.
        early: told what is known before changes and batches are looked into.

    Raises:
        ConfigError: a value that does not go together with the model or the data.
        LlmError: no description of the language model is on this machine.
        VersionError, SettingsError: torch version or allocator settings that cannot be.
        VirtualDeviceError: the device cannot carry the configuration.
        VmmUnsupported: expandable segments on a card that cannot have them.
    """
    config = _on_one_card(question.config)
    setup = make_setup(config, question.specs[0], question.torch_version)
    version = setup.torch_version
    ground = Ground(settings=parse_allocator_settings(setup.environ, version), torch_version=version)
    tasks = _card_tasks(question.specs, setup, ground)
    listed = list(changes(setup.config, setup.spec)) if question.more else []
    others = knob_tasks(setup, ground, listed)
    fetch_for_all(setup.shape)
    crew = Crew(2 * len(tasks) + len(others) if question.more else len(tasks))
    try:
        results = [wait() for wait in [crew.submit(run_cards, task) for task in tasks]]
        cards = {card.gpu: card for result in results for card in result.cards}
        parts = results[0].parts
        assert parts is not None
        made = _Made(question=question, version=version, assumption=catalogue_size(config).assumption, parts=parts)
        if not question.more:
            return made.estimate(cards, ())
        early(made.estimate(cards, ()))
        searches = [
            crew.submit(run_search, SearchTask(cards=task, trace=result.trace))
            for task, result in zip(tasks, results, strict=True)
        ]
        waiting = [crew.submit(run_knobs, task) for task in others]
        for task, search in zip(tasks, searches, strict=True):
            for spec, largest in zip(task.specs, search(), strict=True):
                cards[spec.key] = with_largest_batch(cards[spec.key], largest)
        knobs = {knob.change: knob for wait in waiting for knob in wait()}
    finally:
        crew.close()
    return made.estimate(cards, tuple(knobs[change.typed] for change in listed))


def make_setup(config: Config, spec: GpuSpec, torch_version: str) -> Setup:
    """What the benches are built of; raises as `estimate`."""
    version = torch_version or torch.__version__.partition("+")[0]
    torch_facts(version)
    num_items = catalogue_size(config).num_items
    check_catalogue(config, num_items)
    return Setup(
        config=config,
        shape=architecture(config),
        num_items=num_items,
        spec=spec,
        torch_version=version,
        environ=environment(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What is known of the first card once its step was traced."""

    question: Question
    version: str
    assumption: str
    parts: Parts

    def estimate(self, by_key: Mapping[str, CardEstimate], knobs: tuple[Knob, ...]) -> Estimate:
        """The record, with what has been found by now."""
        question, parts = self.question, self.parts
        cards = tuple(by_key[spec.key] for spec in question.specs)
        first = cards[0]
        own = (*_assumptions(question.config, self.version), *((self.assumption,) if self.assumption else ()))
        return Estimate(
            gpu=first.gpu,
            torch=self.version,
            settings=flat_settings(question.config),
            steps=STEPS,
            peak=first.peak,
            interval=first.interval,
            fits=first.fits,
            by_category=parts.by_category,
            by_module=parts.by_module,
            by_op=parts.by_op,
            by_phase=parts.by_phase,
            chain=parts.chain,
            largest_batch_that_fits=first.largest_batch_that_fits,
            knobs=knobs,
            cards=cards,
            curve_categories=parts.curve_categories,
            curve=parts.curve,
            num_requests=parts.num_requests,
            assumptions=(*own, *parts.notes),
            duration_s=round(time.perf_counter() - question.begin, 3),
        )


def _card_tasks(specs: Sequence[GpuSpec], setup: Setup, ground: Ground) -> list[CardTask]:
    """One task for the cards on which a step makes the same requests: kernels are chosen by architecture and size."""
    groups: dict[object, list[GpuSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.compute_capability, repr(spec.sm_count)), []).append(spec)
    return [
        CardTask(setup=replace(setup, spec=members[0]), specs=tuple(members), ground=ground, is_first=place == 0)
        for place, members in enumerate(groups.values())
    ]


def _on_one_card(config: Config) -> Config:
    """One rank's share. Stages other than the teacher's have no language model to estimate."""
    if config.stage != "teacher":
        other = "An estimate is of the teacher's step; the recommender's training runs with `ilora-diag train stage=rec"
        raise ConfigError("stage", config.stage, "teacher", f"{other} --device virtual:NAME`, and tells its memory")
    train = config.train
    if train.devices * train.num_nodes == 1:
        return config
    return replace(config, train=replace(train, devices=1, num_nodes=1, strategy="auto"))


def _assumptions(config: Config, version: str) -> Iterator[str]:
    yield shape_assumption(config)
    yield "the peak is that of training; evaluation (eval.generation, eval.scoring) keeps no activations; not traced"
    if config.rec.checkpoint is None:
        yield "the recommender is loaded; the run trains it first (no rec.checkpoint), and cache of that is left"
    if config.train.devices * config.train.num_nodes > 1:
        yield "one rank's memory; gradient buckets and NCCL of more ranks are not counted"
    if version.split(".")[:2] != torch.__version__.split(".")[:2]:
        yield f"operators have the shapes of the installed torch {torch.__version__}, all else the rules of {version}"
    yield "a card's memory is what CUDA reports of it, less than nvidia-smi shows by what the driver keeps"
