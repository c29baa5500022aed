"""EnvCheck: what the facts of a machine amount to, and what several machines differ in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.finding import Finding
from ilora_diag.schema.known import Known, Value


class Verdict(StrEnum):
    """What all findings together amount to."""

    HEALTHY = "healthy"  # no error; there may be warnings
    FINDINGS = "findings"  # an error that is founded
    UNKNOWN = "unknown"  # something is wrong, and what is a hypothesis at best


class Status(StrEnum):
    """How a section stands."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSection:
    """How one section of the answer stands.

    Attributes:
        name: of the section, in the order of the layers.
        status: the worst of its findings, or what keeps it from being judged.
        reason: name of the reason of `unknown` and `skipped`; empty otherwise.
        codes: of its findings.
        paths: the facts that belong to it.
    """

    name: str
    status: Status
    reason: str = ""
    codes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvCheck:
    """A machine, judged.

    Attributes:
        findings: the leading one first.
        sections: each with one status.
        facts: what was judged.
        facts_digest: SHA-256 of the facts as JSON, so that an answer can be laid beside them.
        error_digest: SHA-256 of the error text, or why there is none.
        no_card: the machine is known to have no NVIDIA GPU.
    """

    SCHEMA: ClassVar[str] = "env-check"

    verdict: Verdict
    findings: tuple[Finding, ...]
    sections: tuple[CheckSection, ...]
    facts: Facts
    facts_digest: str
    error_digest: Known[str]
    no_card: bool = False

    def __post_init__(self) -> None:
        require(
            self.verdict is Verdict.HEALTHY or bool(self.findings),
            f"a verdict of {self.verdict} rests on findings",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankDifference:
    """A fact that is not the same on all ranks.

    Attributes:
        values: one a rank, in the order of `RankCheck.ranks`.
        matters: whether ranks that differ in it cannot work together, or not alike.
    """

    path: str
    values: tuple[Known[Value], ...]
    matters: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCheck:
    """Several machines, compared and judged.

    Attributes:
        ranks: their names.
        differences: facts that differ; those that matter first.
        findings: of each rank, in the order of `ranks`.
    """

    SCHEMA: ClassVar[str] = "env-check-ranks"

    ranks: tuple[str, ...]
    differences: tuple[RankDifference, ...]
    findings: tuple[tuple[Finding, ...], ...]

    def __post_init__(self) -> None:
        require(len(self.findings) == len(self.ranks), "every rank has its findings, be they none")
