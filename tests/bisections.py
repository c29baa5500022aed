"""Fixed investigations with folders: a cause, the driver error on a virtual card, no verdict, suspects in a script.

The figures are plausible, not measured. Trials are derived from one list of runs a record, so that journal, answers,
effects and boundary agree.
"""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ilora_diag.bisect.assemble import assemble
from ilora_diag.bisect.confidence import Assessment, of_the_machine
from ilora_diag.bisect.evidence import evidence_of_record
from ilora_diag.bisect.found import SearchOptions, State
from ilora_diag.engine.bisect_evidence import with_evidence
from ilora_diag.schema import (
    Category,
    CategoryShare,
    Confidence,
    ErrorFamily,
    Estimate,
    Evidence,
    Fact,
    Facts,
    FailureSignature,
    Finding,
    Intent,
    Metric,
    ModuleShare,
    Settings,
    Severity,
    Status,
    Trial,
    Unavailable,
    to_json,
)
from ilora_diag.schema.bisect import (
    Bisect,
    Factor,
    FactorKind,
    FactorScope,
    Level,
    Outcome,
    Purpose,
    Reproduction,
    Step,
)
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial_answer import (
    FailedRequest,
    GrownTensors,
    Holder,
    PeakParts,
    Retention,
    TrialAnswer,
    TrialEnd,
)
from ilora_diag.schema.trial_request import Stage

