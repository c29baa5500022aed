"""Probe, intent and trial: a question one can ask of a machine, the announcement of asking, and one answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Scalar, Settings, Unavailable, require_unique


class Status(StrEnum):
    """How a trial ended. Only OK is a pass, and only SAME and OOM are the failure that was looked for."""

    OK = "ok"
    SAME = "same"  # failed with the signature under investigation
    OTHER = "other"  # failed in another way: never a fix, reported as a side effect
    INVALID = "invalid"  # the configuration was refused before anything ran
    OOM = "oom"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    GARBLED = "garbled"  # the answer was missing, not JSON, more than one document, or not the record asked for
    SKIPPED = "skipped"
    CONTAMINATED = "contaminated"  # something outside the trial changed while it ran
    INTERRUPTED = "interrupted"  # stopped because a person asked for it


class ErrorFamily(StrEnum):
    """Which layer failed. The members of OUT_OF_MEMORY are the failures that memory explains."""

    OOM_TORCH = "oom_torch"  # the caching allocator
    OOM_CUBLAS = "oom_cublas"  # a CUDA library could not allocate its handle or workspace
    OOM_DRIVER = "oom_driver"  # the driver API, as expandable segments use it
    OOM_RUNTIME = "oom_runtime"  # the runtime API outside the caching allocator: contexts, pinned memory
    OOM_HOST = "oom_host"
    CUDA_DRIVER = "cuda_driver"
    CUDA_RUNTIME = "cuda_runtime"
    CUDA_LIBRARY = "cuda_library"  # cuBLAS, cuDNN, cuSOLVER and the like, not for want of memory
    NCCL = "nccl"
    CONFIG = "config"
    DATA = "data"
    KEYBOARD = "keyboard"
    SIGNAL = "signal"  # the process died of a signal without a word
    PYTHON = "python"  # any other exception
    UNKNOWN = "unknown"


OUT_OF_MEMORY = frozenset(
    {
        ErrorFamily.OOM_TORCH,
        ErrorFamily.OOM_CUBLAS,
        ErrorFamily.OOM_DRIVER,
        ErrorFamily.OOM_RUNTIME,
        ErrorFamily.OOM_HOST,
    }
)

_NEEDS_SIGNATURE = frozenset({Status.SAME, Status.OTHER, Status.OOM})
_NEEDS_REASON = frozenset({Status.INVALID, Status.GARBLED, Status.SKIPPED, Status.CONTAMINATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSignature:
    """What makes two failures the same failure.

    Attributes:
        family: the layer that failed.
        stage: what the process was doing: a phase of the run log or a stage of a probe.
        top_frame: `file.py:function` of the deepest frame that belongs neither to a package nor to Python itself.
        code: the error's own code (`CUBLAS_STATUS_ALLOC_FAILED`, `SIGSEGV`), or its text with sizes, addresses and
            process ids replaced by placeholders.
    """

    family: ErrorFamily
    stage: Known[str]
    top_frame: Known[str]
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measured number with its unit: `bytes`, `s`, `1` (a count or ratio), `tokens/s`."""

    name: str
    value: Known[Scalar]
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A question we can ask of the machine.

    Attributes:
        name: as typed by users.
        module: what answers it, run as `python -P -m MODULE`.
        question: in words.
        needs_device: whether it can only run where a device is, virtual ones included.
        deadline_s: seconds after which the answer no longer counts.
    """

    SCHEMA: ClassVar[str] = "probe"

    name: str
    module: str
    question: str
    needs_device: bool
    deadline_s: float

    def __post_init__(self) -> None:
        require(self.deadline_s > 0, f"deadline_s is positive, got {self.deadline_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A trial about to start. One that has no trial in the journal was cut off: by a crash of ours, or of the machine.

    Attributes:
        id: the trial's, unique in a journal: `T-07`.
        probe: name of the probe, or `train`.
        requested: the configuration asked for.
        fingerprint: hash of code and environment; a result is reused only under the same one.
        started_at: seconds since the epoch.
    """

    SCHEMA: ClassVar[str] = "intent"

    id: str
    probe: str
    requested: Settings
    started_at: float
    fingerprint: str = ""

    def __post_init__(self) -> None:
        require(bool(self.id), "an intent has an id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of one probe.

    Attributes:
        id, probe, requested, fingerprint, started_at: as in its Intent.
        effective: the configuration as the child found it in force, which may differ from the one requested.
        status: how it ended.
        reason: why, in words; required where the status alone does not say (invalid, garbled, skipped, contaminated).
        signature: of the failure; None for a trial that did not fail.
        metrics: what was measured, each name once.
        seconds: wall time of the child.
        exit_code: of the child; None where it ended otherwise.
        signal: name of the signal that ended it, as `SIGSEGV`; None where it ended otherwise.
        stdout_tail, stderr_tail: the ends of what it printed.
        journal: the trial's own log, relative to the run folder; None where it kept none.
    """

    SCHEMA: ClassVar[str] = "trial"

    id: str
    probe: str
    requested: Settings
    effective: Known[Settings]
    status: Status
    started_at: float
    seconds: Known[float]
    reason: str = ""
    signature: FailureSignature | None = None
    metrics: tuple[Metric, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    stdout_tail: str = ""
    stderr_tail: str = ""
    journal: str | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        require(bool(self.id), "a trial has an id")
        require(isinstance(self.seconds, Unavailable) or self.seconds >= 0, f"seconds >= 0, got {self.seconds}")
        require(self.status is not Status.OK or self.signature is None, "a trial that passed has no failure signature")
        require(self.status not in _NEEDS_SIGNATURE or self.signature is not None, f"{self.status} has a signature")
        require(self.status not in _NEEDS_REASON or bool(self.reason), f"{self.status} has a reason")
        require(self.exit_code is None or self.signal is None, "a process ends by an exit code or by a signal")
        require_unique("metric", tuple(metric.name for metric in self.metrics))
