"""Asking for a script to be run under the recorder: its command line, and its document as a record or as an error."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.engine.outcome import ChildOutcome, ChildSpec, ChildStatus, Grace, python_argv
from ilora_diag.engine.redact import redact, this_identity
from ilora_diag.engine.runner import run_child
from ilora_diag.schema import SchemaError, ScriptRun, from_json
from ilora_diag.schema.codec import parse

MODULE = "probes.run_script"

# After a signal the child still takes its ledger apart, which for a million requests takes a while.
_GRACE = Grace(interrupt_s=30.0, terminate_s=30.0)
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRequest:
    """What was typed.

    Attributes:
        script: path of a file, or dotted name of a module.
        is_module: which of the two.
        args: the script's own.
        device: `cuda` or `virtual:NAME`.
        memory_bytes: of the virtual card; None: the card's own.
        torch_version: whose rules; None: the installed one.
        max_steps: optimizer steps after which the script is ended; None lets it run.
        deadline_s: after which it is ended, and told as far as it came.
    """

    script: str
    is_module: bool = False
    args: tuple[str, ...] = ()
    device: str
    memory_bytes: int | None = None
    torch_version: str | None = None
    max_steps: int | None = None
    deadline_s: float | None = None


class ScriptRunError(Exception):
    """There is no record of a run.

    Attributes:
        kind: "usage" (a name or a setting), "no device", "failed", "timed out", "stopped".
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """The record, and whether the deadline or a person ended the run."""

    run: ScriptRun
    timed_out: bool
    stopped: bool


def script_argv(request: ScriptRequest) -> tuple[str, ...]:
    """The command line of the process."""
    options = [f"--device={request.device}"]
    for name, value in (
        ("--memory", request.memory_bytes),
        ("--torch", request.torch_version),
        ("--max-steps", request.max_steps),
    ):
        options += [] if value is None else [f"{name}={value}"]
    return python_argv(MODULE, *options, *(["-m"] if request.is_module else []), "--", request.script, *request.args)


def run_script_process(request: ScriptRequest) -> ScriptResult:
    """Run it to its end; what the script prints goes to our stderr as it comes.

    Raises:
        ScriptRunError: there is no record, and why.
    """
    spec = ChildSpec(argv=script_argv(request), deadline_s=request.deadline_s, grace=_GRACE, echo=True)
    outcome = run_child(spec)
    if outcome.document is None:
        raise _unanswered(outcome)
    try:
        run = from_json(ScriptRun, outcome.document)
    except SchemaError as error:
        raise _said(outcome.document) or ScriptRunError(f"the run cannot be read: {error}", "failed") from error
    return ScriptResult(
        run=redact(run, this_identity()),
        timed_out=outcome.status is ChildStatus.TIMED_OUT,
        stopped=outcome.status is ChildStatus.STOPPED,
    )


def _said(document: str) -> ScriptRunError | None:
    """What the process says it could not begin, and why."""
    said = parse(document.encode())
    if isinstance(said, dict) and isinstance(said.get("message"), str):
        return ScriptRunError(said["message"], str(said.get("status")))
    return None


def _unanswered(outcome: ChildOutcome) -> ScriptRunError:
    if outcome.status is ChildStatus.TIMED_OUT:
        return ScriptRunError(outcome.reason, "timed out")
    if outcome.status is ChildStatus.STOPPED:
        return ScriptRunError("interrupted", "stopped")
    tail = "\n".join(outcome.stderr.text.strip().splitlines()[-_TAIL_LINES:])
    return ScriptRunError(f"the script's process ended without an answer: {outcome.reason}\n{tail}".rstrip(), "failed")