MIB, GIB = 1 << 20, 1 << 30
START = 1_763_694_060.0  # 2025-11-21 03:01:00 UTC
FINGERPRINT = "sha256:5d1e0c3a"
OOM_TEXT = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 148.00 MiB. GPU 0 has a total capacity of 14.56 GiB "
    "of which 72.75 MiB is free. Process 4242 has 14.00 GiB memory in use. Including non-PyTorch memory, this process "
    "has 500.00 MiB memory in use. Of the allocated memory 335.10 MiB is allocated by PyTorch, and 2.90 MiB is "
    "reserved by PyTorch but unallocated."
)
DRIVER_TEXT = "RuntimeError: CUDA driver error: operation not supported"
NO_ESTIMATE = Unavailable(reason="the failure is no matter of memory", source="estimate")
NO_PEAK = Unavailable(reason="nothing was put on the card", source="trial answer")
NO_FACTS = Unavailable(reason="not collected", source="env-check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One trial as it is written down here."""

    purpose: Purpose
    relaxed: tuple[tuple[str, int], ...]
    status: Status = Status.SAME
    peak_mib: int | None = None
    seconds: float = 2.3
    is_fresh: bool = False
    signature: FailureSignature | None = None
    reason: str = ""


def fixed_bisections() -> dict[str, Bisect]:
    """The records by name."""
    return {"others": others(), "driver": driver(), "outside": outside(), "leak": leak()}


def others() -> Bisect:
    """The second incident: a small step on a card on which others hold 14 GiB. Every factor alone, then the proof."""
    factors = (
        _factor("other_processes", "oom_other_process", ("14.0 GiB", "0 B"), "device.other_bytes", (0,),
                ("end the other processes on the card (nvidia-smi)",), cost="somebody_elses",
                kind=FactorKind.BINARY, scope=FactorScope.DEVICE),
        _factor("alloc_conf", "oom_fragmentation", ("unset", "expandable_segments:True"), "env.PYTORCH_CUDA_ALLOC_CONF",
                ("expandable_segments:True",), ("export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",),
                kind=FactorKind.BINARY, scope=FactorScope.ENVIRONMENT, monotone=False),
        _factor("checkpointing", "reentrant_checkpoint", ("true", "false"), "train.gradient_checkpointing", (False,),
                ("train.gradient_checkpointing=false",), kind=FactorKind.BINARY, is_mitigation=True),
        _factor("batch_size", "batch_too_large", ("2", "1"), "train.batch_size", (1,), ("train.batch_size=1",),
                cost="fewer_samples_a_step"),
        _factor("seq_len", "sequence_too_long", ("128", "64", "32"), "data.max_seq_len", (64, 32),
                ("data.max_seq_len=64", "data.max_seq_len=32"), cost="shorter_history"),
        _factor("lora_rank", "oom_live_tensors", ("8", "4"), "lora.r", (4,), ("lora.r=4",), cost="less_capacity"),
        _factor("precision", "oom_live_tensors", ("fp32", "bf16", "fp16"), "train.precision", ("bf16", "fp16"),
                ("train.precision=bf16", "train.precision=fp16"), cost="rounded_weights", kind=FactorKind.UNORDERED),
    )  # fmt: skip
    mildest = tuple((factor.name, factor.mildest) for factor in factors)
    only = (("other_processes", 1),)
    runs = [
        *(Run(purpose=Purpose.PREFLIGHT_FAIL, relaxed=(), seconds=9.1 - 3 * (n > 0)) for n in range(3)),
        Run(purpose=Purpose.PREFLIGHT_MILD, relaxed=mildest, status=Status.OK, peak_mib=420, seconds=2.9),
        Run(purpose=Purpose.EFFECT, relaxed=only, status=Status.OK, peak_mib=964),
        *(
            Run(purpose=Purpose.EFFECT, relaxed=((factor.name, factor.mildest),), is_fresh=factor.name == "alloc_conf")
            for factor in factors[1:]
            if factor.name != "precision"
        ),
        Run(purpose=Purpose.EFFECT, relaxed=(("precision", 2),), status=Status.INVALID,
            reason="train.precision=fp16: allowed with train.loop=plain only"),
        Run(purpose=Purpose.CONTROL, relaxed=()),
        Run(purpose=Purpose.SUFFICIENT, relaxed=tuple(item for item in mildest if item[0] != "other_processes")),
        *(Run(purpose=Purpose.FINAL, relaxed=only, status=Status.OK, peak_mib=964, seconds=8.8, is_fresh=True)
          for _ in range(3)),
        Run(purpose=Purpose.CONTROL, relaxed=(), is_fresh=True, seconds=8.7),
    ]  # fmt: skip
    signature = FailureSignature(
        family=ErrorFamily.OOM_TORCH, stage="forward", top_frame="plain.py:run", code="OutOfMemoryError"
    )
    base = (
        ("llm.preset", "opt-125m"), ("train.batch_size", 2), ("data.max_seq_len", 128), ("lora.r", 8),
        ("train.gradient_checkpointing", True), ("train.precision", "fp32"), ("device.other_bytes", 14 * GIB),
    )  # fmt: skip
    effective = (
        *base[:-1], ("version.torch", "2.13.0+cpu"), ("version.cuda", None), ("card.name", "Tesla T4"),
        ("card.is_virtual", True), ("card.memory_bytes", 15_634_661_376), ("card.other_bytes", 14 * GIB),
        ("env.PYTORCH_CUDA_ALLOC_CONF", None), ("allocator.expandable_segments", False), ("attention.backend", "sdpa"),
        ("precision", "fp32"), ("checkpointing", "non-reentrant"),
    )  # fmt: skip
    trials, steps = _trials(runs, signature, base, effective, factors)
    peak = PeakParts(
        at_failure=True,
        stage=Stage.FORWARD,
        allocated_bytes=351_376_384,
        reserved_bytes=354_418_688,
        by_category=(
            CategoryShare(category=Category.PARAMETER, size_bytes=343_932_928),
            CategoryShare(category=Category.ACTIVATION, size_bytes=7_443_456),
        ),
        by_module=(
            ModuleShare(module="llm.model.decoder.embed_tokens", size_bytes=154_451_968),
            ModuleShare(module="llm.model.decoder.layers.0.fc1", size_bytes=196_924_416),
        ),
    )
    request = FailedRequest(
        requested_bytes=148 * MIB,
        capacity_bytes=15_634_661_376,
        free_bytes=76_283_904,
        this_process_bytes=500 * MIB,
        other_processes_bytes=14 * GIB,
        allocated_bytes=351_376_384,
        unallocated_bytes=3_042_304,
    )
    return _record(
        "others",
        subject="incident train.batch_size=2",
        signature=signature,
        error_text=OOM_TEXT,
        base=base,
        requested=(("--config", "incident"), ("train.batch_size", 2), ("device.other_bytes", 14 * GIB)),
        effective=effective,
        factors=factors,
        not_applicable=(
            Skipped(what="kv_cache", reason="our trainer calls the model with use_cache=False"),
            Skipped(what="padding", reason="batches are padded to their longest sample"),
        ),
        steps=steps,
        trials=trials,
        found=State(pass_repeats=1, outcome=Outcome.CAUSE_FOUND, repair={"other_processes": 1}, last="other_processes"),
        peak=peak,
        failed_request=request,
        estimate=_estimate(),
        findings=(_full_card(),),
        facts=_facts(),
        duration_s=74.9,
    )


def driver() -> Bisect:
    """The first incident: expandable segments on a card without virtual memory management, among three factors."""
    on = "expandable_segments:True"
    factors = (
        _factor("alloc_conf", "expandable_unsupported", (on, "unset", "expandable_segments:False"),
                "env.PYTORCH_CUDA_ALLOC_CONF", (None, "expandable_segments:False"),
                ("unset PYTORCH_CUDA_ALLOC_CONF", "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:False"),
                kind=FactorKind.UNORDERED, scope=FactorScope.ENVIRONMENT, monotone=False, is_mitigation=True),
        _factor("components", "placement_tensor", ("both", "llm", "rec"), "parts.components", ("llm", "rec"),
                ("parts.components=llm", "parts.components=rec"), cost="not_the_training", kind=FactorKind.UNORDERED,
                scope=FactorScope.STRUCTURE),
        _factor("batch_size", "batch_too_large", ("32", "16", "8", "4", "2", "1"), "train.batch_size",
                (16, 8, 4, 2, 1), tuple(f"train.batch_size={n}" for n in (16, 8, 4, 2, 1)),
                cost="fewer_samples_a_step"),
    )  # fmt: skip
    off = (("alloc_conf", 1),)
    runs = [
        *(Run(purpose=Purpose.PREFLIGHT_FAIL, relaxed=(), seconds=4.9, is_fresh=True) for _ in range(3)),
        Run(purpose=Purpose.PREFLIGHT_MILD, relaxed=(("alloc_conf", 2), ("components", 2), ("batch_size", 5)),
            status=Status.OK, peak_mib=22, seconds=4.6, is_fresh=True),
        Run(purpose=Purpose.REPAIR, relaxed=(("alloc_conf", 2),), status=Status.OK, peak_mib=5_180, seconds=6.1,
            is_fresh=True),
        Run(purpose=Purpose.LEVEL, relaxed=off, status=Status.OK, peak_mib=5_180, seconds=6.0, is_fresh=True),
        Run(purpose=Purpose.CONTROL, relaxed=(), seconds=4.8),
        Run(purpose=Purpose.SUFFICIENT, relaxed=(("components", 2), ("batch_size", 5)), seconds=4.4),
        *(Run(purpose=Purpose.FINAL, relaxed=off, status=Status.OK, peak_mib=5_180, seconds=6.2, is_fresh=True)
          for _ in range(3)),
        Run(purpose=Purpose.CONTROL, relaxed=(), seconds=4.8, is_fresh=True),
    ]  # fmt: skip
    signature = FailureSignature(
        family=ErrorFamily.CUDA_DRIVER, stage="place_rec", top_frame="model.py:place", code="operation not supported"
    )
    base = (
        ("llm.preset", "opt-125m"), ("train.batch_size", 32), ("env.PYTORCH_CUDA_ALLOC_CONF", on),
        ("device.vmm", False),
    )  # fmt: skip
    effective = (
        *base[:2], ("version.torch", "2.13.0+cpu"), ("card.name", "NVIDIA A10"), ("card.is_virtual", True),
        ("card.vmm", False), ("env.PYTORCH_CUDA_ALLOC_CONF", on), ("allocator.expandable_segments", True),
    )  # fmt: skip
    trials, steps = _trials(runs, signature, base, effective, factors)
    return _record(
        "driver",
        example="driver-error",
        subject="incident train.batch_size=32",
        device="virtual:a10",
        command="ilora-diag bisect-oom --example driver-error",
        signature=signature,
        error_text=DRIVER_TEXT,
        base=base,
        requested=(("train.batch_size", 32), ("env.PYTORCH_CUDA_ALLOC_CONF", on)),
        effective=effective,
        factors=factors,
        steps=steps,
        trials=trials,
        found=State(pass_repeats=1, outcome=Outcome.CAUSE_FOUND, repair={"alloc_conf": 1}, last="alloc_conf"),
        peak=NO_PEAK,
        estimate=NO_ESTIMATE,
        facts=NO_FACTS,
        duration_s=58.7,
    )  # fmt: skip


def outside() -> Bisect:
    """Even the mildest configuration fails in the same way: no cause among the factors."""
    factors = (
        _factor("batch_size", "batch_too_large", ("4", "2", "1"), "train.batch_size", (2, 1),
                ("train.batch_size=2", "train.batch_size=1"), cost="fewer_samples_a_step"),
        _factor("seq_len", "sequence_too_long", ("128", "64"), "data.max_seq_len", (64,), ("data.max_seq_len=64",),
                cost="shorter_history"),
    )  # fmt: skip
    runs = [
        *(Run(purpose=Purpose.PREFLIGHT_FAIL, relaxed=()) for _ in range(3)),
        Run(purpose=Purpose.PREFLIGHT_MILD, relaxed=(("batch_size", 2), ("seq_len", 1))),
        Run(purpose=Purpose.FIRST_TOUCH, relaxed=(), status=Status.SAME, is_fresh=True, seconds=4.0),
    ]
    signature = FailureSignature(
        family=ErrorFamily.CUDA_RUNTIME, stage="cuda_init", top_frame="device.py:open_device", code="no CUDA GPUs"
    )
    base = (("llm.preset", "smollm2-135m"), ("train.batch_size", 4))
    effective = (("version.torch", "2.13.0"),)
    trials, steps = _trials(runs, signature, base, effective, factors)
    return _record(
        "outside",
        subject="teacher train.batch_size=4",
        device="cuda",
        command="ilora-diag bisect-oom train.batch_size=4",
        signature=signature,
        error_text="RuntimeError: No CUDA GPUs are available",
        base=base,
        requested=(("train.batch_size", 4),),
        effective=effective,
        factors=factors,
        steps=steps,
        trials=trials,
        found=State(pass_repeats=1, outcome=Outcome.OUTSIDE_FACTORS),
        peak=NO_PEAK,
        estimate=Unavailable(reason="the failure is no matter of memory", source="estimate"),
        facts=NO_FACTS,
        skipped=(Skipped(what="figures/peak.svg", reason="matplotlib is not installed"),),
        duration_s=13.4,
    )


def leak() -> Bisect:
    """A script of somebody's that keeps every loss with its graph; flaky, so a hundred per cent is never claimed."""
    factors = (
        _factor("release script:history", "retained_graph", ("kept", "let go"), "apply.release", (("script:history",),),
                ("apply.release=[script:history]",), kind=FactorKind.BINARY, scope=FactorScope.INTERVENTION),
        _factor("batch-size", "batch_too_large", ("16", "8", "4"), "arg.--batch-size", (8, 4),
                ("--batch-size 8", "--batch-size 4"), cost="fewer_samples_a_step"),
    )  # fmt: skip
    runs = [
        Run(purpose=Purpose.PREFLIGHT_FAIL, relaxed=()),
        Run(purpose=Purpose.PREFLIGHT_FAIL, relaxed=(), status=Status.OK, peak_mib=14_900),
        Run(purpose=Purpose.PREFLIGHT_FAIL, relaxed=()),
        Run(purpose=Purpose.PREFLIGHT_MILD, relaxed=(("release script:history", 1), ("batch-size", 2)),
            status=Status.OK, peak_mib=2_100),
        Run(purpose=Purpose.GROWTH, relaxed=()),
        Run(purpose=Purpose.REPAIR, relaxed=(("batch-size", 2),), status=Status.CONTAMINATED, peak_mib=9_000,
            reason="other processes held 2048 MiB more after the trial; it ended as ok"),
        Run(purpose=Purpose.REPAIR, relaxed=(("release script:history", 1),), status=Status.OK, peak_mib=2_400),
    ]  # fmt: skip
    signature = FailureSignature(
        family=ErrorFamily.OOM_TORCH, stage="step_3", top_frame="train.py:step", code="OutOfMemoryError"
    )
    base = (("arg.--batch-size", 16),)
    effective = (("version.torch", "2.13.0"), ("card.name", "NVIDIA A10G"))
    trials, steps = _trials(runs, signature, base, effective, factors)
    holder = Holder(name="script:history", chain=("list of 12", "grad_fn AddmmBackward0"), where="train.py:41")
    retention = Retention(
        live_bytes=tuple(1_200 * MIB + 230 * MIB * n for n in range(5)),
        slope_bytes=230.0 * MIB,
        slope_error_bytes=0.4 * MIB,
        is_growing=True,
        grown=(
            GrownTensors(shape=(16, 128, 768), dtype="float32", num_tensors=48, size_bytes=4 * 230 * MIB,
                         bytes_per_step=230 * MIB, module="model.decoder.layers", op="aten.addmm", with_graph=True,
                         holder=holder),
        ),
        copies=(),
        frozen_with_state_bytes=0,
    )  # fmt: skip
    return _record(
        "leak",
        subject="python train.py --batch-size 16",
        device="cuda",
        command="ilora-diag bisect-oom --device cuda -- train.py --batch-size 16",
        signature=signature,
        error_text="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 96.00 MiB.",
        base=base,
        requested=base,
        effective=effective,
        factors=factors,
        steps=steps,
        trials=trials,
        found=State(pass_repeats=3, outcome=Outcome.SUSPECTS, suspects=("release script:history", "batch-size")),
        peak=Unavailable(reason="nothing was put on the card", source="trial answer"),
        retention=retention,
        estimate=Unavailable(reason="a script is not estimated before it runs", source="estimate"),
        facts=NO_FACTS,
        duration_s=31.2,
    )


def write_folder(bisect: Bisect, folder: Path) -> Bisect:
    """Write journal and trials of an investigation as the command leaves them; the record comes back with the files."""
    lines = []
    for trial in bisect.trials:
        intent = Intent(id=trial.id, probe=trial.probe, requested=trial.requested, started_at=trial.started_at,
                        fingerprint=trial.fingerprint)  # fmt: skip
        lines += [to_json(intent), to_json(trial)]
        path = folder / "trials" / trial.id / "answer.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(_answer(bisect, trial), indent=2) + "\n", encoding="utf-8")
    (folder / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return with_evidence(bisect, folder)


def _answer(bisect: Bisect, trial: Trial) -> TrialAnswer:
    failed = trial.status is not Status.OK
    first = trial.id == bisect.steps[0].trial
    error = ScriptError(type="Error", message=bisect.error_text.partition(": ")[2], traceback="")
    effective: Settings = () if isinstance(trial.effective, Unavailable) else trial.effective
    return TrialAnswer(
        id=trial.id,
        end=TrialEnd.FAILED if failed else TrialEnd.PASSED,
        stage=Stage.FORWARD if failed else Stage.DONE,
        steps_done=0 if failed else 3,
        error=error if failed else None,
        stages=(),
        effective=effective,
        metrics=trial.metrics,
        peak=bisect.peak if first else NO_PEAK,
        failed_request=bisect.failed_request if first else None,
        retention=bisect.retention if any(
            step.trial == trial.id and step.purpose is Purpose.GROWTH for step in bisect.steps
        ) else None,
    )  # fmt: skip


def _record(name: str, *, found: State, **values: Any) -> Bisect:
    """A record whose claims are those that the trials bear out."""
    device = values.pop("device", "virtual:t4")
    command = values.pop("command", f"ilora-diag bisect-oom --config incident --device {device}")
    blank = Bisect(
        run_id=f"20251121-030100-{name}",
        created_at=START,
        tool_version="0.1.0",
        command=command,
        device=device,
        fingerprint=FINGERPRINT,
        num_trials=len(values["trials"]),
        report=f"reports/runs/20251121-030100-{name}/report.md",
        outcome=Outcome.INTERRUPTED,
        reproduction=Reproduction(num_runs=0, num_failed=0, alpha=0.05, pass_repeats=1),
        num_untested=0,
        **values,
    )
    made = assemble(evidence_of_record(blank), blank.steps, blank.factors, found, SearchOptions())
    return _of_the_machine(replace(blank, **{field.name: getattr(made, field.name) for field in fields(made)}))


def _of_the_machine(record: Bisect) -> Bisect:
    if record.cause is None:
        return record
    judged = Assessment(confidence=record.cause.confidence, reasons=record.cause.reasons)
    told = of_the_machine(judged, record.device, record.signature)
    return replace(record, cause=replace(record.cause, confidence=told.confidence, reasons=told.reasons))


def _factor(
    name: str,
    category: str,
    names: Sequence[str],
    key: str,
    values: Sequence[object],
    changes: Sequence[str],
    *,
    cost: str = "none",
    kind: FactorKind = FactorKind.ORDERED,
    scope: FactorScope = FactorScope.SETTING,
    monotone: bool = True,
    is_mitigation: bool = False,
) -> Factor:
    levels = [Level(name=names[0], changes=(), change="", cost="none")]
    for level, value, change in zip(names[1:], values, changes, strict=True):
        levels.append(Level(name=level, changes=((key, value),), change=change, cost=cost))  # type: ignore[arg-type]
    return Factor(name=name, kind=kind, scope=scope, levels=tuple(levels), expects_monotone=monotone,
                  category=category, is_mitigation=is_mitigation)  # fmt: skip


def _trials(
    runs: Sequence[Run], signature: FailureSignature, base: Settings, effective: Settings, factors: Sequence[Factor]
) -> tuple[tuple[Trial, ...], tuple[Step, ...]]:
    by_name = {factor.name: factor for factor in factors}
    trials, steps, now = [], [], START + 2.0
    for number, run in enumerate(runs, start=1):
        changed = {key: value for name, level in run.relaxed for key, value in by_name[name].levels[level].changes}
        trial_id = f"T-{number:02d}"
        metrics = (
            () if run.peak_mib is None
            else (Metric(name="peak_reserved_bytes", value=run.peak_mib * MIB, unit="bytes"),)
        )  # fmt: skip
        trials.append(
            Trial(
                id=trial_id,
                probe="trial",
                requested=tuple({**dict(base), **changed}.items()),
                effective=tuple((key, _in_force(key, value, changed)) for key, value in effective),
                status=run.status,
                reason=run.reason,
                signature=(run.signature or signature) if run.status is Status.SAME else run.signature,
                metrics=metrics,
                started_at=now,
                seconds=run.seconds,
                exit_code=0,
                journal=f"trials/{trial_id}/answer.json",
                fingerprint=FINGERPRINT,
            )
        )
        steps.append(Step(trial=trial_id, purpose=run.purpose, relaxed=run.relaxed, is_fresh=run.is_fresh))
        now += run.seconds + 0.2
    return tuple(trials), tuple(steps)


def _in_force(key: str, value: object, changed: dict[str, object]) -> Any:
    """A value as the trial finds it: the card's are set under `device.`, and the allocator follows its variable."""
    if key == "allocator.expandable_segments" and "env.PYTORCH_CUDA_ALLOC_CONF" in changed:
        return changed["env.PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    return changed.get(key.replace("card.", "device."), value)


def _peak(trials: Sequence[Trial], trial_id: str) -> int | Unavailable:
    trial = next(trial for trial in trials if trial.id == trial_id)
    values = [metric.value for metric in trial.metrics if metric.name == "peak_reserved_bytes"]
    found = values[0] if values else Unavailable(reason="it ended before its peak", source=trial_id)
    assert isinstance(found, (int, Unavailable))
    return found


def _status(trials: Sequence[Trial], trial_id: str) -> Status:
    return next(trial.status for trial in trials if trial.id == trial_id)


def _estimate() -> Estimate:
    module = runpy.run_path(str(Path(__file__).parent / "estimates.py"))
    estimate: Estimate = module["opt_on_four_cards"]()
    return estimate


def _full_card() -> Finding:
    return Finding(
        code="MEM004",
        category="oom_other_process",
        severity=Severity.ERROR,
        confidence=Confidence.STRONGLY_SUGGESTED,
        title="Others hold the card's memory: of 14.6 GiB, 72.8 MiB are free, and 148 MiB were needed.",
        consequence="A process that starts here fails before its first tensor, or at a size that fits elsewhere.",
        parameters=(("capacity", "14.6 GiB"), ("free", "72.8 MiB"), ("requested", "148 MiB")),
        evidence=(
            Evidence(path="error.text", observed="Process 4242 has 14.00 GiB in use", expected="", source="error"),
        ),
        remedy="nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv",
    )  # fmt: skip


def _facts() -> Facts:
    return Facts(
        captured_at=START,
        facts=(
            Fact(path="driver.version", value="535.161.08", source="NVML"),
            Fact(path="driver.cuda_version", value="12.2", source="NVML"),
            Fact(path="torch.version", value="2.13.0+cpu", source="package metadata"),
            Fact(path="gpu[0].name", value=Unavailable(reason="there is no /proc/driver/nvidia", source="host"),
                 source="host"),
        ),
    )  # fmt: skip
