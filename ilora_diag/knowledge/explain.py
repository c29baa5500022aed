"""From a reading and facts to an explanation: the verdict on memory, causes ranked, findings."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ilora_diag.checks.categories import BY_CATEGORY
from ilora_diag.checks.deciders import decider
from ilora_diag.checks.judging import judge
from ilora_diag.knowledge.advice import EXPANDABLE, judge_advice
from ilora_diag.knowledge.lookups import Named
from ilora_diag.knowledge.oom_verdict import classify_oom
from ilora_diag.knowledge.reading import ErrorReading
from ilora_diag.knowledge.rules import Verdict
from ilora_diag.knowledge.signatures import Cause, Signature, find_signature
from ilora_diag.schema import (
    Confidence,
    Decider,
    Evidence,
    Facts,
    Finding,
    Known,
    Severity,
    Unavailable,
    to_json,
)
from ilora_diag.schema.explanation import (
    CauseState,
    Explanation,
    JudgedCause,
    OomCause,
    OomVerdict,
    SignatureMatch,
)

_RANK = (CauseState.CONFIRMED, CauseState.SUGGESTED, CauseState.OPEN, CauseState.REFUTED)
_OF_THE_TEXT = ("oom.", "captured.", "text")
_NOTHING_BETTER = ("signature", "error", "nothing")
"""Kinds of undecided findings that say no more than that the text is an error."""
_NO_FACTS = Unavailable(reason="no facts were given", source="--facts")


def explain(reading: ErrorReading, facts: Facts | None = None, *, lang: str = "en") -> Explanation:
    """What a text comes down to on a machine of which this much is known."""
    verdict = _oom_verdict(reading, facts)
    named = Named(facts, reading, verdict)
    causes = _causes(reading, named, lang)
    leading = None if reading.leading is None else find_signature(reading.leading.id)
    return Explanation(
        digest=reading.digest,
        num_bytes=reading.num_bytes,
        num_lines=reading.num_lines,
        exception_type=reading.exception_type,
        facts_digest=_digest(facts),
        findings=tuple(_checked(one, verdict) for one in _findings(reading, facts, causes, verdict)),
        oom=reading.oom,
        verdict=verdict,
        signatures=reading.matches,
        codes=reading.codes,
        causes=causes,
        fix="" if leading is None else leading.fix(lang),
        leading="" if leading is None else leading.id,
        title="" if leading is None else leading.title(lang),
        garbage=reading.garbage,
        lang=lang,
    )


def judge_cause(signature: Signature, cause: Cause, named: Named, lang: str) -> JudgedCause:
    """What the facts say of one cause."""
    state, because, missing = _state(cause, named)
    asked = None
    if state in (CauseState.OPEN, CauseState.SUGGESTED):
        asked = _decider(cause, missing, named)
    return JudgedCause(
        signature=signature.id,
        category=cause.category,
        text=cause.text(lang),
        state=state,
        because=tuple(f"{path} = {_shown(value)}" for path, value in because),
        decider=asked,
    )


def _state(cause: Cause, named: Named) -> tuple[CauseState, list[tuple[str, object]], list[str]]:
    confirm, suggest, refute = (named.holds(rule) if rule else Verdict() for rule in _rules(cause))
    if confirm.truth is True:
        # A text never proves its own cause: what only its words or numbers say is a suggestion.
        return (CauseState.CONFIRMED if _is_fact(confirm) else CauseState.SUGGESTED), list(confirm.used), []
    if refute.truth is True:
        return CauseState.REFUTED, list(refute.used), []
    if suggest.truth is True:
        return CauseState.SUGGESTED, list(suggest.used), confirm.missing
    if cause.confirm and not cause.refute and confirm.truth is False and _is_fact(confirm):
        return CauseState.REFUTED, list(confirm.used), []
    return CauseState.OPEN, list(confirm.used), confirm.missing + refute.missing


def _rules(cause: Cause) -> tuple[str, str, str]:
    return cause.confirm, cause.suggest, cause.refute


def _is_fact(verdict: Verdict) -> bool:
    """Whether something outside the text was looked at: that a text does not say a thing refutes nothing."""
    return any(not path.startswith(_OF_THE_TEXT) for path, _ in verdict.used)


def _shown(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _decider(cause: Cause, missing: list[str], named: Named) -> Decider | None:
    """The first fact the rule lacks and the command that reads it; else what a person can do."""
    for path in missing:
        if path.startswith(_OF_THE_TEXT):
            continue
        fact = _concrete(path)
        if cause.decide:
            return Decider(fact=fact, command=cause.decide)
        return decider(fact)
    if cause.decide:
        return Decider(fact="", command=cause.decide)
    return None


def _concrete(path: str) -> str:
    known = {"alloc_conf": "env.PYTORCH_CUDA_ALLOC_CONF", "gpu.arch_in_build": "torch.archs"}
    return known.get(path, path.replace("[*]", "[0]"))


def _causes(reading: ErrorReading, named: Named, lang: str) -> tuple[JudgedCause, ...]:
    """The causes of the leading signature; ranked by what the facts say, then by the order of the table."""
    if reading.leading is None:
        return ()
    signature = find_signature(reading.leading.id)
    assert signature is not None
    judged = [judge_cause(signature, cause, named, lang) for cause in signature.causes]
    return tuple(sorted(judged, key=lambda one: _RANK.index(one.state)))


def _oom_verdict(reading: ErrorReading, facts: Facts | None) -> OomVerdict | None:
    if reading.oom is None:
        return None
    verdict = classify_oom(reading.oom, facts)
    holds, reason = judge_advice(reading.oom, Named(facts, reading, verdict))
    return replace(verdict, advice_holds=holds, advice_reason=reason)


def _digest(facts: Facts | None) -> Known[str]:
    return _NO_FACTS if facts is None else hashlib.sha256(to_json(facts).encode()).hexdigest()


def _findings(
    reading: ErrorReading, facts: Facts | None, causes: tuple[JudgedCause, ...], verdict: OomVerdict | None
) -> tuple[Finding, ...]:
    """What the checks make of facts and text together; where they know nothing better, the signature's cause."""
    if reading.leading is None and reading.oom is None and facts is None:
        return ()
    errs = bool(reading.matches) or reading.oom is not None or not isinstance(reading.exception_type, Unavailable)
    found = judge(facts or Facts(captured_at=_NO_FACTS), reading if errs else None)
    if found and (found[0].category != "unknown" or dict(found[0].parameters).get("variant") not in _NOTHING_BETTER):
        return found
    own = _own_finding(reading, causes, verdict)
    if own is None:
        return found
    return (own, *(one for one in found if one.category not in ("unknown", own.category)))


