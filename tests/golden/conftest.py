"""Three fixed reports: one healthy, one of a trainer that ran out of memory, one of which hardly anything is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.schema import (
    Artefact,
    BadRow,
    Checkpoint,
    DataSummary,
    DeviceMemory,
    ErrorFamily,
    EvalMetric,
    FailureSignature,
    Known,
    Metric,
    ModelSummary,
    Phase,
    RecEpoch,
    Report,
    Status,
    Step,
    TrainerEnvironment,
    TrainError,
    TrainOutcome,
    TrainPlan,
    TrainRun,
    TrainState,
    Trial,
    Unavailable,
    ValLoss,
)

MIB = 1 << 20
START = 1_763_694_060.0  # 2025-11-21 03:01:00 UTC
NO_CUDA = Unavailable(reason="the run used no CUDA device", source="runlog:phase.device")
NO_FACTS = Unavailable(reason="train records the trainer's environment only", source="ilora-diag train")


def pytest_addoption(parser: pytest.Parser) -> None:
    # Known only where this folder is named on the command line, as in `pytest tests/golden --golden-update`.
    parser.addoption("--golden-update", action="store_true", help="rewrite the golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file that is reviewed when it changes."""
    folder = Path(__file__).parent / "expected"
    update = bool(request.config.getoption("--golden-update", default=False))

    def check(name: str, text: str) -> None:
        path = folder / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: pytest tests/golden --golden-update writes it"
        assert text == path.read_text(encoding="utf-8"), f"{name} changed: review the diff of --golden-update"

    return check


@pytest.fixture
def fixed_reports() -> dict[str, Report]:
    return {"healthy": healthy(), "oom": out_of_memory(), "bare": bare()}


def healthy() -> Report:
    steps = tuple(_step(number) for number in range(1, 81))
    run = TrainRun(
        run_id="20251121-030100-7f3c",
        started_at=START,
        ended_at=START + 412.5,
        num_attempts=1,
        requested=(
            ("--config", "teacher"),
            ("--device", "auto"),
            ("train.max_steps", 80),
            ("train.precision", "auto"),
            ("eval.max_samples", 200),
        ),
        effective=(
            ("stage", "teacher"),
            ("data.source", "ml-100k"),
            ("llm.preset", "smollm2-135m"),
            ("lora.target_modules", ("q_proj", "v_proj")),
            ("llm.name", None),
            ("train.max_steps", 80),
            ("train.precision", "fp32"),
            ("train.gradient_checkpointing", False),
            ("eval.max_samples", 200),
            ("--device", "cpu"),
        ),
        environment=_environment(),
        data=_data(),
        model=_model(),
        plan=TrainPlan(max_steps=80, start_step=0, tokens_per_batch=1312.0),
        phases=tuple(
            _phase(name, offset, seconds, rss)
            for name, offset, seconds, rss in (
                ("import", 0.0, 6.1, 480),
                ("data", 6.2, 1.4, 560),
                ("train_rec", 7.7, 38.0, 690),
                ("load_llm", 45.8, 4.2, 1240),
                ("build", 50.1, 0.6, 1262),
                ("train", 50.8, 287.0, 3320),
                ("eval", 338.0, 74.2, 3411),
            )
        ),
        steps=steps,
        metrics=(
            _rate("hr1_generation", 62, 200, 0.05, "correct / all samples"),
            _rate("valid_ratio", 187, 200, None, "answers that name exactly one candidate / all samples"),
            _rate("hr1_scoring", 71, 200, 0.05, "the most likely of the candidate titles is the target / all samples"),
            EvalMetric(
                name="ndcg@10",
                value=0.187,
                low=_null("low"),
                high=_null("high"),
                num_samples=200,
                num_correct=_null("num_correct"),
                chance=_null("chance"),
                split="test",
                note="rank over the catalogue",
            ),
        ),
        outcome=TrainOutcome(state=TrainState.FINISHED, last_phase="eval", resume_from="checkpoints/step-000080"),
        val_losses=(ValLoss(step=40, loss=2.31, num_samples=32), ValLoss(step=80, loss=2.12, num_samples=32)),
        rec_epochs=tuple(
            RecEpoch(epoch=n, loss=6.9 * math.exp(-n / 9) + 0.6, val_hr1=0.42 * (1 - math.exp(-n / 5)), seconds=3.1)
            for n in range(1, 13)
        ),
        checkpoints=(
            Checkpoint(step=40, path="checkpoints/step-000040"),
            Checkpoint(step=80, path="checkpoints/step-000080"),
        ),
        artefacts=(
            Artefact(kind="recommender", path="recommender.safetensors"),
            Artefact(kind="predictions", path="predictions.jsonl"),
        ),
        warnings=("llm: 2 special tokens were added | the table was resized",),
    )
    trial = Trial(
        id="T-01",
        probe="train",
        requested=(
            ("--config", "teacher"),
            ("--device", "auto"),
            ("train.max_steps", 80),
            ("eval.max_samples", 200),
            ("--run-dir", "reports/runs/20251121-030100-7f3c"),
        ),
        effective=run.effective,
        status=Status.OK,
        started_at=START,
        seconds=412.9,
        metrics=_derived(steps, first=3.41, last=2.02),
        exit_code=0,
        journal="runlog.jsonl",
    )
    return _report(run, trial)


