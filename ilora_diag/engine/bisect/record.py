"""The record of an investigation: what the search found, the trials, and what was found out beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ilora.config import Config, flat_settings
from ilora_diag.bisect.confidence import Assessment, of_the_machine
from ilora_diag.bisect.found import Found
from ilora_diag.engine.bisect.beside import Neighbour
from ilora_diag.engine.bisect.machine_factors import VIRTUAL
from ilora_diag.engine.bisect.oracle import TrialOracle, metric
from ilora_diag.engine.redact import redact, this_identity
from ilora_diag.hardware.gpus import find_gpu
from ilora_diag.schema.bisect import Bisect, Cause, Factor, Fix, Outcome, Purpose
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.known import Known, Settings, Unavailable, Value
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.trial import ErrorFamily, FailureSignature, Status
from ilora_diag.schema.trial_answer import PeakParts, Retention, TrialAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What an investigation stood on."""

    request: BisectRequest
    folder: Path
    command: str
    tool_version: str
    fingerprint: str
    created_at: float
    duration_s: float
    factors: tuple[Factor, ...]
    config: Config | None
    not_applicable: tuple[Skipped, ...]
    skipped: tuple[Skipped, ...]


def record_of(ground: Ground, oracle: TrialOracle, found: Found, beside: Neighbour) -> Bisect:
    """Put the record together, redacted."""
    request = ground.request
    failing = _failing_answer(oracle)
    retention = _retention(oracle)
    record = Bisect(
        run_id=ground.folder.resolve().name,
        created_at=ground.created_at,
        tool_version=ground.tool_version,
        command=ground.command,
        subject=_subject(request),
        device=request.device,
        fingerprint=ground.fingerprint,
        example=request.example,
        outcome=found.outcome,
        signature=_signature(oracle),
        error_text=failing.error.message if failing is not None and failing.error is not None else "",
        base=(*(() if ground.config is None else flat_settings(ground.config)), *request.base),
        requested=_requested(request),
        effective=failing.effective if failing is not None else Unavailable(reason="no trial told it", source="trials"),
        factors=ground.factors,
        not_applicable=ground.not_applicable,
        steps=tuple(oracle.steps),
        cause=None if found.cause is None else _told(found.cause, ground.factors, oracle, retention),
        boundary=found.boundary,
        ruled_out=found.ruled_out,
        side_effects=found.side_effects,
        effects=found.effects,
        unsure=found.unsure,
        suspects=found.suspects,
        fixes=tuple(replace(fix, headroom_bytes=_headroom(fix, request, oracle)) for fix in found.fixes),
        reproduction=found.reproduction,
        guarantees=found.guarantees,
        num_untested=_untested(ground, found),
        peak=_peak(failing),
        failed_request=None if failing is None else failing.failed_request,
        retention=retention,
        estimate=beside.estimate,
        facts=beside.facts,
        findings=beside.findings,
        num_trials=len(oracle.trials),
        trials=tuple(oracle.trials.values()),
        skipped=ground.skipped,
        duration_s=round(ground.duration_s, 3),
    )
    return redact(record, this_identity())


def _failing_answer(oracle: TrialOracle) -> TrialAnswer | None:
    """The answer of the first trial, or of the first that failed as investigated."""
    ids = [step.trial for step in oracle.steps]
    same = [name for name in ids if oracle.trials[name].status is Status.SAME]
    return next((oracle.answers[name] for name in [*same, *ids] if name in oracle.answers), None)


def _signature(oracle: TrialOracle) -> Known[FailureSignature]:
    if oracle.target is None:
        return Unavailable(reason="nothing failed", source="trials")
    return oracle.target


def _peak(failing: TrialAnswer | None) -> Known[PeakParts]:
    return Unavailable(reason="no trial told it", source="trials") if failing is None else failing.peak


def _retention(oracle: TrialOracle) -> Retention | None:
    """Of the first trial that looked for growth, most telling first: where nothing ran out it saw most steps."""
    order = sorted(oracle.steps, key=lambda step: step.purpose is not Purpose.GROWTH)
    found = (oracle.answers[step.trial].retention for step in order if step.trial in oracle.answers)
    return next((one for one in found if one is not None), None)


