"""Tracing the recommender's training, by the trainer's own code, on a virtual card without limits."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass

from ilora.config import Config, ConfigError
from ilora.rec.train import train_recommender
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.schema import Category
from probes.estimate_ahead import Before
from probes.estimate_knobs import changed
from probes.estimate_model import checked_num_items
from probes.estimate_rec_data import RowCount, row_count, stand_in
from probes.estimate_record import version_asked
from probes.estimate_unlimited import unlimited_card
from probes.trace import Trace, spoken_marks
from probes.virtual import Machine

PASSES, _FIRST_BATCHES = 2, 2
"""What is traced of a training: two passes of two batches, the last batch and a validation each. The first step makes
the optimizer's states; the last batch of a pass is a smaller one, which leaves other gaps in the cache: without it
reserved bytes were up to 13 % too low. Thirty whole trainings of random shapes reserved what these do. Where the rows
do not fill two batches, a third pass is traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecSetup:
    """What a recommender is trained on.

    Attributes:
        num_items: of the catalogue.
        rows: of the data.
        spec: the card.
        torch_version: whose rules are modelled.
        environ: variables the allocator and libraries read.
    """

    num_items: int
    rows: RowCount
    spec: GpuSpec
    torch_version: str
    environ: Mapping[str, str]


def rec_setup(
    config: Config, num_items: int, spec: GpuSpec, torch_version: str, environ: Mapping[str, str]
) -> RecSetup:
    """What the configured data and a card make of it."""
    rows = row_count(config)
    return RecSetup(num_items=num_items, rows=rows, spec=spec, torch_version=torch_version, environ=environ)


def trace_recommender(setup: RecSetup, config: Config, *, passes: int = PASSES) -> Trace:
    """Train for a few steps and validate.

    Args:
        setup: what to train on.
        config: of the recommender and its histories.
        passes: so many, and another where the rows do not fill two batches. One leaves the cache that two leave.

    Raises:
        ConfigError: a shape that the architecture cannot have, or too few items.
        NotCarriedError: the device cannot carry the architecture.
    """
    passes += setup.rows.train < _FIRST_BATCHES * config.rec.batch_size
    rec = changed(changed(config, "rec.max_epochs", passes), "rec.patience", passes).rec
    data = stand_in(config, setup.num_items, setup.rows)
    with unlimited_card(setup.spec, torch_version=setup.torch_version, environ=setup.environ) as machine:
        try:
            train_recommender(
                data, rec, device="cuda", on_epoch=lambda epoch: None, first_batches=_FIRST_BATCHES, candidate_sets=1
            )
        except ValueError as error:
            raise ConfigError("rec.arch", rec.arch, "an architecture these data suit", str(error)) from error
        gc.collect()
        return _collected(machine)


def _collected(machine: Machine) -> Trace:
    """All that was asked for; building the recommender counts as loading."""
    ledger, steps = machine.ledger, machine.watch.step
    marks = tuple(spoken_marks(ledger.marks, steps))
    return Trace(
        events=tuple(ledger.events),
        sizes=tuple(ledger.sizes),
        modules=tuple(ledger.modules),
        ops=tuple(ledger.ops),
        categories=tuple(
            ledger.category(number) if number else Category.UNKNOWN for number in range(len(ledger.sizes))
        ),
        marks=marks,
        steps=steps,
        num_load_events=next((event for event, step, _ in marks if step), len(ledger.events)),
        attention=tuple(machine.attention.items()),
        notes=tuple(machine.notes.counts.items()),
    )


def trace_before(before: Before) -> Trace | None:
    """Trace that training; None where a checkpoint spares it.

    Raises:
        ConfigError, NotCarriedError: as `trace_recommender`.
        VersionError: there is no such version.
    """
    config = before.config
    if config.rec.checkpoint is not None:
        return None
    num_items, version = checked_num_items(config), version_asked(before.torch_version)
    setup = rec_setup(config, num_items, before.spec, version, before.environ)
    return trace_recommender(setup, config, passes=1)
