"""From evidence to a finding: its confidence is computed here, and nowhere chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ilora_diag.checks.case import Ground
from ilora_diag.checks.categories import BY_CODE
from ilora_diag.schema import Confidence, Decider, Evidence, Finding, Severity
from ilora_diag.schema.known import Scalar
from reports.messages import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A finding with what ranks it.

    Attributes:
        layer: the layer that is broken, 0 to 12.
        explains: whether it accounts for the error text.
        fallback: only of use where nothing else is known to be broken.
    """

    finding: Finding
    layer: int
    explains: bool
    fallback: bool = False


def decides(evidence: Evidence) -> Ground:
    """Evidence that leaves no other explanation."""
    return Ground(evidence, "decides")


def suggests(evidence: Evidence) -> Ground:
    """Evidence that points here more than anywhere else."""
    return Ground(evidence, "suggests")


def fits(evidence: Evidence) -> Ground:
    """Evidence that agrees with this, and with other causes as well."""
    return Ground(evidence, "fits")


def shown(evidence: Evidence) -> Ground:
    """Evidence that is worth seeing and founds nothing by itself."""
    return Ground(evidence, "shown")


def confidence_of(grounds: Iterable[Ground]) -> Confidence:
    """Confirmed needs one deciding fact; strongly suggested one that points here, or two that fit; else a hypothesis.

    What an error text or a note says never decides: a message alone confirms no cause.
    """
    given = list(grounds)
    weights = [
        "suggests" if ground.weight == "decides" and not _is_fact(ground.evidence) else ground.weight
        for ground in given
    ]
    if "decides" in weights:
        return Confidence.CONFIRMED
    if "suggests" in weights or len({ground.evidence.path for ground in given if ground.weight == "fits"}) >= 2:
        return Confidence.STRONGLY_SUGGESTED
    return Confidence.HYPOTHESIS


def _is_fact(evidence: Evidence) -> bool:
    return evidence.path.startswith("facts:") and evidence.path != "facts:import.notes"


def claim(
    code: str,
    grounds: Iterable[Ground],
    *,
    variant: str = "",
    params: dict[str, Scalar] | None = None,
    remedy: str | None = None,
    decider: Decider | None = None,
    severity: Severity | None = None,
    fallback: bool = False,
) -> Claim:
    """A claim of a code.

    Args:
        code: of `categories`.
        grounds: what it rests on.
        variant: which wording of the code, where it has several.
        params: values for the sentences.
        remedy: one command.
        decider: what would settle it; left out where it is confirmed.
        severity: where it is not the code's own.
        fallback: only of use where nothing else is known to be broken.
    """
    row, given = BY_CODE[code], list(grounds)
    confidence = confidence_of(given)
    values = dict(params or {})
    words, key = Words("en"), f"check.{code}.{variant}" if variant else f"check.{code}"
    finding = Finding(
        code=code,
        category=row.category,
        severity=severity or row.severity,
        confidence=confidence,
        title=words(f"{key}.title", **values),
        consequence=words(f"check.{code}.consequence", **values),
        parameters=(*values.items(), *((("variant", variant),) if variant else ())),
        evidence=tuple(ground.evidence for ground in given),
        remedy=remedy,
        decider=None if confidence is Confidence.CONFIRMED else decider,
    )
    explains = any(ground.evidence.path.startswith("error:") for ground in given)
    return Claim(finding=finding, layer=row.layer, explains=explains, fallback=fallback)


def undecided(symptom: Evidence, decider: Decider, *, variant: str, params: dict[str, Scalar] | None = None) -> Finding:
    """The one finding that says: something is wrong, and which fact would tell what."""
    words, values = Words("en"), dict(params or {})
    return Finding(
        code="UNK001",
        category="unknown",
        severity=Severity.ERROR,
        confidence=Confidence.UNKNOWN,
        title=words(f"check.UNK001.{variant}.title", **values),
        consequence=words("check.UNK001.consequence"),
        parameters=(*values.items(), ("variant", variant)),
        evidence=(symptom,),
        decider=decider,
    )