def _told(cause: Cause, factors: tuple[Factor, ...], oracle: TrialOracle, retention: Retention | None) -> Cause:
    """The cause with its category refined by what failed, and with what it is in words of the program."""
    by_name = {factor.name: factor for factor in factors}
    names = [one.name for one in cause.factors]
    category = cause.category
    first = by_name.get(names[0])
    if first is not None and first.name == "alloc_conf" and oracle.target is not None:
        memory = oracle.target.family not in (ErrorFamily.CUDA_DRIVER, ErrorFamily.OOM_DRIVER)
        category = "oom_fragmentation" if memory else "expandable_unsupported"
    detail = "; ".join(filter(None, (_detail(name, by_name.get(name), oracle, retention) for name in names)))
    judged = Assessment(confidence=cause.confidence, reasons=cause.reasons)
    told = of_the_machine(judged, oracle.device, _signature(oracle))
    return replace(cause, category=category, detail=detail, confidence=told.confidence, reasons=told.reasons)


def _detail(name: str, factor: Factor | None, oracle: TrialOracle, retention: Retention | None) -> str:
    if factor is None:
        return ""
    for holder, text in _held(retention):
        if name.endswith(holder):
            return text
    for answer in oracle.answers.values():
        for found in answer.opportunities:
            if found.name == name and found.count > 0 and found.detail:
                return found.detail
    return ""


def _held(retention: Retention | None) -> Iterator[tuple[str, str]]:
    """Name of a holder, and what it holds in one line."""
    if retention is None:
        return
    for grown in retention.grown:
        if not isinstance(grown.holder, Unavailable):
            shape = "x".join(map(str, grown.shape))
            chain = " <- ".join(grown.holder.chain)
            where = f" ({grown.holder.where})" if grown.holder.where else ""
            yield (
                grown.holder.name,
                f"{grown.holder.name}{where}: {grown.num_tensors} of {shape} {grown.dtype}, {chain}",
            )
    for copy in retention.copies:
        if not isinstance(copy.holder, Unavailable):
            yield copy.holder.name, f"{copy.copy_name} beside {copy.name}"


def _headroom(fix: Fix, request: BisectRequest, oracle: TrialOracle) -> Known[int]:
    """What of the virtual card is left beyond the highest peak of the trials that passed with the fix."""
    source = "trials"
    if not request.device.startswith(VIRTUAL):
        return Unavailable(reason="the CUDA context of a real card is not measured by a trial", source=source)
    context = find_gpu(request.device.removeprefix(VIRTUAL)).context_bytes.high_bytes
    left = []
    for name in fix.verified_by:
        effective, peak = oracle.trials[name].effective, metric(oracle.trials[name], "peak_reserved_bytes")
        if isinstance(effective, Unavailable) or isinstance(peak, Unavailable):
            continue
        values = dict(effective)
        total, others = values.get("card.memory_bytes"), values.get("card.other_bytes", 0)
        if isinstance(total, int) and isinstance(others, int):
            left.append(max(0, total - others - context - peak))
    return min(left) if left else Unavailable(reason="no trial told the card's memory and its peak", source=source)


def _untested(ground: Ground, found: Found) -> Known[int]:
    if found.outcome is Outcome.CANNOT_RUN or not ground.factors:
        return Unavailable(reason="no factors were searched", source="search")
    return found.num_untested


def _subject(request: BisectRequest) -> str:
    if request.script:
        return f"python {'-m ' if request.script_is_module else ''}{' '.join((request.script, *request.script_args))}"
    return " ".join((request.config or "teacher", *request.overrides))


def _requested(request: BisectRequest) -> Settings:
    typed: list[tuple[str, Value]] = [("--device", request.device)]
    if request.config:
        typed.append(("--config", request.config))
    if request.script:
        typed += [("--script", request.script), ("--args", request.script_args)]
    for text in request.overrides:
        key, _, value = text.partition("=")
        typed.append((key, value))
    return tuple(dict((*typed, *request.base)).items())
