"""Which measures a run takes, over which samples, and what it writes of them."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from ilora.config import Config
from ilora.data.records import SequenceData
from ilora.data.sampling import CandidateSampler
from ilora.evaluate import MetricResult, Prediction, evaluate_generation, evaluate_items, evaluate_scoring
from ilora.export import export_outputs, shard_ranges
from ilora.feed import Feed
from ilora.metrics import hr_at_k
from ilora.model import ILoRATeacher
from ilora.rec import Recommender
from ilora.rec.evaluate import candidate_ranks, ranking_metrics
from ilora.runlog import RunLog

# Seconds between progress events: often enough to see that it moves, seldom enough to keep the log small.
_PROGRESS_EVERY_S = 2.0


def evaluate_recommender(recommender: Recommender, data: SequenceData, config: Config) -> list[MetricResult]:
    """The recommender alone on the evaluated split: HR@1 among candidates, HR@k and NDCG@k over the catalogue."""
    split = data.val if config.eval.split == "val" else data.test
    sampler = CandidateSampler.from_config(
        config.data, split, data.catalogue.num_items, compat=config.compat, seed=config.eval.seed
    )
    among_candidates = "candidates_hr@1"
    metrics = ranking_metrics(recommender, split, sampler, top_k=config.eval.top_k)
    return [
        MetricResult(
            # The teacher's names for the same measures, so that reports can be laid side by side.
            name="hr1_recommender" if metric.name == among_candidates else metric.name.removeprefix("catalogue_"),
            value=metric.value,
            num_samples=metric.num_samples,
            num_correct=metric.num_correct,
            chance=1 / config.data.num_candidates if metric.name == among_candidates else None,
            note="recommender alone, " + ("candidates" if metric.name == among_candidates else "whole catalogue"),
        )
        for metric in metrics
    ]


def evaluate_teacher(
    teacher: ILoRATeacher, feed: Feed, config: Config, log: RunLog
) -> tuple[list[MetricResult], list[Prediction]]:
    """Everything the configuration asks for, and the recommender alone on the same rows and candidates.

    Returns:
        Metrics over all ranks, and this rank's predictions.
    """
    if not len(feed.evaluated):
        log.event("warning", text=f"nothing was evaluated: the {config.eval.split} split has no rows")
        return [], []
    progress = _Progress(log, -(-len(feed.evaluation_rows) // feed.rank.world_size))
    if config.model.head == "items":
        return evaluate_items(teacher, feed.evaluation(), top_k=config.eval.top_k, progress=progress), []
    # The release's LastFM offers no target (Q17): then nothing can be right, and nothing is compared.
    omits_target = feed.evaluation_sampler().omits_target
    metrics = [] if omits_target else [_baseline(teacher, feed, config)]
    predictions: list[Prediction] = []
    catalogue, chance = feed.data.catalogue, 0.0 if omits_target else 1 / config.data.num_candidates
    if config.eval.scoring:
        found, made = evaluate_scoring(
            teacher, feed.evaluation(), feed.answer_ids, catalogue, chance=chance, progress=progress
        )
        metrics, predictions = metrics + found, predictions + made
    if config.eval.generation:
        found, made = evaluate_generation(
            teacher,
            feed.evaluation(),
            feed.tokenizer,
            catalogue,
            chance=chance,
            max_new_tokens=config.eval.max_new_tokens,
            reference=config.compat == "reference",
            progress=progress,
        )
        metrics, predictions = metrics + found, predictions + made
    return metrics, predictions


def export_ranges(feed: Feed, config: Config) -> list[tuple[int, range]]:
    """This rank's shards of the training split: number and rows."""
    rows, shard = len(feed.data.train), config.eval.export_shard_rows
    return list(shard_ranges(rows, shard, rank=feed.rank.index, world_size=feed.rank.world_size))


def export_teacher(
    teacher: ILoRATeacher, feed: Feed, config: Config, log: RunLog, folder: Path, checkpoint: Path | None
) -> None:
    """Write this rank's shards of the teacher's outputs over the training split; shards already there are kept."""
    assert checkpoint is not None, "training ends with a checkpoint"
    digest = hashlib.sha256((checkpoint / "trainables.safetensors").read_bytes()).hexdigest()[:16]
    ranges = export_ranges(feed, config)
    num_shards = -(-len(feed.data.train) // config.eval.export_shard_rows)
    source = f"{checkpoint.name} {digest} top_k={config.eval.top_k} shard_rows={config.eval.export_shard_rows}"
    paths = export_outputs(teacher, folder, ranges, feed.export, top_k=config.eval.top_k, source=source)
    for done, path in enumerate(paths, start=1):
        log.event("eval_progress", metric="export", done=done, total=num_shards)
        log.event("artefact", kind="teacher_outputs", path=f"{folder.name}/{path.name}")


def _baseline(teacher: ILoRATeacher, feed: Feed, config: Config) -> MetricResult:
    """The recommender alone on the rows and candidates the teacher is evaluated on."""
    ranks = candidate_ranks(teacher.recommender, feed.evaluated, feed.evaluation_sampler())[feed.evaluation_rows]
    return MetricResult(
        name="hr1_recommender",
        value=hr_at_k(ranks, 1),
        num_samples=len(ranks),
        num_correct=int((ranks < 1).sum()),
        chance=1 / config.data.num_candidates,
        note="the recommender alone, same rows and candidates",
    )


class _Progress:
    """Writes a progress event now and then, and always the last one."""

    def __init__(self, log: RunLog, total: int) -> None:
        self._log, self._total = log, total
        self._last = 0.0

    def __call__(self, metric: str, done: int) -> None:
        now = time.monotonic()
        if done >= self._total or now - self._last >= _PROGRESS_EVERY_S:
            self._last = now
            self._log.event("eval_progress", metric=metric, done=done, total=self._total)
