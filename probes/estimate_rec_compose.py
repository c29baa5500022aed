"""The estimate of stage=rec: what the recommender's own training needs, its changes and its largest batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ilora.config import Config, ConfigError
from ilora.rec.caser import FILTER_HEIGHTS
from ilora.rec.evaluate import BATCH_SIZE
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.memory.settings import parse_allocator_settings
from ilora_diag.schema import Estimate, Knob, Known
from probes.estimate_batches import Search
from probes.estimate_cards import Ground, answer, fits_at_ease, same_kernels, with_largest_batch, without_limit
from probes.estimate_knobs import Change, changed, knob_of, unknown_knob
from probes.estimate_model import catalogue_size, checked_num_items
from probes.estimate_parts import take_apart
from probes.estimate_rec import RecSetup, rec_setup, trace_recommender
from probes.estimate_record import Question, Traced, of_this_machine, version_asked
from probes.trace import Trace
from probes.virtual import VirtualDeviceError
from probes.virtual.machine import environment

KEY = "rec.batch_size"


def estimate_recommender(question: Question, early: Callable[[Estimate], None] = lambda known: None) -> Estimate:
    """Answer.

    Args:
        question: what is asked; its stage is rec.
        early: told what is known before changes and batches are looked into.

    Raises:
        ConfigError: a value that does not go together with the data, or nothing to train.
        VersionError, SettingsError: torch version or allocator settings that cannot be.
        VirtualDeviceError: the device cannot carry the architecture.
        VmmUnsupported: expandable segments on a card that cannot have them.
    """
    config = question.config
    setup = make_rec_setup(config, question.specs[0], question.torch_version)
    version = setup.torch_version
    ground = Ground(settings=parse_allocator_settings(setup.environ, version), torch_version=version)
    groups = [(RecTraces(replace(setup, spec=members[0]), config), members) for members in same_kernels(question.specs)]
    answers = [
        answer(traces.executed(config.rec.batch_size), spec, ground) for traces, members in groups for spec in members
    ]
    first = groups[0][0].executed(config.rec.batch_size)
    made = Traced(
        question=question,
        version=version,
        steps=first.steps,
        assumptions=tuple(_assumptions(config, setup)),
        parts=take_apart(first, answers[0], setup.spec),
    )
    cards = {found.card.gpu: found.card for found in answers}
    if not question.more:
        return made.estimate(cards, ())
    early(made.estimate(cards, ()))
    for traces, members in groups:
        for spec in members:
            largest = traces.largest(spec, ground, executed=spec is setup.spec)
            cards[spec.key] = with_largest_batch(cards[spec.key], largest)
    return made.estimate(cards, tuple(_knob(setup, config, ground, change) for change in rec_changes(config)))


def make_rec_setup(config: Config, spec: GpuSpec, torch_version: str) -> RecSetup:
    """What is traced on; raises as `estimate_recommender`."""
    if config.rec.checkpoint is not None:
        hint = "With a checkpoint stage=rec trains nothing, and evaluates on the host"
        raise ConfigError("rec.checkpoint", config.rec.checkpoint, "none where stage=rec is estimated", hint)
    return rec_setup(config, checked_num_items(config), spec, version_asked(torch_version), environment())


@dataclass(slots=True)
class RecTraces:
    """Traces on one card by batch size, run where asked for.

    Attributes:
        run: those that were run.
    """

    setup: RecSetup
    config: Config
    run: dict[int, Trace] = field(default_factory=dict)

    def executed(self, batch_size: int) -> Trace:
        """The trace of a batch, run unless it was."""
        if batch_size not in self.run:
            self.run[batch_size] = trace_recommender(self.setup, changed(self.config, KEY, batch_size))
        return self.run[batch_size]

    def largest(self, spec: GpuSpec, ground: Ground, *, executed: bool) -> Known[int]:
        """The largest batch that fits a card with the same kernels; no batch has more rows than there are."""
        num_rows = self.setup.rows.train
        if fits_at_ease(without_limit(self.executed(num_rows), spec, ground), spec):
            return num_rows
        return Search(self, spec, ground).largest(executed=executed)


def rec_changes(config: Config) -> Iterator[Change]:
    """The changes worth trying for a recommender; none that it has already."""
    rec, width = config.rec, config.data.max_history
    if rec.batch_size > 1:
        yield Change(key=KEY, value=rec.batch_size // 2, cost="more steps a pass")
    if rec.hidden_size > 1:
        yield Change(key="rec.hidden_size", value=rec.hidden_size // 2, cost="item vectors half as wide")
    # Caser's filters are as high as several items of the history.
    least = max(FILTER_HEIGHTS) if rec.arch == "caser" else 1
    if width // 2 >= max(least, config.data.min_history):
        yield Change(key="data.max_history", value=width // 2, cost="older items of the history are left out")
    if rec.arch != "sasrec":
        yield Change(key="rec.arch", value="sasrec", cost="another recommender")
    elif width >= max(FILTER_HEIGHTS):
        yield Change(key="rec.arch", value="caser", cost="another recommender")


def _knob(setup: RecSetup, config: Config, ground: Ground, change: Change) -> Knob:
    try:
        trace = trace_recommender(setup, changed(config, change.key, change.value))
    except (ConfigError, VirtualDeviceError) as error:
        return unknown_knob(change, error)
    return knob_of(change, without_limit(trace, setup.spec, ground))


def _assumptions(config: Config, setup: RecSetup) -> Iterator[str]:
    yield (
        f"the {setup.rows.train} rows of the training split lie on the card, and no batch has more; histories have "
        f"{config.data.max_history} places; validation ranks {min(setup.rows.val, BATCH_SIZE)} rows at once"
    )
    yield "the evaluation of stage=rec runs on the host: nothing of it is on the card"
    for assumption in (catalogue_size(config).assumption, setup.rows.assumption):
        if assumption:
            yield assumption
    yield from of_this_machine(setup.torch_version)
