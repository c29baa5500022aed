"""Placement: which tensor cannot be put on the card, and of which class the failure is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Known, Settings, require_sizes, require_unique
from ilora_diag.schema.trial import FailureSignature, Trial


class PlaceMode(StrEnum):
    """What a process puts on the card."""

    WALK = "walk"  # every tensor, in the order in which the module moves them
    FIRST_TOUCH = "first_touch"  # one number, before anything else
    ALONE = "alone"  # the tensor that failed, and nothing else
    RANDOM = "random"  # a fresh one of the same shape and type in its place
    REVERSED = "reversed"  # every tensor, the last one first
    ALLOCATOR = "allocator"  # every tensor, under the opposite allocator setting


class PlaceClass(StrEnum):
    """What kind of failure it is."""

    NOTHING_FAILS = "nothing_fails"
    FIRST_TOUCH = "first_touch"  # whatever is put first: the context, the driver, the allocator
    ALLOCATOR = "allocator"  # goes away with the allocator's setting
    TENSOR_SPECIFIC = "tensor_specific"  # this tensor, and none like it
    SIZE_OR_DTYPE = "size_or_dtype"  # any tensor of its shape and type
    CUMULATIVE = "cumulative"  # the sum of everything: the card's capacity
    UNDECIDED = "undecided"


class PlaceOutcome(StrEnum):
    """How a row of the truth table ended."""

    PASSES = "passes"
    FAILS = "fails"
    UNKNOWN = "unknown"  # it could not be run, or ended before it put anything on the card
    NOT_NEEDED = "not_needed"  # the class was decided without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A parameter or buffer.

    Attributes:
        name: qualified, as in `llm.model.embed_tokens.weight`.
        kind: `parameter` or `buffer`.
        dtype, shape, is_contiguous: as it lies on the host.
        size_bytes: of its elements.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    is_contiguous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceTry:
    """A row of the truth table.

    Attributes:
        mode: what was put on the card.
        outcome: how that went.
        trial: id in the journal; empty where it was not run.
        leaf: the tensor it failed at; None where it did not fail at one.
        num_moved, moved_bytes: tensors that were put there before, and their bytes.
        allocated_bytes, reserved_bytes: as the allocator said after the last of them.
        detail: why it was not run, what the allocator was set to, or the error in one line.
    """

    mode: PlaceMode
    outcome: PlaceOutcome
    trial: str = ""
    leaf: Leaf | None = None
    num_moved: int = 0
    moved_bytes: int = 0
    allocated_bytes: Known[int]
    reserved_bytes: Known[int]
    detail: str = ""

    def __post_init__(self) -> None:
        require_sizes(num_moved=self.num_moved, moved_bytes=self.moved_bytes)
        was_run = self.outcome is not PlaceOutcome.NOT_NEEDED
        require(was_run == bool(self.trial), f"{self.mode}: a trial stands with every row that was run, and only there")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One walk over everything that is put on the card, and the trials that say why it fails.

    Attributes:
        run_id, created_at, tool_version, command: of the run folder; the command as it would be typed again.
        subject: what is placed, in words: a preset, a script.
        device: as asked for.
        base, requested: namespaced settings beside the configuration; what was typed.
        effective: as the walk found it in force.
        answer: the class.
        culprit: the tensor the walk failed at; None where it failed before any, or not at all.
        signature, error_text: of the walk's failure.
        table: the walk, then the trials that tell the classes apart, in order.
        allocator_before, allocator_after: the allocator's variables as they were, and as ALLOCATOR had them; empty
            where none was set.
        trials: as in the journal, redacted.
        notes: what was assumed.
        duration_s: of all of it.
    """

    SCHEMA: ClassVar[str] = "bisect-device"

    run_id: str
    created_at: float
    tool_version: str
    command: str
    subject: str
    device: str
    base: Settings
    requested: Settings
    effective: Known[Settings]
    answer: PlaceClass
    culprit: Leaf | None
    signature: Known[FailureSignature]
    error_text: str
    table: tuple[PlaceTry, ...]
    allocator_before: str
    allocator_after: str
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()
    duration_s: float

    def __post_init__(self) -> None:
        require_unique("mode", tuple(row.mode for row in self.table))
        require_unique("trial", tuple(trial.id for trial in self.trials))
        require(bool(self.table) and self.table[0].mode is PlaceMode.WALK, "the table begins with the walk")
