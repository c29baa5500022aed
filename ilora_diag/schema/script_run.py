"""ScriptRun: one run of a training script under the recorder, and what memory it took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.estimate import Estimate
from ilora_diag.schema.known import Known, is_ordered, require_sizes


class ScriptEnd(StrEnum):
    """How a script ended."""

    FINISHED = "finished"  # by itself, with exit code 0
    STOPPED = "stopped"  # by us, after the optimizer steps asked for
    INTERRUPTED = "interrupted"  # by a signal: a person, or the deadline
    EXITED = "exited"  # by itself, with another exit code
    OUT_OF_MEMORY = "out_of_memory"
    NOT_CARRIED = "not_carried"  # it asked for something the virtual device does not model
    FAILED = "failed"  # with any other exception


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptError:
    """The exception a script ended with.

    Attributes:
        type: class, with its module where it is no builtin.
        message: as it reads.
        traceback: as Python prints it, beginning with the script's own frame.
    """

    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a run stood when it ended or was ended.

    Attributes:
        step: optimizer step that was running, from 1; 0 before the first forward pass.
        phase, module: what ran.
        allocated_bytes, reserved_bytes: of the card, then.
    """

    step: int
    phase: str
    module: str
    allocated_bytes: int
    reserved_bytes: int

    def __post_init__(self) -> None:
        require_sizes(step=self.step)
        require(is_ordered(0, self.allocated_bytes, self.reserved_bytes), "0 <= allocated <= reserved")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRun:
    """What became of a script, and what it needed.

    Attributes:
        script: path of the file, or dotted name of the module.
        args: its arguments.
        device: `cuda`, or `virtual:` and the key of a card.
        end: how it ended.
        exit_code: that Python would have ended with; 0 where we ended it after its steps.
        steps: optimizer steps that were done.
        steps_counted: what was taken for a step: `optimizer`, or `backward` where no optimizer was ever made.
        error: set where it ended with an exception.
        moment: where it stood then.
        num_refused: out-of-memory errors on the way, those that the script caught included.
        estimate: memory until the end; unavailable where nothing was put on the card.
        started: Python programs and functions it ran in processes of their own, whose memory is not in the estimate.
        made_up: values that it read off a virtual card and nobody computed, in sentences.
    """

    SCHEMA: ClassVar[str] = "run"

    script: str
    args: tuple[str, ...]
    device: str
    end: ScriptEnd
    exit_code: int
    steps: int
    steps_counted: str
    error: ScriptError | None
    moment: Moment
    num_refused: int
    estimate: Known[Estimate]
    started: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_sizes(steps=self.steps, num_refused=self.num_refused)
        well = self.end in (ScriptEnd.FINISHED, ScriptEnd.STOPPED)
        require(well == (self.exit_code == 0), f"exit code {self.exit_code} of a script that {self.end.value}")
        with_error = self.end in (ScriptEnd.OUT_OF_MEMORY, ScriptEnd.NOT_CARRIED, ScriptEnd.FAILED)
        require(with_error == (self.error is not None), "an error stands with the ends that have one, and only there")
