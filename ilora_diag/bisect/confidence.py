"""How sure a cause is: computed from trials, by the same rule while searching and while checking a finished record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ilora_diag.bisect.evidence import Seen, adjacent_pair, needed, runs_of
from ilora_diag.bisect.oracle import Verdict
from ilora_diag.bisect.order import mendable
from ilora_diag.schema.bisect import Factor, Purpose
from ilora_diag.schema.finding import Confidence
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial import ErrorFamily, FailureSignature

FINALS = 3
"""Passes of a fix that is called confirmed, each in a process of its own, one at least in a fresh interpreter."""
CONTROLS = 2
"""Runs of the unchanged configuration after the first ones, for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A confidence and the words of `words.GROUNDS` that it rests on or lacks, in order."""

    confidence: Confidence
    reasons: tuple[str, ...]


def assess(seen: Sequence[Seen], factors: Mapping[str, Factor], repair: Mapping[str, int]) -> Assessment:
    """Judge a repair: factor -> level that makes the failure go away.

    Confirmed: each factor is needed, each boundary was executed, the fix passed FINALS times in processes of its own,
    the unchanged configuration failed every time and CONTROLS times after the first ones. Strongly suggested: each
    factor is needed and each boundary executed, and nothing contradicts it. Otherwise a hypothesis.
    """
    is_needed = all(needed(seen, factors, repair, name) is not None for name in repair)
    has_pair = all(adjacent_pair(seen, factors, repair, name, exact=False) is not None for name in repair)
    fix, base = runs_of(seen, repair), runs_of(seen, {})
    finals = [one for one in fix if one.purpose is Purpose.FINAL]
    is_repeated = len(finals) >= FINALS and any(one.is_fresh for one in finals)
    is_final = is_repeated and all(one.verdict is Verdict.PASS for one in fix)
    num_controls = sum(one.purpose is Purpose.CONTROL for one in base)
    base_holds = bool(base) and all(one.verdict is Verdict.SAME for one in base)
    controls = "controls_differ" if not base_holds else "controls_stable"
    if base_holds and num_controls < CONTROLS:
        controls = "controls_missing"
    reasons = (
        "certificate_complete" if is_needed else "certificate_incomplete",
        "boundary_executed" if has_pair else "boundary_missing",
        "finals_passed" if is_final else "finals_missing",
        controls,
    )
    fix_failed = any(one.verdict is Verdict.SAME for one in fix)
    base_passed = any(one.verdict is Verdict.PASS for one in base)
    if fix_failed or base_passed or not (is_needed and has_pair):
        return Assessment(confidence=Confidence.HYPOTHESIS, reasons=reasons)
    all_done = is_final and controls == "controls_stable"
    found = Confidence.CONFIRMED if all_done else Confidence.STRONGLY_SUGGESTED
    return Assessment(confidence=found, reasons=reasons)


def of_the_machine(judged: Assessment, device: str, signature: Known[FailureSignature]) -> Assessment:
    """The assessment as one of the machine in question, which a virtual card is not.

    That a driver refuses what makes exactly this error is a property of a host. A virtual card proves that the
    mechanism makes it; that the host is like that, it can only suggest.
    """
    if isinstance(signature, Unavailable) or signature.family is not ErrorFamily.CUDA_DRIVER:
        return judged
    if not device.startswith("virtual:") or judged.confidence is not Confidence.CONFIRMED:
        return judged
    return Assessment(confidence=Confidence.STRONGLY_SUGGESTED, reasons=(*judged.reasons, "virtual_card"))


def sufficiency(seen: Sequence[Seen], factors: Sequence[Factor], repair: Mapping[str, int]) -> Known[bool]:
    """Whether the failure stays while everything else is mended that leaves the training what it is.

    Where there is nothing else to mend, the unchanged configuration is that trial. Unordered factors may stand at any
    level there: which of theirs is the mildest is not known.
    """
    others = mendable(factors, repair)
    tried = [one for one in seen if set(one.relaxed) == others and _is_mildest(one, factors)]
    verdicts = {one.verdict for one in tried}
    if Verdict.SAME in verdicts:
        return True
    if Verdict.PASS in verdicts:
        return False
    why = "it failed in another way" if verdicts else "it was not tried"
    return Unavailable(reason=f"everything else mended: {why}", source=", ".join(one.trial for one in tried))


def _is_mildest(one: Seen, factors: Sequence[Factor]) -> bool:
    ordered = [factor for factor in factors if factor.name in one.relaxed and factor.kind != "unordered"]
    return all(one.relaxed[factor.name] == factor.mildest for factor in ordered)
