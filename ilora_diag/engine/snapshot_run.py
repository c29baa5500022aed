"""Recording a configuration's steps on a card into a snapshot file, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ilora_diag.engine.estimate_run import CHILD_ENVIRONMENT, refusal
from ilora_diag.engine.outcome import ChildSpec, ChildStatus, python_argv
from ilora_diag.engine.runner import run_child
from ilora_diag.schema.codec import parse

MODULE = "probes.snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRequest:
    """What to record.

    Attributes:
        overrides: `key=value` arguments.
        config: a YAML file, or a preset's name.
        gpu: name of the virtual card; None: the real one.
        memory_bytes: of the card; None: its own.
        file: where the snapshot goes.
    """

    overrides: tuple[str, ...] = ()
    config: str | None = None
    gpu: str | None
    memory_bytes: int | None = None
    file: Path


def record_configuration(request: RecordRequest) -> str:
    """Record it. Returns the words of the out-of-memory error the steps ended in; empty where they did not.

    Raises:
        EstimateError: nothing was recorded, and why.
    """
    memory = None if request.memory_bytes is None else str(request.memory_bytes)
    options = (
        ("--config", request.config),
        ("--device", "cuda") if request.gpu is None else ("--gpu", request.gpu),
        ("--memory", memory),
        ("--file", str(request.file)),
    )
    given = [f"{name}={value}" for name, value in options if value is not None]
    argv = python_argv(MODULE, *given, "--", *request.overrides)
    outcome = run_child(ChildSpec(argv=argv, deadline_s=None, env=CHILD_ENVIRONMENT))
    if outcome.status is not ChildStatus.OK or outcome.document is None:
        raise refusal(outcome)
    said = parse(outcome.document.encode())
    return str(said.get("message", "")) if isinstance(said, dict) else ""
