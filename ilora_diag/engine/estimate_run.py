"""Asking the estimating process: its command line, and its document as a record or as an error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ilora_diag.engine.outcome import ChildOutcome, ChildSpec, ChildStatus, python_argv
from ilora_diag.engine.runner import run_child
from ilora_diag.schema import Estimate, SchemaError, from_json
from ilora_diag.schema.codec import parse

MODULE = "probes.estimate"

# The CPU does nothing but Python there: more threads would only start up and wait.
CHILD_ENVIRONMENT = (("OMP_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1"), ("PYTHONWARNINGS", "ignore"))
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateRequest:
    """What was typed.

    Attributes:
        overrides: `key=value` arguments.
        config: a YAML file, or a preset's name.
        gpus: names of cards, separated by commas.
        memory_bytes: of every card; None: the cards' own.
        torch_version: whose rules; None: the installed one.
        knobs: also compute changes and the largest batches.
        deadline_s: after which the process is ended.
    """

    overrides: tuple[str, ...] = ()
    config: str | None = None
    gpus: str
    memory_bytes: int | None = None
    torch_version: str | None = None
    knobs: bool = True
    deadline_s: float | None = None


class EstimateError(Exception):
    """There is no estimate.

    Attributes:
        kind: "usage" (a setting or a name), "refused" (the device cannot carry it), "failed", "timed out", "stopped".
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def estimate_argv(request: EstimateRequest, early: Path | None = None) -> tuple[str, ...]:
    """The command line of the process; `early` is a file for what it knows first."""
    options = [("--config", request.config), ("--gpu", request.gpus), ("--torch", request.torch_version)]
    memory = None if request.memory_bytes is None else str(request.memory_bytes)
    given = [f"{name}={value}" for name, value in (*options, ("--memory", memory)) if value is not None]
    flags = [*([] if request.knobs else ["--no-knobs"]), *([] if early is None else [f"--early={early}"])]
    return python_argv(MODULE, *given, *flags, "--", *request.overrides)


def run_estimate_process(request: EstimateRequest, told: Callable[[Estimate], None] | None = None) -> Estimate:
    """Run it to its end.

    Args:
        request: what was typed.
        told: given what is known about the cards while changes and batches are still being looked into, if they are.

    Raises:
        EstimateError: there is no estimate, and why.
    """
    if told is None or not request.knobs:
        return _answer_of(run_child(_spec(request, None)))
    with tempfile.TemporaryDirectory(prefix="ilora-diag-") as folder:
        early = _Early(Path(folder) / "early.json", told)
        outcome = run_child(_spec(request, early.file), early.look)
    return _answer_of(outcome)


class _Early:
    """Looks for the file of what is known first, and hands it on once."""

    def __init__(self, file: Path, told: Callable[[Estimate], None]) -> None:
        self.file, self._told = file, told
        self._done = False

    def look(self) -> bool:
        """Never asks the process to stop."""
        if not self._done and self.file.exists():
            self._done = True
            with suppress(OSError, SchemaError):  # the whole answer comes, too
                self._told(from_json(Estimate, self.file.read_bytes()))
        return False


def _spec(request: EstimateRequest, early: Path | None) -> ChildSpec:
    return ChildSpec(argv=estimate_argv(request, early), deadline_s=request.deadline_s, env=CHILD_ENVIRONMENT)


def _answer_of(outcome: ChildOutcome) -> Estimate:
    if outcome.status is ChildStatus.OK and outcome.document is not None:
        try:
            return from_json(Estimate, outcome.document)
        except SchemaError as error:
            raise EstimateError(f"the estimate cannot be read: {error}", "failed") from error
    raise refusal(outcome)


def refusal(outcome: ChildOutcome) -> EstimateError:
    """Why there is no answer: what the process said of itself, else the end of what it printed."""
    if outcome.status is ChildStatus.TIMED_OUT:
        return EstimateError(outcome.reason, "timed out")
    if outcome.status is ChildStatus.STOPPED:
        return EstimateError("interrupted", "stopped")
    if outcome.document is not None:
        said = parse(outcome.document.encode())
        if isinstance(said, dict) and isinstance(said.get("message"), str):
            return EstimateError(said["message"], str(said.get("status")))
    tail = "\n".join(outcome.stderr.text.strip().splitlines()[-_TAIL_LINES:])
    return EstimateError(f"the estimating process ended without an answer: {outcome.reason}\n{tail}".rstrip(), "failed")
