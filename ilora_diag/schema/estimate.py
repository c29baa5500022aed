"""Estimate: what a training step needs on a card, computed on the virtual CUDA device.

One trace of the step is replayed through the allocator model once per card. The first card's figures stand at the top
of the document; `cards` has every card's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.interval import Interval
from ilora_diag.schema.known import Known, Settings, Unavailable, is_ordered, require_sizes, require_unique
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.timeline import Category, CategoryShare, ModuleShare

BASELINE, SCORING, GENERATION, RANKING, EXPORT = "baseline", "scoring", "generation", "ranking", "export"
EVALUATION_PHASES = (BASELINE, SCORING, GENERATION, RANKING, EXPORT)
"""Phases that come after the last step of training, by the names of a run's progress."""

NO_ATTENTION = "none"
SCRIPT = "run"
"""The source of what cannot be said of a script that was watched; the largest batch never can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakBytes:
    """Peaks over the whole run, each the maximum of its own quantity; the moments may differ.

    Attributes:
        requested_bytes: what the code asked for at the moment of most allocated bytes.
        allocated_bytes: peak of the blocks handed out.
        reserved_bytes: peak of the segments taken from the driver.
        device_used_bytes: reserved, CUDA context and libraries, and what other processes hold.
    """

    requested_bytes: int
    allocated_bytes: int
    reserved_bytes: int
    device_used_bytes: int

    def __post_init__(self) -> None:
        chain = (self.requested_bytes, self.allocated_bytes, self.reserved_bytes, self.device_used_bytes)
        require(is_ordered(0, *chain), f"0 <= requested <= allocated <= reserved <= device used, got {chain}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OomAnswer:
    """Where the modelled card was full, in the words the real one would use."""

    step: int
    phase: str
    module: str
    op: str
    requested_bytes: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEstimate:
    """One card's answer.

    Attributes:
        gpu: key of the card table, such as "h100".
        name: as NVML calls it.
        memory_bytes: of the card, or what `--memory` said.
        attention: backend of scaled-dot-product attention this card takes here, or "none" where the step calls none, as
            with eager attention.
        context_bytes: CUDA context and libraries outside the allocator.
        fits: unknown where the interval straddles the card's memory.
        oom: set where the modelled card was full.
        num_alloc_retries: times the allocator had to give back its cache to go on.
        largest_batch_that_fits: of `train.batch_size` (stage=rec: `rec.batch_size`), everything else unchanged; 0 if
            not even one sample fits.
    """

    gpu: str
    name: str
    compute_capability: str
    memory_bytes: int
    attention: Known[str]
    peak: PeakBytes
    context_bytes: Interval
    interval: Interval
    fits: Known[bool]
    oom: OomAnswer | None
    num_alloc_retries: int
    largest_batch_that_fits: Known[int]

    def __post_init__(self) -> None:
        require_sizes(memory_bytes=self.memory_bytes, num_alloc_retries=self.num_alloc_retries)
        require_sizes(largest_batch_that_fits=self.largest_batch_that_fits)
        require(self.fits is not True or self.oom is None, "a run that fits had no out-of-memory error")
        fits_surely = self.interval.high_bytes <= self.memory_bytes
        require(self.fits is not True or fits_surely, "fits is only said where the whole interval fits")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePeak:
    """The most that was held while one phase of one step ran."""

    step: int
    phase: str
    allocated_bytes: int
    reserved_bytes: int


def hungriest_evaluation(phases: Iterable[PhasePeak]) -> str:
    """The part of the evaluation that reserves more than training ever did; empty where none does."""
    reserved, found = 0, ""
    for phase in phases:
        if phase.reserved_bytes > reserved:
            reserved, found = phase.reserved_bytes, phase.phase
    return found if found in EVALUATION_PHASES else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One setting changed, everything else as configured.

    Attributes:
        change: as one would type it, such as "train.gradient_checkpointing=true".
        peak_allocated_bytes, peak_reserved_bytes: with the change; unknown with the reason it could not be computed.
        cost: what the change costs in speed or quality, in words.
        of_run: of the training steps and the evaluation after them; otherwise of the steps alone.
    """

    change: str
    peak_allocated_bytes: Known[int]
    peak_reserved_bytes: Known[int]
    cost: str
    of_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """Bytes by category at one allocator event; the order of `sizes` is that of `Estimate.curve_categories`."""

    event: int
    step: int
    phase: str
    reserved_bytes: int
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpShare:
    """Allocated bytes at the peak made by one operator."""

    op: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One step of the chain requested -> rounded -> allocated -> reserved -> card, at the peak of allocated bytes.

    Attributes:
        name: `requested`, `rounding` (up to allocated), `cached` (up to reserved), `context`, `other_processes`, in
            this order; a reader shows a name it does not know as it is.
        size_bytes: what this step adds.
    """

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a step needs, for the first card and for every card asked for.

    Attributes:
        gpu ... largest_batch_that_fits: the first card's.
        torch: version whose rules were modelled.
        settings: the effective configuration that was traced.
        steps: optimizer steps traced; where `by_phase` holds any of EVALUATION_PHASES, the evaluation after them, too.
        by_category, by_module, by_op: allocated bytes at the peak; each sums to peak.allocated_bytes.
        chain: from requested to card memory at the peak, every gap named; sums to peak.device_used_bytes.
        by_phase: in order of time.
        curve: for the timeline figure; thinned, the peak kept.
        assumptions: what was assumed where it could not be known, in words.
        duration_s: seconds of the whole estimate in the measured process.
        typed: the arguments of the configuration as typed (`llm=opt-125m`, `--config FILE`), for the commands that go
            on from here.
        observed_bytes: what the reader sees in use on the first card; None if nobody said.
        skipped: figures that could not be drawn where this was written.
    """

    SCHEMA: ClassVar[str] = "estimate"

    gpu: str
    torch: str
    settings: Settings
    steps: int
    peak: PeakBytes
    interval: Interval
    fits: Known[bool]
    by_category: tuple[CategoryShare, ...]
    by_module: tuple[ModuleShare, ...]
    by_op: tuple[OpShare, ...]
    by_phase: tuple[PhasePeak, ...]
    chain: tuple[Gap, ...]
    largest_batch_that_fits: Known[int]
    knobs: tuple[Knob, ...]
    cards: tuple[CardEstimate, ...]
    curve_categories: tuple[Category, ...]
    curve: tuple[CurvePoint, ...]
    num_requests: int
    assumptions: tuple[str, ...]
    duration_s: float
    typed: tuple[str, ...] = ()
    observed_bytes: int | None = None
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        require(len(self.cards) > 0, "an estimate is for at least one card")
        require_unique("card", tuple(card.gpu for card in self.cards))
        first = self.cards[0]
        same = (first.gpu, first.peak, first.interval, first.fits) == (self.gpu, self.peak, self.interval, self.fits)
        require(same, "the top of the document is the first card's")
        parts = (("categories", self.by_category), ("modules", self.by_module), ("ops", self.by_op))
        for what, shares in parts:
            total = sum(share.size_bytes for share in shares)
            require(total == self.peak.allocated_bytes, f"the {what} sum to {total}, not {self.peak.allocated_bytes}")
        total = sum(gap.size_bytes for gap in self.chain)
        require(total == self.peak.device_used_bytes, f"the chain sums to {total}, not {self.peak.device_used_bytes}")
        require(all(len(point.sizes) == len(self.curve_categories) for point in self.curve), "a size per category")
        require(not any(isinstance(share, Unavailable) for share in self.by_module), "every module share is known")