def out_of_memory() -> Report:
    device = DeviceMemory(
        allocated_bytes=15_200 * MIB,
        reserved_bytes=15_900 * MIB,
        peak_allocated_bytes=15_600 * MIB,
        peak_reserved_bytes=15_900 * MIB,
    )
    steps = tuple(replace(_step(number), device=device) for number in range(1, 4))
    message = (
        "CUDA out of memory. Tried to allocate 148.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 61.75 MiB "
        "is free. Including non-PyTorch memory, this process has 15.70 GiB memory in use."
    )
    traceback = (
        'Traceback (most recent call last):\n  File "~/src/ilora/loops/plain.py", line 31, in run\n'
        '    loss = teacher(batch)\n  File "~/src/ilora/model.py", line 120, in forward\n'
        f"torch.OutOfMemoryError: {message}\n"
    )
    begun = Unavailable(reason="the phase train did not end", source="runlog:phase.seconds")
    healthy_run = healthy().train
    assert healthy_run is not None
    run = replace(
        healthy_run,
        run_id="20251121-041500-02ab",
        requested=(("--config", "incident"), ("--device", "cuda"), ("train.batch_size", 32)),
        effective=(("llm.preset", "opt-125m"), ("train.batch_size", 32), ("--device", "cuda")),
        plan=TrainPlan(max_steps=80, start_step=0, tokens_per_batch=Unavailable(reason="not logged", source="runlog")),
        environment=replace(
            _environment(),
            device="cuda",
            device_name="Tesla V100-PCIE-16GB",
            torch_cuda="12.8",
            precision_effective="fp32",
        ),
        phases=(
            replace(_phase("build", 12.0, 0.6, 1262), device=device),
            replace(_phase("train", 12.6, 0.0, 2100), seconds=begun, device=device),
        ),
        steps=steps,
        metrics=Unavailable(reason="nothing was evaluated; the last phase was train", source="runlog:metric"),
        outcome=TrainOutcome(
            state=TrainState.FAILED,
            last_phase="train",
            resume_from=_no_checkpoint(),
            error=TrainError(phase="train", type="OutOfMemoryError", message=message, traceback=traceback),
        ),
        val_losses=(),
        rec_epochs=(),
        checkpoints=(),
        warnings=(),
        artefacts=(Artefact(kind="recommender", path="recommender.safetensors"),),
    )
    trial = Trial(
        id="T-01",
        probe="train",
        requested=(
            ("--config", "incident"),
            ("--device", "cuda"),
            ("train.batch_size", 32),
            ("--run-dir", "~/runs/v100"),
        ),
        effective=run.effective,
        status=Status.OOM,
        started_at=START,
        seconds=31.4,
        reason="exit code 1",
        signature=FailureSignature(
            family=ErrorFamily.OOM_TORCH,
            stage="train",
            top_frame="model.py:forward",
            code="CUDA out of memory. Tried to allocate SIZE.",
        ),
        metrics=_derived(steps, first=3.44, last=3.38),
        exit_code=1,
        stderr_tail="\x1b[31mUserWarning\x1b[0m: `torch_dtype` is deprecated | use ```dtype```\n",
        journal="runlog.jsonl",
    )
    return _report(run, trial)


def bare() -> Report:
    """The trainer was killed before it wrote a word."""
    silent = Unavailable(reason="no phase began", source="runlog.jsonl")
    timeless = Unavailable(reason="the run log has no event with a time", source="runlog.jsonl")
    run = TrainRun(
        run_id="20251121-050000-dead",
        started_at=timeless,
        ended_at=timeless,
        num_attempts=0,
        requested=Unavailable(reason="there is no config.requested.yaml", source="config.requested.yaml"),
        effective=Unavailable(reason="there is no config.effective.yaml", source="config.effective.yaml"),
        environment=_absent("environment"),
        data=_absent("data"),
        model=_absent("model"),
        plan=_absent("train_begin"),
        phases=(),
        steps=Unavailable(reason="no step was logged; no phase began", source="runlog.jsonl"),
        metrics=Unavailable(reason="nothing was evaluated; no phase began", source="runlog.jsonl"),
        outcome=TrainOutcome(state=TrainState.CUT_OFF, last_phase=silent, resume_from=_no_checkpoint()),
    )
    trial = Trial(
        id="T-01",
        probe="train",
        requested=(),
        effective=Unavailable(reason="there is no config.effective.yaml", source="config.effective.yaml"),
        status=Status.CRASHED,
        started_at=START,
        seconds=0.4,
        reason="killed by SIGKILL",
        signature=FailureSignature(family=ErrorFamily.SIGNAL, stage=silent, top_frame=silent, code="SIGKILL"),
        signal="SIGKILL",
    )
    return _report(run, trial)


