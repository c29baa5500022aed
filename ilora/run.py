"""One run: data, recommender, language model, training, evaluation, in this order and each in a named phase."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ilora.assemble import build_teacher, checkpoint_identity, obtain_llm, obtain_recommender
from ilora.checkpoint import TeacherCheckpointError, list_checkpoints, load_checkpoint, save_checkpoint
from ilora.config import Config, check_catalogue
from ilora.data import load_data
from ilora.data.records import SequenceData
from ilora.device import Placement
from ilora.distributed import gather_lists
from ilora.evaluate import MetricResult, Prediction
from ilora.evaluation_run import evaluate_recommender, evaluate_teacher, export_teacher
from ilora.feed import Feed
from ilora.files import atomic_write
from ilora.llm import LoadedLlm
from ilora.loops import plain
from ilora.loops.job import StopFlag, TrainJob
from ilora.model import ILoRATeacher
from ilora.ranks import Rank
from ilora.runlog import RunLog
from ilora.schedule import make_optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every phase of a run shares."""

    config: Config
    run_dir: Path
    placement: Placement
    log: RunLog
    rank: Rank
    resume: bool


def run_stage(session: Session) -> dict[str, object]:
    """Run the configured stage to its end. Returns the result document: status, steps, metrics, checkpoint."""
    config, log = session.config, session.log
    checkpoint = _checkpoint_to_resume(session)
    with log.phase("data"):
        data = load_data(config.data, compat=config.compat)
        check_catalogue(config, data.catalogue.num_items)
        log.event("data", **describe_data(config, data))
    recommender = obtain_recommender(config, data, session.run_dir, session.placement, log, session.rank)
    if config.stage == "rec":
        with log.phase("eval"):
            metrics = evaluate_recommender(recommender, data, config)
        _log_metrics(log, config, metrics)
        return {"status": "ok", "metrics": [dataclasses.asdict(metric) for metric in metrics]}
    with log.phase("load_llm"):
        llm = obtain_llm(config, data, session.placement)
    with log.phase("build"):
        teacher = build_teacher(config, recommender, llm, session.placement)
        pin_memory = session.placement.device.type == "cuda"
        feed = Feed(config, data, llm.tokenizer, session.rank, pin_memory=pin_memory)
        log.event("model", **describe_model(teacher, llm, session.placement))
    step, interrupted, path = _train(session, teacher, feed, data, checkpoint)
    result: dict[str, object] = {"steps": step, "checkpoint": path and path.name}
    if interrupted:
        log.event("interrupted", step=step, checkpoint=path and path.name)
        return result | {"status": "interrupted"}
    with log.phase("eval"):
        metrics, predictions = evaluate_teacher(teacher, feed, config, log)
    _write_predictions(session, predictions)
    _log_metrics(log, config, metrics)
    if config.eval.export:
        with log.phase("save"):
            export_teacher(teacher, feed, config, log, session.run_dir / "teacher-outputs", path)
    return result | {"status": "ok", "metrics": [dataclasses.asdict(metric) for metric in metrics]}


def describe_data(config: Config, data: SequenceData) -> dict[str, object]:
    """The data event: counts, what was unusable, and the licence of the source where we know it."""
    manifest = dataclasses.asdict(data.manifest)
    rows = {"train": len(data.train), "val": len(data.val), "test": len(data.test)}
    return {"source": config.data.source, **manifest, "rows": rows}


def describe_model(teacher: ILoRATeacher, llm: LoadedLlm, placement: Placement) -> dict[str, object]:
    """The model event: parameters, and the trainable ones by what they are."""
    groups = {name: sum(p.numel() for p in members) for name, members in teacher.trainable_groups().items()}
    return {
        "llm": llm.source,
        "dtype": str(placement.dtype).removeprefix("torch."),
        "num_parameters": sum(p.numel() for p in teacher.parameters()),
        "num_trainable": sum(groups.values()),
        "trainable_by_group": groups,
    }


def _checkpoint_to_resume(session: Session) -> Path | None:
    """The newest checkpoint of a run that goes on; a run interrupted before its first one begins at step 0."""
    found = list_checkpoints(session.run_dir / "checkpoints")
    if found and not session.resume:
        raise TeacherCheckpointError(
            f"{session.run_dir} holds checkpoints of an earlier run; resume it, or choose another folder"
        )
    return found[-1] if found else None


def _train(
    session: Session, teacher: ILoRATeacher, feed: Feed, data: SequenceData, checkpoint: Path | None
) -> tuple[int, bool, Path | None]:
    """Train to the last step or until asked to stop. Returns steps done, whether interrupted, and the checkpoint."""
    config, log = session.config, session.log
    optimizer = make_optimizer(teacher.trainable_groups(), config.train)
    identity = checkpoint_identity(config, data.catalogue.num_items)
    start = load_checkpoint(checkpoint, teacher, optimizer, identity=identity) if checkpoint else 0
    folder = session.run_dir / "checkpoints"

    def save(step: int) -> None:
        if session.rank.is_first:
            path = save_checkpoint(
                folder, teacher, optimizer, step, identity=identity, keep=config.train.keep_checkpoints
            )
            log.event("checkpoint", step=step, path=str(path.relative_to(session.run_dir)))

    job = TrainJob(
        teacher=teacher,
        optimizer=optimizer,
        config=config.train,
        train_batches=lambda: feed.training(start),
        val_batches=feed.validation,
        device=session.placement.device,
        log=log,
        start_step=start,
        save=save,
        stop=StopFlag(),
        rank=session.rank.index,
    )
    with log.phase("train"), job.stop.installed():
        log.event("train_begin", max_steps=config.train.max_steps, start_step=start)
        step = _loop(config)(job)
    newest = list_checkpoints(folder)[-1:]
    return step, step < config.train.max_steps, newest[0] if newest else None


def _loop(config: Config) -> Callable[[TrainJob], int]:
    """The configured loop; Lightning takes seconds to import, so only runs that use it do."""
    if config.train.loop == "plain":
        return plain.run
    from ilora.loops import lightning

    return lightning.run


def _log_metrics(log: RunLog, config: Config, metrics: Iterable[MetricResult]) -> None:
    for metric in metrics:
        low, high = metric.interval or (None, None)
        log.event("metric", **dataclasses.asdict(metric), low=low, high=high, split=config.eval.split)


def _write_predictions(session: Session, predictions: list[Prediction]) -> None:
    """Every rank's predictions, in one file, so that a metric can be looked into."""
    predictions = gather_lists(predictions)
    if not session.rank.is_first or not predictions:
        return
    ordered = sorted(predictions, key=lambda prediction: (prediction.metric, prediction.row))
    with atomic_write(session.run_dir / "predictions.jsonl") as file:
        for prediction in ordered:
            file.write(json.dumps(dataclasses.asdict(prediction), ensure_ascii=False).encode() + b"\n")
    session.log.event("artefact", kind="predictions", path="predictions.jsonl")
