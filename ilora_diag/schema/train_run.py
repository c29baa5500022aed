"""TrainRun: one training as its run log tells it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Settings, Unavailable, is_ordered, require_sizes, require_unique


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """The caching allocator's statistics on the training device: now, and at the peak since the phase began."""

    allocated_bytes: int
    reserved_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int

    def __post_init__(self) -> None:
        require_sizes(allocated_bytes=self.allocated_bytes)
        now, peak = (self.allocated_bytes, self.reserved_bytes), (self.peak_allocated_bytes, self.peak_reserved_bytes)
        require(is_ordered(*now), f"allocated <= reserved, got {now}")
        require(is_ordered(*peak), f"peak allocated <= peak reserved, got {peak}")
        require(now[0] <= peak[0] and now[1] <= peak[1], f"now <= peak, got {now} against {peak}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerEnvironment:
    """What the trainer found itself running on. `torch_cuda` is None for a build without CUDA."""

    python: Known[str]
    torch: Known[str]
    torch_cuda: Known[str | None]
    transformers: Known[str]
    peft: Known[str]
    lightning: Known[str]
    platform: Known[str]
    cpu_count: Known[int]
    num_threads: Known[int]
    device: Known[str]
    device_name: Known[str]
    precision_effective: Known[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row of the source that could not be used."""

    file: str
    line: Known[int]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSummary:
    """The sequences trained on. `rows` counts samples by split; `bad_rows` shows the first of `num_bad_rows`."""

    source: Known[str]
    licence: Known[str]
    num_users: Known[int]
    num_items: Known[int]
    num_interactions: Known[int]
    rows: Known[tuple[tuple[str, int], ...]]
    num_bad_rows: Known[int]
    bad_rows: tuple[BadRow, ...]

    def __post_init__(self) -> None:
        require(is_ordered(len(self.bad_rows), self.num_bad_rows), "no more bad rows are shown than were counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """The model. `trainable_by_group` counts the trainable parameters of each group and sums to `num_trainable`."""

    llm: Known[str]
    dtype: Known[str]
    num_parameters: Known[int]
    num_trainable: Known[int]
    trainable_by_group: Known[tuple[tuple[str, int], ...]]

    def __post_init__(self) -> None:
        require(is_ordered(self.num_trainable, self.num_parameters), "no more parameters train than there are")
        groups, trainable = self.trainable_by_group, self.num_trainable
        if not isinstance(groups, Unavailable) and not isinstance(trainable, Unavailable):
            total = sum(count for _, count in groups)
            require(total == trainable, f"the groups sum to {total}, trainable are {trainable} parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """What the loop set out to do. `start_step` is the last step already done: 0 in a fresh run."""

    max_steps: Known[int]
    start_step: Known[int]
    tokens_per_batch: Known[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of the trainer.

    Attributes:
        name: import, data, load_rec, train_rec, load_llm, build, train, eval, save.
        attempt: 1 for the first process that wrote into the run folder, 2 for the first that resumed it.
        started_at: seconds since the epoch.
        seconds: Unavailable where the phase did not end.
        rss_bytes: resident memory at its end, or at its beginning where it did not end.
        rss_peak_bytes: largest resident memory of the process until then.
        device: Unavailable without a CUDA device.
    """

    name: str
    attempt: int
    started_at: Known[float]
    seconds: Known[float]
    rss_bytes: Known[int]
    rss_peak_bytes: Known[int]
    device: Known[DeviceMemory]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the trainer logged at a step, over the steps since it last did. `hybrid` is a share of the batches."""

    step: int
    loss: Known[float]
    lr: Known[float]
    grad_norm: Known[float]
    num_tokens: Known[int]
    num_samples: Known[int]
    seconds: Known[float]
    tokens_per_s: Known[float]
    hybrid: Known[float]
    rss_bytes: Known[int]
    device: Known[DeviceMemory]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValLoss:
    """Loss on the validation split after a step."""

    step: int
    loss: Known[float]
    num_samples: Known[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecEpoch:
    """One pass of the recommender's own training."""

    epoch: int
    loss: Known[float]
    val_hr1: Known[float]
    seconds: Known[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalMetric:
    """One evaluated number with its 95 % interval.

    Attributes:
        name: as `hr@1/scoring`.
        value: between `low` and `high`.
        num_samples, num_correct: what it was computed from.
        chance: value that guessing would reach.
        split: val or test.
        note: what a reader must know, empty for nothing.
    """

    name: str
    value: Known[float]
    low: Known[float]
    high: Known[float]
    num_samples: Known[int]
    num_correct: Known[int]
    chance: Known[float]
    split: Known[str]
    note: str = ""

    def __post_init__(self) -> None:
        require(bool(self.name), "a metric has a name")
        require(is_ordered(self.low, self.value, self.high), f"low <= value <= high in {self.name}")
        require(is_ordered(self.num_correct, self.num_samples), f"no more correct than samples in {self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk; `path` as the trainer wrote it."""

    step: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """Anything else the trainer left: exported outputs, a trained recommender."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainError:
    """The exception that ended the run, as the trainer reported it."""

    phase: Known[str]
    type: str
    message: str
    traceback: str


class TrainState(StrEnum):
    """How the run log ends."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    CUT_OFF = "cut_off"  # no last word: the trainer was killed, or still runs


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """The end of the run.

    Attributes:
        state: how the log ends.
        last_phase: the innermost phase that had begun and not ended, else the last one that ended.
        resume_from: newest checkpoint, from which the run can go on.
        error: of a failed run.
    """

    state: TrainState
    last_phase: Known[str]
    resume_from: Known[str]
    error: TrainError | None = None

    def __post_init__(self) -> None:
        failed = self.state is TrainState.FAILED
        require(failed == (self.error is not None), "a failed run has an error, and no other does")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRun:
    """One training, resumed ones included.

    What the log does not tell is Unavailable with the reason, also the lists of which an empty one would look like a
    measurement. Of steps done twice, because a run resumed from an earlier checkpoint, the later ones count.

    Attributes:
        run_id: name of the run folder.
        started_at, ended_at: seconds since the epoch, of the first and the last event.
        num_attempts: processes that wrote into the run folder.
        requested, effective: the configuration as asked for, and as it came into force.
        warnings: what the trainer warned of, and what could not be read of its log.
    """

    SCHEMA: ClassVar[str] = "train-run"

    run_id: str
    started_at: Known[float]
    ended_at: Known[float]
    num_attempts: int
    requested: Known[Settings]
    effective: Known[Settings]
    environment: Known[TrainerEnvironment]
    data: Known[DataSummary]
    model: Known[ModelSummary]
    plan: Known[TrainPlan]
    phases: tuple[Phase, ...]
    steps: Known[tuple[Step, ...]]
    metrics: Known[tuple[EvalMetric, ...]]
    outcome: TrainOutcome
    val_losses: tuple[ValLoss, ...] = ()
    rec_epochs: tuple[RecEpoch, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(is_ordered(self.started_at, self.ended_at), "a run ends after it starts")
        if not isinstance(self.steps, Unavailable):
            numbers = tuple(step.step for step in self.steps)
            require(is_ordered(*numbers), "steps are in order")
            require_unique("step", tuple(str(number) for number in numbers))
