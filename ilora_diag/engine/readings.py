"""What each event of the run log says, as records of the schema."""

from __future__ import annotations

from ilora_diag.engine.events import Event
from ilora_diag.schema.known import Known, Unavailable, value_or
from ilora_diag.schema.train_run import (
    Artefact,
    BadRow,
    Checkpoint,
    DataSummary,
    DeviceMemory,
    EvalMetric,
    ModelSummary,
    Phase,
    RecEpoch,
    Step,
    TrainerEnvironment,
    TrainError,
    TrainPlan,
    ValLoss,
)


def read_environment(event: Event) -> TrainerEnvironment:
    """The environment event."""
    return TrainerEnvironment(
        python=event.text("python"),
        torch=event.text("torch"),
        torch_cuda=event.text_or_none("torch_cuda"),
        transformers=event.text("transformers"),
        peft=event.text("peft"),
        lightning=event.text("lightning"),
        platform=event.text("platform"),
        cpu_count=event.count("cpu_count"),
        num_threads=event.count("num_threads"),
        device=event.text("device"),
        device_name=event.text("device_name"),
        precision_effective=event.text("precision_effective"),
    )


def read_data(event: Event) -> Known[DataSummary]:
    """The data event."""
    return event.record(
        lambda: DataSummary(
            source=event.text("source"),
            licence=event.text("licence"),
            num_users=event.count("num_users"),
            num_items=event.count("num_items"),
            num_interactions=event.count("num_interactions"),
            rows=event.counts("rows"),
            num_bad_rows=event.count("num_bad_rows"),
            bad_rows=tuple(_bad_row(part) for part in event.parts("bad_rows")),
        )
    )


def _bad_row(event: Event) -> BadRow:
    file, reason = value_or(event.text("file"), "?"), value_or(event.text("reason"), "?")
    return BadRow(file=file, line=event.count("line"), reason=reason)


def read_model(event: Event) -> Known[ModelSummary]:
    """The model event."""
    return event.record(
        lambda: ModelSummary(
            llm=event.text("llm"),
            dtype=event.text("dtype"),
            num_parameters=event.count("num_parameters"),
            num_trainable=event.count("num_trainable"),
            trainable_by_group=event.counts("trainable_by_group"),
        )
    )


def read_plan(event: Event) -> TrainPlan:
    """The train_begin event."""
    return TrainPlan(
        max_steps=event.count("max_steps"),
        start_step=event.count("start_step"),
        tokens_per_batch=event.number("tokens_per_batch"),
    )


def read_device(event: Event) -> Known[DeviceMemory]:
    """The device part of an event: Unavailable where the trainer ran without a CUDA device."""
    part = event.part("device")
    if isinstance(part, Unavailable):
        return part
    names = ("allocated_bytes", "reserved_bytes", "peak_allocated_bytes", "peak_reserved_bytes")
    sizes = {name: part.count(name) for name in names}
    known = {name: size for name, size in sizes.items() if not isinstance(size, Unavailable)}
    missing = [size for size in sizes.values() if isinstance(size, Unavailable)]
    return missing[0] if missing else part.record(lambda: DeviceMemory(**known))


def read_step(event: Event, step: int) -> Step:
    """A step event."""
    return Step(
        step=step,
        loss=event.number("loss"),
        lr=event.number("lr"),
        grad_norm=event.number("grad_norm"),
        num_tokens=event.count("num_tokens"),
        num_samples=event.count("num_samples"),
        seconds=event.number("seconds"),
        tokens_per_s=event.number("tokens_per_s"),
        hybrid=event.number("hybrid"),
        rss_bytes=event.count("rss_bytes"),
        device=read_device(event),
    )


def read_val_loss(event: Event, step: int) -> ValLoss:
    """A val_loss event."""
    return ValLoss(step=step, loss=event.number("loss"), num_samples=event.count("num_samples"))


def read_rec_epoch(event: Event, epoch: int) -> RecEpoch:
    """A rec_epoch event."""
    seconds = event.number("seconds")
    return RecEpoch(epoch=epoch, loss=event.number("loss"), val_hr1=event.number("val_hr1"), seconds=seconds)


def read_phase(event: Event, name: str, attempt: int, *, started_at: Known[float], ended: bool) -> Phase:
    """A phase from its last event: that of its end, or that of its beginning where it did not end."""
    not_ended = Unavailable(reason=f"the phase {name} did not end", source=event.source)
    return Phase(
        name=name,
        attempt=attempt,
        started_at=started_at,
        seconds=event.number("seconds") if ended else not_ended,
        rss_bytes=event.count("rss_bytes"),
        rss_peak_bytes=event.count("rss_peak_bytes"),
        device=read_device(event),
    )


def read_metric(event: Event) -> Known[EvalMetric]:
    """A metric event."""
    name = event.text("name")
    if isinstance(name, Unavailable):
        return name
    return event.record(
        lambda: EvalMetric(
            name=name,
            value=event.number("value"),
            low=event.number("low"),
            high=event.number("high"),
            num_samples=event.count("num_samples"),
            num_correct=event.count("num_correct"),
            chance=event.number("chance"),
            split=event.text("split"),
            note=value_or(event.text("note"), ""),
        )
    )


def read_checkpoint(event: Event) -> Known[Checkpoint]:
    """A checkpoint event."""
    step, path = event.count("step"), event.text("path")
    if isinstance(step, Unavailable):
        return step
    return path if isinstance(path, Unavailable) else Checkpoint(step=step, path=path)


def read_artefact(event: Event) -> Known[Artefact]:
    """An artefact event."""
    kind, path = event.text("kind"), event.text("path")
    if isinstance(kind, Unavailable):
        return kind
    return path if isinstance(path, Unavailable) else Artefact(kind=kind, path=path)


def read_error(event: Event) -> TrainError:
    """An error event; what it leaves out is said in words, for the run failed all the same."""
    return TrainError(
        phase=event.text("phase"),
        type=value_or(event.text("type"), "an error of unknown type"),
        message=value_or(event.text("message"), ""),
        traceback=value_or(event.text("traceback"), ""),
    )
