"""Finding: what a check concludes, and how it knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Scalar, Value


class Severity(StrEnum):
    """How much it matters. Warnings decide the exit code only under `--strict`."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Confidence(StrEnum):
    """How sure we are. Computed from the evidence, never chosen for effect."""

    CONFIRMED = "confirmed"
    STRONGLY_SUGGESTED = "strongly_suggested"
    HYPOTHESIS = "hypothesis"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation a finding rests on.

    Attributes:
        path: where it stands: `facts:driver.kmod`, `trial:T-07.status`, `error:line 12`.
        observed: what is there.
        expected: what a healthy machine would show; empty where the observation alone is the point.
        source: how it was read.
    """

    path: str
    observed: Known[Value]
    expected: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """The cheapest way to settle an open question: the missing fact, and the command that would read it."""

    fact: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A judgement.

    The record belongs to no language: `code` picks the sentences and `parameters` fill them in. `title` and
    `consequence` are their English wording, so that a JSON file reads without a renderer.

    Attributes:
        code: stable name, as `DRV001`.
        category: word of the fixed vocabulary of causes.
        severity, confidence: how much it matters, and how sure we are.
        title: what is wrong.
        consequence: so what.
        parameters: values for the sentences.
        evidence: what it rests on; a confirmed or strongly suggested finding has some.
        remedy: one command, or None where nothing is to be done.
        decider: what would settle it; a finding of confidence unknown has one.
    """

    SCHEMA: ClassVar[str] = "finding"

    code: str
    category: str
    severity: Severity
    confidence: Confidence
    title: str
    consequence: str
    parameters: tuple[tuple[str, Scalar], ...] = ()
    evidence: tuple[Evidence, ...] = ()
    remedy: str | None = None
    decider: Decider | None = None

    def __post_init__(self) -> None:
        require(bool(self.code), "a finding has a code")
        grounded = self.confidence in (Confidence.CONFIRMED, Confidence.STRONGLY_SUGGESTED)
        require(not grounded or bool(self.evidence), f"a finding that is {self.confidence} names its evidence")
        unknown = self.confidence is Confidence.UNKNOWN
        require(not unknown or self.decider is not None, "a finding of confidence unknown says what would decide it")
