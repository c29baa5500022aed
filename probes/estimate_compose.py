"""Puts an estimate together: which traces it takes, and what was assumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ilora.config import Config, ConfigError
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.memory.settings import parse_allocator_settings
from ilora_diag.schema import Estimate
from ilora_diag.schema.estimate import hungriest_evaluation
from probes.estimate_batch import shape_assumption
from probes.estimate_cards import Ground, same_kernels, with_largest_batch
from probes.estimate_crew import Crew
from probes.estimate_eval_parts import evaluation_assumption, evaluation_changes
from probes.estimate_knobs import changes
from probes.estimate_model import architecture, catalogue_size, checked_num_items, fetch_for_all
from probes.estimate_rec_data import row_count
from probes.estimate_record import Question, Traced, of_this_machine, version_asked
from probes.estimate_trace import Setup
from probes.estimate_work import (
    HELD,
    MAX_WORKERS,
    STEPS,
    CardTask,
    SearchTask,
    begin_worker,
    knob_tasks,
    run_cards,
    run_knob_tasks,
    run_knobs,
    run_search,
    workers_for,
)
from probes.trace import Trace
from probes.virtual.machine import environment


def estimate(
    question: Question,
    before: Callable[[], Trace | None],
    early: Callable[[Estimate], None] = lambda known: None,
) -> Estimate:
    """Answer.

    Args:
        question: what is asked.
        before: waits for the trace of the recommender's training, where there is one.
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
    listed = list(changes(setup.config, setup.spec)) if question.more else []
    fetch_for_all(setup.shape)
    setup = replace(setup, before=before())
    crew = Crew(workers_for(MAX_WORKERS if question.more else len(same_kernels(question.specs))), begin_worker)
    try:
        tasks = _card_tasks(question.specs, setup, ground)
        others = knob_tasks(setup, ground, listed)
        traced = [crew.submit(run_cards, task) for task in tasks]
        # The searches, which take longest, begin when the cards are traced; whoever is idle until then takes a change.
        waiting = [crew.submit(run_knobs, task) for task in others[: crew.idle_beside(len(tasks))]]
        results = [wait() for wait in traced]
        cards = {card.gpu: card for result in results for card in result.cards}
        parts = results[0].parts
        assert parts is not None
        assumptions = tuple(_assumptions(question.config, version))
        made = Traced(question=question, version=version, steps=STEPS, assumptions=assumptions, parts=parts)
        if not question.more:
            return made.estimate(cards, ())
        early(made.estimate(cards, ()))
        # The last cards first: the processes that traced them hold their teachers still.
        searches = [
            (task, crew.submit(run_search, SearchTask(cards=task, trace=result.trace, evaluated=result.evaluated)))
            for task, result in reversed(list(zip(tasks, results, strict=True)))
        ]
        of_run = tuple(evaluation_changes(config, hungriest_evaluation(parts.by_phase)))
        listed += of_run
        left = [*run_knob_tasks(setup, ground, of_run), *others[len(waiting) :]]
        waiting += [crew.submit(run_knobs, task) for task in left]
        for task, search in searches:
            for spec, largest in zip(task.specs, search(), strict=True):
                cards[spec.key] = with_largest_batch(cards[spec.key], largest)
        knobs = {knob.change: knob for wait in waiting for knob in wait()}
    finally:
        crew.close()
        HELD.close()
    return made.estimate(cards, tuple(knobs[change.typed] for change in listed))


def make_setup(config: Config, spec: GpuSpec, torch_version: str) -> Setup:
    """What the benches are built of; raises as `estimate`."""
    if config.stage != "teacher":
        hint = "Of the recommender there is `ilora-diag estimate stage=rec`, and `ilora-diag train stage=rec`"
        raise ConfigError("stage", config.stage, "teacher: what is traced here are its steps", hint)
    version = version_asked(torch_version)
    return Setup(
        config=config,
        num_items=checked_num_items(config),
        shape=architecture(config),
        spec=spec,
        torch_version=version,
        environ=environment(),
    )


def _card_tasks(specs: Sequence[GpuSpec], setup: Setup, ground: Ground) -> list[CardTask]:
    """One task for the cards on which a step makes the same requests."""
    return [
        CardTask(setup=replace(setup, spec=members[0]), specs=members, ground=ground, is_first=place == 0)
        for place, members in enumerate(same_kernels(specs))
    ]


def _on_one_card(config: Config) -> Config:
    """One rank's share."""
    train = config.train
    if train.devices * train.num_nodes == 1:
        return config
    return replace(config, train=replace(train, devices=1, num_nodes=1, strategy="auto"))


def _assumptions(config: Config, version: str) -> Iterator[str]:
    yield shape_assumption(config)
    yield evaluation_assumption(config)
    if config.llm.path is None and config.llm.name is None:
        yield (
            "weights are random and made on the card (neither llm.path nor llm.name is set); real ones are read on the "
            "host, and loading them may take less"
        )
    if config.rec.checkpoint is None:
        yield "the recommender is trained first, in the same process (no rec.checkpoint): its cache is counted"
        if assumption := row_count(config).assumption:
            yield assumption
    if config.train.devices * config.train.num_nodes > 1:
        yield "one rank's memory; gradient buckets and NCCL of more ranks are not counted"
    yield from of_this_machine(version)
    if assumption := catalogue_size(config).assumption:
        yield assumption
