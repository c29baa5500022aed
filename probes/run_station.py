"""What a run is read off, whether the card is a model or real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ilora_diag.hardware.gpus import GpuSpec
from probes.run_ledger import MeasuredLedger
from probes.virtual.ledger import Notes
from probes.virtual.machine import Refused
from probes.virtual.watch import Watch


def _nothing() -> None:
    """A model needs no last look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where a run stands: events done, the optimizer steps before them, and what runs."""

    num_events: int
    step: int
    phase: str
    module: str


@dataclass(slots=True, kw_only=True)
class Station:
    """A card with its recorder.

    Attributes:
        device: `cuda`, or `virtual:` and the card's key.
        spec: the card; of a real one as it says itself.
        is_real: whether bytes are measured rather than modelled.
        torch_version: whose rules hold.
        ledger, watch: what was asked for, by what.
        notes: what could not be known.
        attention: calls by backend.
        refused: out-of-memory errors.
        num_alloc_retries: asks the allocator.
        finish: called once when the run is over, before anything is read off.
        other_bytes: of the card, held by neither the allocator nor this process.
    """

    device: str
    spec: GpuSpec
    is_real: bool
    torch_version: str
    ledger: MeasuredLedger
    watch: Watch
    notes: Notes
    attention: Counter[str]
    refused: list[Refused]
    num_alloc_retries: Callable[[], int]
    other_bytes: int = 0
    finish: Callable[[], None] = _nothing

    def stand(self) -> Stand:
        """Now."""
        watch = self.watch
        return Stand(num_events=len(self.ledger.events), step=watch.step, phase=watch.phase(), module=watch.module())