def _undecided_memory(reading: ErrorReading, signature: Signature) -> Finding:
    """Memory ran out, and the numbers do not say whose it is."""
    assert reading.leading is not None
    return Finding(
        code=signature.id,
        category="unknown",
        severity=Severity.ERROR,
        confidence=Confidence.UNKNOWN,
        title=f"{signature.title('en')}.",
        consequence="The numbers do not tell what holds the memory.",
        parameters=(("signature", signature.id), ("cause", -1)),
        evidence=(_quoted(reading.leading),),
        decider=Decider(
            fact="gpu[0].process[0].used_memory_bytes",
            command="nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv",
        ),
    )


def _quoted(match: SignatureMatch) -> Evidence:
    return Evidence(path=f"error:line {match.first_line}", observed=match.excerpt, expected="", source="error text")


def _checked(finding: Finding, verdict: OomVerdict | None) -> Finding:
    """Fragmentation with the remedy that is known to hold here: the message's own advice only where it was checked."""
    if verdict is None or finding.category != "oom_fragmentation" or verdict.advice_reason == "already_on":
        return finding
    advice = f"export PYTORCH_CUDA_ALLOC_CONF={EXPANDABLE}"
    if verdict.advice_holds is True:
        remedy = advice
    elif verdict.advice_reason == "open":
        remedy = f"ilora-diag env-check --deep   # and where it offers virtual memory management: {advice}"
    else:
        remedy = "export PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:128"
    return replace(finding, remedy=remedy)


def _own_finding(reading: ErrorReading, causes: tuple[JudgedCause, ...], verdict: OomVerdict | None) -> Finding | None:
    if reading.leading is None:
        return None
    signature = find_signature(reading.leading.id)
    assert signature is not None
    best = next((cause for cause in causes if cause.state is not CauseState.REFUTED), None)
    if best is None:
        return None
    if verdict is not None and verdict.cause is OomCause.UNKNOWN and best.category.startswith("oom_"):
        return _undecided_memory(reading, signature)
    row = BY_CATEGORY.get(best.category) if best.category != "unknown" else None
    confidence = _confidence(best)
    warning = signature.rank == "warning"
    return Finding(
        code=signature.id if row is None else row.code,
        category="unknown" if row is None else row.category,
        severity=Severity.WARNING if warning else Severity.ERROR,
        confidence=confidence,
        title=f"{signature.title('en')}.",
        consequence=f"Most likely: {_english(signature, best)}.",
        parameters=(("signature", signature.id), ("cause", _index(signature, best))),
        evidence=(_quoted(reading.leading),),
        # The remedy is for the signature's first cause; with that one refuted it would be for nothing.
        remedy=signature.fix("en") if best.category == signature.causes[0].category else None,
        decider=best.decider,
    )


def _english(signature: Signature, judged: JudgedCause) -> str:
    return signature.causes[_index(signature, judged)].text("en")


def _index(signature: Signature, judged: JudgedCause) -> int:
    return next(n for n, cause in enumerate(signature.causes) if judged.text in dict(cause.texts).values())


def _confidence(cause: JudgedCause) -> Confidence:
    """Only facts confirm; what a text says of itself suggests."""
    if cause.state is CauseState.CONFIRMED:
        facts = any(not line.startswith(_OF_THE_TEXT) for line in cause.because)
        return Confidence.CONFIRMED if facts else Confidence.STRONGLY_SUGGESTED
    return Confidence.STRONGLY_SUGGESTED if cause.state is CauseState.SUGGESTED else Confidence.HYPOTHESIS
