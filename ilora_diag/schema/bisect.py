"""Bisect: one investigation from a failure to its proven cause, complete, in no language."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.estimate import Estimate
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.finding import Confidence, Finding
from ilora_diag.schema.known import Known, Scalar, Settings, Value, require_sizes, require_unique
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.trial import FailureSignature, Trial
from ilora_diag.schema.trial_answer import FailedRequest, PeakParts, Retention


class FactorKind(StrEnum):
    """Whether the levels of a factor have an order in which demand falls."""

    ORDERED = "ordered"
    UNORDERED = "unordered"
    BINARY = "binary"


class FactorScope(StrEnum):
    """What a factor changes; environment factors always get a fresh interpreter."""

    ENVIRONMENT = "environment"
    DEVICE = "device"
    STRUCTURE = "structure"
    SETTING = "setting"
    INTERVENTION = "intervention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One value of a factor.

    Attributes:
        name: as a user reads it: `16`, `unset`, `expandable_segments:False`.
        changes: namespaced settings on top of the failing ones (see `trial_request`); none for the failing level.
        change: what one types or does to get it: `train.batch_size=16`, `unset PYTORCH_CUDA_ALLOC_CONF`.
        cost: word of the vocabulary of costs (`ilora_diag.bisect.costs`): `none`, `fewer_samples_a_step`, `slower`.
    """

    name: str
    changes: Settings
    change: str
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Something that can be relaxed.

    Attributes:
        name: as typed after --factors and --skip-factors.
        levels: the failing one first, the mildest last.
        expects_monotone: whether demand is expected to fall along the levels; tested, never taken for granted.
        category: word of the vocabulary of causes, should this factor turn out to be the cause.
        prior: how often such a factor is the cause, for the order of trials; 1 is ordinary.
        seconds: what a trial with it costs more than others; environment factors start an interpreter.
        is_mitigation: something the user had applied against the failure; its relaxation is "not applied".
    """

    name: str
    kind: FactorKind
    scope: FactorScope
    levels: tuple[Level, ...]
    expects_monotone: bool
    category: str
    prior: float = 1.0
    seconds: float = 0.0
    is_mitigation: bool = False

    def __post_init__(self) -> None:
        require(len(self.levels) >= 2, f"{self.name}: a factor has a failing level and one more at least")
        require_unique(f"level of {self.name}", tuple(level.name for level in self.levels))
        require(not self.levels[0].changes, f"{self.name}: the first level is the failing one and changes nothing")

    @property
    def mildest(self) -> int:
        """Index of the last level."""
        return len(self.levels) - 1


class Outcome(StrEnum):
    """How an investigation ended."""

    CAUSE_FOUND = "cause_found"
    NOT_REPRODUCED = "not_reproduced"  # the configuration did not fail
    FAILS_DIFFERENTLY = "fails_differently"  # each time in another way
    OUTSIDE_FACTORS = "outside_factors"  # the mildest configuration fails, too
    FLAKY = "flaky"  # fails too rarely for the trials allowed
    SUSPECTS = "suspects"  # flaky: the cause is among several
    BUDGET_SPENT = "budget_spent"
    INTERRUPTED = "interrupted"
    CANNOT_RUN = "cannot_run"  # nothing of ours ran: no device, refused, not carried


class Purpose(StrEnum):
    """Why a trial was run."""

    PREFLIGHT_FAIL = "preflight_fail"
    PREFLIGHT_MILD = "preflight_mild"
    FIRST_TOUCH = "first_touch"
    GROWTH = "growth"
    REPAIR = "repair"
    EFFECT = "effect"
    LEVEL = "level"
    MONOTONE = "monotone"
    CERTIFICATE = "certificate"
    SUFFICIENT = "sufficient"
    CONTROL = "control"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One trial of an investigation: what was relaxed, why, and what that came to.

    Attributes:
        trial: id in the journal.
        purpose: why it was run.
        relaxed: factor and level index of everything not at its failing level, in the registry's order.
        is_fresh: in an interpreter of its own, not forked from one with the imports done.
        reused: the outcome was taken from an earlier trial of the same settings and fingerprint, `trial`.
    """

    trial: str
    purpose: Purpose
    relaxed: tuple[tuple[str, int], ...]
    is_fresh: bool = False
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseFactor:
    """A factor of the cause: its failing value, and the mildest one that passes."""

    name: str
    failing: Value
    passing: Value
    failing_level: int
    passing_level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What has to be changed together for the failure to go away.

    Attributes:
        factors: the smallest set found; more than one means that all of them are needed.
        category: word of the vocabulary of causes.
        confidence: computed (`ilora_diag.bisect.confidence`).
        reasons: words of the vocabulary of grounds that the confidence rests on or lacks, in order.
        is_sufficient: the mildest configuration fails with these factors at their failing values alone;
            unknown where that was not tried.
        detail: what a retained tensor, a copy or a module is, in words of the program; empty where the factor says all.
    """

    factors: tuple[CauseFactor, ...]
    category: str
    confidence: Confidence
    reasons: tuple[str, ...]
    is_sufficient: Known[bool]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Two executed trials that differ in one effective factor, by adjacent levels: one fails, one passes."""

    factor: str
    fail: str
    pass_: str
    failing_level: int
    passing_level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuledOut:
    """A factor whose relaxation alone changed nothing, with the trials that show it."""

    factor: str
    trials: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffect:
    """A relaxation that failed in another way: never a fix."""

    factor: str
    trial: str
    signature: FailureSignature | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one factor alone, at one level, did to the outcome and to the peak."""

    factor: str
    level: int
    trial: str
    peak_reserved_bytes: Known[int]
    delta_bytes: Known[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A change that was executed and passed.

    Attributes:
        change: what one types or does, several joined by ` and `.
        cost: word of the vocabulary of costs.
        verified_by: ids of the trials that passed with it.
        headroom_bytes: of the card beyond the peak with it.
    """

    change: str
    cost: str
    verified_by: tuple[str, ...]
    headroom_bytes: Known[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """One thing the result holds for, or does not: `code` picks the sentence, `text` is its English."""

    code: str
    text: str
    parameters: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """How surely the failure comes back.

    Attributes:
        num_runs, num_failed: of the unchanged configuration, controls included.
        alpha: error probability that the repeats of a pass were chosen for.
        pass_repeats: how often a pass had to be repeated to count.
    """

    num_runs: int
    num_failed: int
    alpha: float
    pass_repeats: int

    def __post_init__(self) -> None:
        require(0 <= self.num_failed <= self.num_runs, "0 <= failed <= runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A file of the run folder that the report rests on, as it was when the investigation ended.

    Attributes:
        path: relative to the run folder.
        size_bytes, sha256: of its content.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisect:
    """One investigation.

    Attributes:
        run_id, created_at, tool_version, command: of the run folder; the command as it would be typed again.
        subject: what was investigated, in words: a preset, a script.
        device: as asked for.
        fingerprint: of code and environment; a trial is reused under the same one only.
        example: name of the shipped example; empty for a user's own.
        outcome: how it ended.
        signature: of the failure under investigation.
        error_text: the exact error, as it reads.
        base: the failing configuration, effective.
        requested: what was typed.
        effective: as the first failing trial found it in force.
        factors: those that were searched.
        not_applicable: factors that have nothing to act on here, with the reason.
        steps: the trials in order, with their purpose.
        cause, boundary, fixes: set where a cause was found.
        ruled_out, side_effects, effects: what the search learned on its way.
        unsure: factors that are neither cause nor ruled out, with the reason.
        suspects: of the outcome SUSPECTS: names of factors among which the cause is.
        reproduction: of the failure.
        guarantees: what the result holds for.
        num_untested: combinations of levels that were not run.
        peak: what memory consisted of at the failure, or at the peak of a passing trial.
        failed_request: of the failing trial.
        retention: what stays from step to step, where it was looked for.
        estimate: what the configuration should need on this card; unknown with the reason.
        facts, findings: of the machine, and what the checks make of them.
        num_trials, trials: as in the journal, redacted.
        skipped: what is missing, with reasons.
        duration_s: of the whole investigation.
        report: path of the Markdown, relative to where the command ran; empty before it is written.
        figures: names of those that were drawn beside the report.
        evidence: the files of the run folder that the report rests on (`ilora_diag.engine.bisect_evidence`).
    """

    SCHEMA: ClassVar[str] = "bisect"

    run_id: str
    created_at: float
    tool_version: str
    command: str
    subject: str
    device: str
    fingerprint: str
    example: str = ""
    outcome: Outcome
    signature: Known[FailureSignature]
    error_text: str
    base: Settings
    requested: Settings
    effective: Known[Settings]
    factors: tuple[Factor, ...]
    not_applicable: tuple[Skipped, ...] = ()
    steps: tuple[Step, ...] = ()
    cause: Cause | None = None
    boundary: Boundary | None = None
    ruled_out: tuple[RuledOut, ...] = ()
    side_effects: tuple[SideEffect, ...] = ()
    effects: tuple[Effect, ...] = ()
    unsure: tuple[Skipped, ...] = ()
    suspects: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    reproduction: Reproduction
    guarantees: tuple[Guarantee, ...] = ()
    num_untested: Known[int]
    peak: Known[PeakParts]
    failed_request: FailedRequest | None = None
    retention: Retention | None = None
    estimate: Known[Estimate]
    facts: Known[Facts]
    findings: tuple[Finding, ...] = ()
    num_trials: int
    trials: tuple[Trial, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    duration_s: float
    report: str = ""
    figures: tuple[str, ...] = ()
    evidence: tuple[EvidenceFile, ...] = ()

    def __post_init__(self) -> None:
        require_unique("evidence file", tuple(file.path for file in self.evidence))
        require_unique("trial", tuple(trial.id for trial in self.trials))
        require_unique("factor", tuple(factor.name for factor in self.factors))
        require_sizes(num_untested=self.num_untested)
        found = self.outcome is Outcome.CAUSE_FOUND
        require(found == (self.cause is not None), "a cause stands with the outcome cause_found, and only there")
        require(self.num_trials == len(self.trials), "num_trials counts the trials")
