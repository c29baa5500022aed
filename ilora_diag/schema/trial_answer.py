"""TrialAnswer: what a trial process says of itself, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Settings, Value, require_sizes, require_unique
from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.timeline import CategoryShare, ModuleShare
from ilora_diag.schema.trial import Metric
from ilora_diag.schema.trial_request import Stage


class TrialEnd(StrEnum):
    """How a trial ended, by its own word. A process that says nothing crashed, hung or was killed."""

    PASSED = "passed"
    FAILED = "failed"  # with the exception in `error`
    REFUSED = "refused"  # the configuration or an argument was refused before anything ran
    NOT_CARRIED = "not_carried"  # the virtual device does not model what was asked for
    NO_DEVICE = "no_device"
    SCRIPT_EXIT = "script_exit"  # the script ended itself with an exit code other than 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageUse:
    """One stage that was begun: how long, and the card's memory at its end and at its highest.

    Bytes are unknown where there is no card, or the stage did not come to its end.
    """

    stage: Stage
    seconds: float
    allocated_bytes: Known[int]
    reserved_bytes: Known[int]
    peak_allocated_bytes: Known[int]
    peak_reserved_bytes: Known[int]

    def __post_init__(self) -> None:
        require(self.seconds >= 0, f"seconds >= 0, got {self.seconds}")
        require_sizes(allocated_bytes=self.allocated_bytes, reserved_bytes=self.reserved_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakParts:
    """What the allocated bytes consist of at the peak, or at the failure where there was one. Each sums to them."""

    at_failure: bool
    stage: Stage
    allocated_bytes: int
    reserved_bytes: int
    by_category: tuple[CategoryShare, ...]
    by_module: tuple[ModuleShare, ...]

    def __post_init__(self) -> None:
        for what, shares in (("categories", self.by_category), ("modules", self.by_module)):
            total = sum(share.size_bytes for share in shares)
            require(total == self.allocated_bytes, f"the {what} sum to {total}, not {self.allocated_bytes}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRequest:
    """The allocation that failed, as the allocator or its message tells it."""

    requested_bytes: Known[int]
    capacity_bytes: Known[int]
    free_bytes: Known[int]
    this_process_bytes: Known[int]
    other_processes_bytes: Known[int]
    allocated_bytes: Known[int]
    unallocated_bytes: Known[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """An intervention that would have had something to act on.

    Attributes:
        name: of the intervention.
        count: how often, in the steps that were run.
        value: what was in force there, for one with levels: the batch size, the attention implementation.
        detail: where, in words a user knows: a module, a line of the script.
    """

    name: str
    count: int
    value: Value
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who keeps tensors alive: a chain of referrers that ends in a name a user knows.

    Attributes:
        name: by which it can be found and let go again: `script:history`, `frame:train.losses`, `module:llm.cache`,
            `optimizer:state`, `exception:traceback`.
        chain: from the name to the tensor, a step each: `list of 12`, `dict key 'loss'`, `grad_fn AddmmBackward0`.
        where: file and line that made it, where that is known.
    """

    name: str
    chain: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownTensors:
    """Tensors of one kind that stayed from step to step.

    Attributes:
        shape, dtype: of each; of the largest where batches differ in length.
        num_tensors, size_bytes: at the end of the last step followed, beyond what the first followed step left.
        bytes_per_step: median growth.
        module, op: that made them.
        with_graph: they hang in an autograd graph, which keeps more than themselves.
        holder: unknown with the reason where the search for referrers ended.
    """

    shape: tuple[int, ...]
    dtype: str
    num_tensors: int
    size_bytes: int
    bytes_per_step: int
    module: str
    op: str
    with_graph: bool
    holder: Known[Holder]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondCopy:
    """Weights that are there twice, or were replaced and kept.

    Attributes:
        name, copy_name: qualified names of the two, as in `model` and `reference_model`.
        size_bytes: of the copy that could go.
        same_content: compared by hash of the content; unknown where the device has none (a virtual card).
        holder: of the copy.
    """

    name: str
    copy_name: str
    size_bytes: int
    num_tensors: int
    same_content: Known[bool]
    holder: Known[Holder]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What stays from step to step, and what is there twice.

    Attributes:
        live_bytes: after each step followed, in order.
        slope_bytes: growth per step by least squares over the steps after the first.
        slope_error_bytes: its standard error; with so few steps it says whether the growth is even.
        is_growing: tensors came in most of the steps and stayed, more than a KiB a step together. The slope alone does
            not say so: a state made once, late, raises it too.
        grown: largest first.
        copies: largest first.
        frozen_with_state_bytes: optimizer state of parameters that take no gradient.
    """

    live_bytes: tuple[int, ...]
    slope_bytes: float
    slope_error_bytes: float
    is_growing: bool
    grown: tuple[GrownTensors, ...]
    copies: tuple[SecondCopy, ...]
    frozen_with_state_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAnswer:
    """What a trial process says.

    Attributes:
        id: of the request.
        end: how it ended.
        stage: the stage it ended in; DONE, or the last one asked for, where it passed.
        steps_done: optimizer steps that were completed.
        error: the exception; its traceback begins with the user's own frame.
        stages: those that were begun, in order.
        effective: what was in force inside: allocator settings and the variable they come from, attention backend,
            types of parameters, versions, card and its size, number of trainable parameters. Read, never assumed.
        metrics: `peak_allocated_bytes`, `peak_reserved_bytes`, `inactive_split_bytes`, `num_alloc_retries`, `num_ooms`,
            `other_processes_before_bytes`, `other_processes_after_bytes`, `rss_peak_bytes`, each once.
        peak: what the memory consists of; unknown on devices that do not tell.
        failed_request: of a failure for want of memory.
        opportunities: of the interventions watched or applied.
        retention: where growth was looked for.
        notes: what the device could not know and answered nevertheless.
    """

    SCHEMA: ClassVar[str] = "trial-answer"

    id: str
    end: TrialEnd
    stage: Stage
    steps_done: int
    error: ScriptError | None
    stages: tuple[StageUse, ...]
    effective: Settings
    metrics: tuple[Metric, ...]
    peak: Known[PeakParts]
    failed_request: FailedRequest | None = None
    opportunities: tuple[Opportunity, ...] = ()
    retention: Retention | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.steps_done >= 0, f"steps_done is not negative, got {self.steps_done}")
        with_error = self.end is not TrialEnd.PASSED
        require(with_error == (self.error is not None), "an error stands with every end but a pass, and only there")
        require_unique("metric", tuple(metric.name for metric in self.metrics))