def _report(run: TrainRun, trial: Trial) -> Report:
    return Report(
        run_id=run.run_id,
        kind="train",
        created_at=START + 500,
        tool_version="0.1.0",
        facts=NO_FACTS,
        trials=(trial,),
        train=run,
    )


def _environment() -> TrainerEnvironment:
    return TrainerEnvironment(
        python="3.11.7",
        torch="2.13.0",
        torch_cuda=None,
        transformers="5.23.0",
        peft="0.21.2",
        lightning="2.6.6",
        platform="Linux-6.1-x86_64",
        cpu_count=2,
        num_threads=2,
        device="cpu",
        device_name="x86_64",
        precision_effective="fp32",
    )


def _data() -> DataSummary:
    return DataSummary(
        source="ml-100k",
        licence="MovieLens: research use, no redistribution",
        num_users=943,
        num_items=1682,
        num_interactions=100_000,
        rows=(("train", 94_285), ("val", 943), ("test", 943)),
        num_bad_rows=3,
        bad_rows=(
            BadRow(file="ml-100k.item", line=267, reason="item without title"),
            BadRow(file="ml-100k.item", line=1358, reason="title is `<script>alert('|')</script>`"),
        ),
    )


def _model() -> ModelSummary:
    return ModelSummary(
        llm="SmolLM2-135M (smollm2-135m.gguf)",
        dtype="float32",
        num_parameters=136_241_216,
        num_trainable=1_726_528,
        trainable_by_group=(("adapters", 1_327_104), ("gates", 36_352), ("projector", 363_072)),
    )


def _phase(name: str, offset: float, seconds: float, rss_mib: int) -> Phase:
    return Phase(
        name=name,
        attempt=1,
        started_at=START + offset,
        seconds=seconds,
        rss_bytes=rss_mib * MIB,
        rss_peak_bytes=(rss_mib + 96) * MIB,
        device=NO_CUDA,
    )


def _step(number: int) -> Step:
    """A step of an invented run whose loss falls, with ripples that no random generator of any version can change."""
    loss = 1.95 + 1.5 * math.exp(-number / 20) + 0.12 * math.sin(number * 2.1)
    seconds = 3.2 + 0.3 * math.sin(number * 1.3)
    return Step(
        step=number,
        loss=round(loss, 6),
        lr=round(7e-4 * (1 - number / 90), 8),
        grad_norm=round(0.8 + 0.2 * math.cos(number), 5),
        num_tokens=1300 + number % 7,
        num_samples=4,
        seconds=round(seconds, 6),
        tokens_per_s=round((1300 + number % 7) / seconds, 4),
        hybrid=1.0,
        rss_bytes=3200 * MIB,
        device=NO_CUDA,
    )


def _derived(steps: tuple[Step, ...], *, first: float, last: float) -> tuple[Metric, ...]:
    return (
        Metric(name="num_steps", value=len(steps), unit="1"),
        Metric(name="loss_first_mean", value=first, unit="nats"),
        Metric(name="loss_last_mean", value=last, unit="nats"),
        Metric(name="loss_window", value=8 if len(steps) > 8 else 1, unit="1"),
        Metric(name="tokens_per_s_median", value=406.1, unit="tokens/s"),
        Metric(name="step_s_median", value=3.21, unit="s"),
    )


def _rate(name: str, correct: int, num: int, chance: float | None, note: str) -> EvalMetric:
    """A rate with an interval of the right size; the exact one is the trainer's business."""
    value = correct / num
    half = 1.96 * math.sqrt(value * (1 - value) / num)
    known: Known[float] = _null("chance") if chance is None else chance
    return EvalMetric(
        name=name,
        value=value,
        low=round(value - half, 4),
        high=round(value + half, 4),
        num_samples=num,
        num_correct=correct,
        chance=known,
        split="test",
        note=note,
    )


def _null(key: str) -> Unavailable:
    return Unavailable(reason=f"{key} of the metric event is null", source="runlog.jsonl:99")


def _absent(event: str) -> Unavailable:
    return Unavailable(reason=f"the run log has no {event} event", source="runlog.jsonl")


def _no_checkpoint() -> Unavailable:
    return Unavailable(reason="no checkpoint was written", source="runlog.jsonl")
