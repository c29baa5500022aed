"""Fixed investigations: a batch too large, a setting the driver has no answer to, results kept from step to step, none.

The figures are plausible, not measured; peaks follow one small formula, so that effects and boundary agree.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ilora_diag.schema import (
    Category,
    CategoryShare,
    Confidence,
    ErrorFamily,
    Estimate,
    FailureSignature,
    Metric,
    ModuleShare,
    Skipped,
    Status,
    Trial,
    Unavailable,
)
from ilora_diag.schema.bisect import (
    Bisect,
    Boundary,
    Cause,
    CauseFactor,
    Effect,
    Factor,
    FactorKind,
    FactorScope,
    Fix,
    Guarantee,
    Level,
    Outcome,
    Purpose,
    Reproduction,
    RuledOut,
    SideEffect,
    Step,
)
from ilora_diag.schema.trial_answer import FailedRequest, GrownTensors, Holder, PeakParts, Retention
from ilora_diag.schema.trial_request import Stage

MIB, GIB = 1 << 20, 1 << 30
START = 1_763_694_060.0  # 2025-11-21 03:01:00 UTC
NOT_TRIED = Unavailable(reason="not tried", source="search")
OOM = FailureSignature(
    family=ErrorFamily.OOM_TORCH,
    stage="backward",
    top_frame="plain.py:step",
    code="CUDA out of memory. Tried to allocate SIZE.",
)
DRIVER = FailureSignature(
    family=ErrorFamily.CUDA_DRIVER,
    stage="place_llm",
    top_frame="place.py:place",
    code="CUDA driver error: operation not supported",
)
TWICE = FailureSignature(
    family=ErrorFamily.PYTHON,
    stage="backward",
    top_frame="plain.py:step",
    code="Trying to backward through the graph a second time",
)


def fixed_bisects() -> dict[str, Bisect]:
    """The records by name."""
    return {"batch": batch(), "allocator": allocator(), "leak": leak(), "not-reproduced": not_reproduced()}


@dataclass(frozen=True, slots=True)
class Run:
    """One trial in short: why, what was relaxed, how it ended, what it took."""

    purpose: Purpose
    relaxed: tuple[tuple[str, int], ...]
    status: Status
    peak_bytes: int | None
    reused: bool = False


def batch() -> Bisect:
    """OPT-125m at batch 32 and 512 tokens on a card of 15 GiB: eight samples fit."""
    factors = _batch_factors()
    runs = list(_batch_runs(factors))
    trials, steps = _numbered(runs, OOM)
    ids = {(step.purpose, step.relaxed): step.trial for step in steps}
    alone = [step for step in steps if step.purpose is Purpose.EFFECT]
    peaks = {trial.id: trial for trial in trials}
    base = _peak_of(trials[0])
    effects = tuple(
        Effect(
            factor=step.relaxed[0][0],
            level=step.relaxed[0][1],
            trial=step.trial,
            peak_reserved_bytes=_known(peaks[step.trial]),
            delta_bytes=_delta(peaks[step.trial], base),
        )
        for step in alone
    )
    fail = ids[Purpose.LEVEL, (("batch_size", 1),)]
    passed = ids[Purpose.EFFECT, (("batch_size", 2),)]
    finals = tuple(step.trial for step in steps if step.purpose is Purpose.FINAL)
    return _bisect(
        run_id="20251121-030100-7f3c",
        subject="the preset incident",
        outcome=Outcome.CAUSE_FOUND,
        signature=OOM,
        error_text="CUDA out of memory. Tried to allocate 3.07 GiB. GPU 0 has a total capacity of 14.56 GiB of which "
        "1.90 GiB is free. Process 4711 has 450.00 MiB memory in use. Including non-PyTorch memory, this process has "
        "12.22 GiB memory in use.",
        base=(("llm.preset", "opt-125m"), ("train.batch_size", 32), ("data.max_seq_len", 512)),
        requested=(("--config", "incident"), ("train.batch_size", 32)),
        factors=factors,
        steps=steps,
        trials=trials,
        cause=Cause(
            factors=(CauseFactor(name="batch_size", failing=32, passing=8, failing_level=0, passing_level=2),),
            category="batch_too_large",
            confidence=Confidence.CONFIRMED,
            reasons=("certificate", "final_repeated", "controls_stable"),
            is_sufficient=False,
        ),
        boundary=Boundary(factor="batch_size", fail=fail, pass_=passed, failing_level=1, passing_level=2),
        ruled_out=(
            RuledOut(factor="lora.r", trials=(ids[Purpose.EFFECT, (("lora.r", 3),)],)),
            RuledOut(factor="optimizer", trials=(ids[Purpose.EFFECT, (("optimizer", 1),)],)),
        ),
        side_effects=(
            SideEffect(
                factor="gradient_checkpointing",
                trial=ids[Purpose.EFFECT, (("gradient_checkpointing", 1),)],
                signature=TWICE,
                text="RuntimeError: Trying to backward through the graph a second time",
            ),
        ),
        effects=effects,
        fixes=(
            Fix(
                change="train.batch_size=8 and train.accumulation=4",
                cost="fewer_samples_a_step",
                verified_by=(passed, *finals),
                headroom_bytes=5 * GIB,
            ),
        ),
        peak=_peak_parts(),
        failed_request=FailedRequest(
            requested_bytes=int(3.07 * GIB),
            capacity_bytes=14_910 * MIB,
            free_bytes=1_946 * MIB,
            this_process_bytes=12_514 * MIB,
            other_processes_bytes=450 * MIB,
            allocated_bytes=11_900 * MIB,
            unallocated_bytes=202 * MIB,
        ),
        estimate=_estimates()["tight"],
    )


def allocator() -> Bisect:
    """Expandable segments on a card whose driver maps no virtual memory: nothing was ever allocated."""
    runs = [
        Run(Purpose.PREFLIGHT_FAIL, (), Status.SAME, None),
        Run(Purpose.PREFLIGHT_FAIL, (), Status.SAME, None),
        Run(Purpose.PREFLIGHT_FAIL, (), Status.SAME, None),
        Run(Purpose.PREFLIGHT_MILD, (("alloc_conf", 2), ("components", 2), ("batch_size", 2)), Status.OK, 210 * MIB),
        Run(Purpose.REPAIR, (("alloc_conf", 2),), Status.OK, 940 * MIB),
        Run(Purpose.SUFFICIENT, (("components", 2), ("batch_size", 2)), Status.SAME, None),
        Run(Purpose.LEVEL, (("alloc_conf", 1),), Status.OK, 940 * MIB),
        Run(Purpose.CONTROL, (), Status.SAME, None),
        Run(Purpose.FINAL, (("alloc_conf", 1),), Status.OK, 940 * MIB),
    ]
    trials, steps = _numbered(runs, DRIVER)
    return _bisect(
        run_id="20251121-041500-02ab",
        subject="the example driver-error",
        example="driver-error",
        outcome=Outcome.CAUSE_FOUND,
        signature=DRIVER,
        error_text="RuntimeError: CUDA driver error: operation not supported",
        base=(("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"), ("train.batch_size", 4)),
        requested=(("--example", "driver-error"),),
        factors=(
            _factor(
                "alloc_conf",
                FactorKind.UNORDERED,
                ("expandable_segments:True", "expandable_segments:False", "unset"),
                scope=FactorScope.ENVIRONMENT,
                category="expandable_segments",
            ),
            _factor("components", FactorKind.UNORDERED, ("both", "llm", "rec"), category="placement_tensor"),
            _factor("batch_size", FactorKind.ORDERED, ("4", "2", "1")),
        ),
        steps=steps,
        trials=trials,
        cause=Cause(
            factors=(
                CauseFactor(
                    name="alloc_conf",
                    failing="expandable_segments:True",
                    passing="expandable_segments:False",
                    failing_level=0,
                    passing_level=1,
                ),
            ),
            category="expandable_segments",
            confidence=Confidence.CONFIRMED,
            reasons=("certificate",),
            is_sufficient=True,
        ),
        boundary=Boundary(factor="alloc_conf", fail="T-01", pass_="T-07", failing_level=0, passing_level=1),
        effects=(_plain_effect("alloc_conf", 2, "T-05"), _plain_effect("alloc_conf", 1, "T-07")),
        fixes=(
            Fix(
                change="PYTORCH_CUDA_ALLOC_CONF=expandable_segments:False",
                cost="none",
                verified_by=("T-07", "T-09"),
                headroom_bytes=Unavailable(reason="the card does not tell", source="trial:T-07"),
            ),
        ),
        peak=Unavailable(reason="nothing was allocated before the failure", source="trial:T-01"),
    )


def leak() -> Bisect:
    """A script that appends its outputs, graph and all, to a list."""
    factors = (
        _factor(
            "apply.release",
            FactorKind.UNORDERED,
            ("kept", "script:history"),
            scope=FactorScope.INTERVENTION,
            category="retained_outputs",
        ),
        _factor("apply.batch_size", FactorKind.ORDERED, ("16", "8", "4", "2", "1"), scope=FactorScope.INTERVENTION),
    )
    runs = [
        Run(Purpose.PREFLIGHT_FAIL, (), Status.OOM, 15_020 * MIB),
        Run(Purpose.GROWTH, (), Status.OOM, 15_020 * MIB),
        Run(Purpose.PREFLIGHT_MILD, (("apply.release", 1), ("apply.batch_size", 4)), Status.OK, 700 * MIB),
        Run(Purpose.REPAIR, (("apply.release", 1),), Status.OK, 2_210 * MIB),
        Run(Purpose.SUFFICIENT, (("apply.batch_size", 4),), Status.OOM, 15_010 * MIB),
        Run(Purpose.FINAL, (("apply.release", 1),), Status.OK, 2_210 * MIB),
    ]
    trials, steps = _numbered(runs, OOM)
    live = tuple((1_700 + 612 * step) * MIB for step in range(1, 9))
    return _bisect(
        run_id="20251121-050000-1eaf",
        subject="finetune.py --epochs 3",
        outcome=Outcome.CAUSE_FOUND,
        signature=OOM,
        error_text="CUDA out of memory. Tried to allocate 296.00 MiB.",
        base=(("arg.--epochs", 3),),
        requested=(("script", "finetune.py"),),
        factors=factors,
        steps=steps,
        trials=trials,
        cause=Cause(
            factors=(
                CauseFactor(
                    name="apply.release", failing="kept", passing="script:history", failing_level=0, passing_level=1
                ),
            ),
            category="retained_outputs",
            confidence=Confidence.STRONGLY_SUGGESTED,
            reasons=("certificate", "no_controls"),
            is_sufficient=True,
            detail="script:history",
        ),
        boundary=Boundary(factor="apply.release", fail="T-01", pass_="T-04", failing_level=0, passing_level=1),
        effects=(
            Effect(
                factor="apply.release",
                level=1,
                trial="T-04",
                peak_reserved_bytes=2_210 * MIB,
                delta_bytes=-12_810 * MIB,
            ),
        ),
        fixes=(
            Fix(
                change="history.append(loss.item())",
                cost="none",
                verified_by=("T-04", "T-06"),
                headroom_bytes=12_700 * MIB,
            ),
        ),
        peak=Unavailable(reason="the recorder was full", source="trial:T-01"),
        retention=Retention(
            live_bytes=live,
            slope_bytes=612.0 * MIB,
            slope_error_bytes=1.5 * MIB,
            is_growing=True,
            grown=(
                GrownTensors(
                    shape=(16, 512, 50_272),
                    dtype="float32",
                    num_tensors=7,
                    size_bytes=4_284 * MIB,
                    bytes_per_step=612 * MIB,
                    module="lm_head",
                    op="aten::mm",
                    with_graph=True,
                    holder=Holder(
                        name="script:history", chain=("list of 7", "attribute logits"), where="finetune.py:41"
                    ),
                ),
            ),
            copies=(),
            frozen_with_state_bytes=0,
        ),
    )


def not_reproduced() -> Bisect:
    """Three runs, none of which failed."""
    trials, steps = _numbered([Run(Purpose.PREFLIGHT_FAIL, (), Status.OK, 940 * MIB)] * 3, OOM)
    return _bisect(
        run_id="20251121-060000-0000",
        subject="the preset incident",
        outcome=Outcome.NOT_REPRODUCED,
        signature=Unavailable(reason="nothing failed", source="search"),
        error_text="",
        base=(("train.batch_size", 2),),
        requested=(("--config", "incident"),),
        factors=_batch_factors()[:2],
        steps=steps,
        trials=trials,
        peak=Unavailable(reason="nothing failed", source="search"),
    )


def _batch_factors() -> tuple[Factor, ...]:
    return (
        _factor("batch_size", FactorKind.ORDERED, ("32", "16", "8", "4", "2", "1"), category="batch_too_large"),
        _factor("max_seq_len", FactorKind.ORDERED, ("512", "256", "128", "64"), category="sequence_too_long"),
        _factor("precision", FactorKind.ORDERED, ("fp32", "bf16")),
        _factor("gradient_checkpointing", FactorKind.BINARY, ("off", "on")),
        _factor("lora.r", FactorKind.ORDERED, ("16", "8", "4", "2")),
        _factor("optimizer", FactorKind.UNORDERED, ("adamw", "sgd"), category="optimizer_states"),
        _factor("other_processes", FactorKind.BINARY, ("450 MiB", "none"), scope=FactorScope.DEVICE),
        _factor("validation", FactorKind.BINARY, ("on", "off")),
    )


def _batch_runs(factors: tuple[Factor, ...]) -> Iterator[Run]:
    mildest = tuple((factor.name, factor.mildest) for factor in factors)
    for _ in range(3):
        yield _tried(Purpose.PREFLIGHT_FAIL, ())
    yield _tried(Purpose.PREFLIGHT_MILD, mildest)
    for factor in factors[:6]:
        alone = ((factor.name, factor.mildest),)
        if factor.name == "gradient_checkpointing":
            yield Run(Purpose.EFFECT, alone, Status.OTHER, 3_900 * MIB)
        else:
            yield _tried(Purpose.EFFECT, alone)
    yield _tried(Purpose.EFFECT, (("batch_size", 2),))
    yield _tried(Purpose.LEVEL, (("batch_size", 1),))
    yield _tried(Purpose.LEVEL, (("batch_size", 3),))
    yield replace(_tried(Purpose.CERTIFICATE, ()), reused=True)
    yield _tried(Purpose.SUFFICIENT, mildest[1:])
    yield _tried(Purpose.CONTROL, ())
    for _ in range(3):
        yield _tried(Purpose.FINAL, (("batch_size", 2),))


def _tried(purpose: Purpose, relaxed: tuple[tuple[str, int], ...]) -> Run:
    """Peak by an invented formula: what does not depend on the batch, and what falls with batch and length."""
    levels = dict(relaxed)
    samples = 32 >> levels.get("batch_size", 0)
    tokens = 512 >> levels.get("max_seq_len", 0)
    fixed = 900 - 12 * levels.get("lora.r", 0) - 70 * levels.get("optimizer", 0)
    need = (fixed + samples * tokens * 1.8) * (0.55 if levels.get("precision") else 1.0)
    capacity = 14_460 if not levels.get("other_processes") else 14_910
    fits = need <= capacity
    return Run(purpose, relaxed, Status.OK if fits else Status.OOM, int(min(need, 12_102) * MIB))


def _numbered(runs: list[Run], failure: FailureSignature) -> tuple[tuple[Trial, ...], tuple[Step, ...]]:
    trials: list[Trial] = []
    steps = []
    for run in runs:
        if run.reused:
            steps.append(Step(trial="T-01", purpose=run.purpose, relaxed=run.relaxed, reused=True))
            continue
        trials.append(_trial(len(trials) + 1, run, failure))
        steps.append(Step(trial=trials[-1].id, purpose=run.purpose, relaxed=run.relaxed, is_fresh=len(trials) < 4))
    return tuple(trials), tuple(steps)


def _trial(number: int, run: Run, failure: FailureSignature) -> Trial:
    failed = run.status is not Status.OK
    signature = TWICE if run.status is Status.OTHER else failure if failed else None
    metrics = (
        () if run.peak_bytes is None else (Metric(name="peak_reserved_bytes", value=run.peak_bytes, unit="bytes"),)
    )
    return Trial(
        id=f"T-{number:02d}",
        probe="trial",
        requested=tuple(run.relaxed),
        effective=Unavailable(reason="not asked in this record", source="fixture"),
        status=run.status,
        started_at=START + 4.0 * number,
        seconds=3.5,
        signature=signature,
        metrics=metrics,
        exit_code=0,
        fingerprint="sha256:00",
    )


def _known(trial: Trial) -> int | Unavailable:
    value = _peak_of(trial)
    return Unavailable(reason="the card does not tell", source=f"trial:{trial.id}") if value is None else value


def _peak_of(trial: Trial) -> int | None:
    return next((metric.value for metric in trial.metrics if isinstance(metric.value, int)), None)


def _delta(trial: Trial, base: int | None) -> int | Unavailable:
    value = _known(trial)
    if isinstance(value, Unavailable) or base is None:
        return Unavailable(reason="a peak is unknown", source=f"trial:{trial.id}")
    return value - base


def _plain_effect(factor: str, level: int, trial: str) -> Effect:
    unknown = Unavailable(reason="nothing was allocated in the failing trial", source="trial:T-01")
    return Effect(factor=factor, level=level, trial=trial, peak_reserved_bytes=940 * MIB, delta_bytes=unknown)


def _factor(
    name: str,
    kind: FactorKind,
    levels: tuple[str, ...],
    *,
    scope: FactorScope = FactorScope.SETTING,
    category: str = "oom_live_tensors",
) -> Factor:
    return Factor(
        name=name,
        kind=kind,
        scope=scope,
        levels=tuple(
            Level(
                name=text,
                changes=((f"train.{name}", text),) if index else (),
                change=f"{name}={text}",
                cost="none" if index == 0 else "slower",
            )
            for index, text in enumerate(levels)
        ),
        expects_monotone=kind is FactorKind.ORDERED,
        category=category,
    )


def _peak_parts() -> PeakParts:
    root = "base_model.model.model.decoder"
    layers = [(f"{root}.layers.{number}.{part}", size) for number in range(12) for part, size in _LAYER_PARTS]
    modules = [("", 8), (f"{root}.embed_tokens", 147), ("base_model.model.lm_head", 6_180), *layers]
    by_module = tuple(ModuleShare(module=name, size_bytes=size * MIB) for name, size in modules)
    total = sum(share.size_bytes for share in by_module)
    sizes = {
        Category.PARAMETER: 480 * MIB,
        Category.GRADIENT: 3 * MIB,
        Category.INPUT: MIB,
        Category.TEMPORARY: 3_070 * MIB,
    }
    sizes[Category.ACTIVATION] = total - sum(sizes.values())
    return PeakParts(
        at_failure=True,
        stage=Stage.BACKWARD,
        allocated_bytes=total,
        reserved_bytes=total + 202 * MIB,
        by_category=tuple(CategoryShare(category=category, size_bytes=size) for category, size in sizes.items()),
        by_module=by_module,
    )


_LAYER_PARTS = (("self_attn", 180), ("fc1", 128), ("activation_fn", 100), ("fc2", 40), ("final_layer_norm", 15))


def _bisect(**values: object) -> Bisect:
    """The record, with what all of them share."""
    defaults: dict[str, object] = {
        "created_at": START + 90.0,
        "tool_version": "0.1.0",
        "command": "ilora-diag bisect-oom --config incident train.batch_size=32 --device virtual:t4",
        "device": "virtual:t4",
        "fingerprint": "sha256:00",
        "effective": Unavailable(reason="not asked in this record", source="fixture"),
        "reproduction": Reproduction(num_runs=4, num_failed=4, alpha=0.05, pass_repeats=1),
        "guarantees": (Guarantee(code="one_minimal", text="1-minimal over these factors and levels."),),
        "num_untested": 1_234,
        "estimate": NOT_TRIED,
        "facts": NOT_TRIED,
        "num_trials": len(values["trials"]),  # type: ignore[arg-type]
        "skipped": (Skipped(what="other processes", reason="a virtual card has none of its own"),),
        "duration_s": 81.0,
    }
    if values["outcome"] is Outcome.NOT_REPRODUCED:
        defaults["reproduction"] = Reproduction(num_runs=3, num_failed=0, alpha=0.05, pass_repeats=1)
    return Bisect(**{**defaults, **values})  # type: ignore[arg-type]


def _estimates() -> dict[str, Estimate]:
    built: dict[str, Estimate] = runpy.run_path(str(Path(__file__).with_name("estimates.py")))["fixed_estimates"]()
    return built
