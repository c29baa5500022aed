"""`bisect-device`: the walk, then the trials that tell the classes apart, each a process and a line of the journal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ilora_diag.bisect.placement import not_needed, tell_apart
from ilora_diag.engine.bisect.requests import make_requests
from ilora_diag.engine.journal import JOURNAL_NAME, Journal
from ilora_diag.engine.outcome import ChildSpec, Grace, python_argv
from ilora_diag.engine.redact import redact, this_identity
from ilora_diag.engine.run_folder import write_whole
from ilora_diag.engine.runner import run_child
from ilora_diag.engine.supervise import Poll
from ilora_diag.engine.trial_run import ANSWER, FOLDER, REQUEST, STDERR, STDOUT, environment_of, intent_of
from ilora_diag.engine.trial_verdict import judged, said
from ilora_diag.memory.settings import CUDA_VARIABLE, GENERIC_VARIABLE
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.codec import to_json
from ilora_diag.schema.known import Known, Settings, Unavailable
from ilora_diag.schema.place import Leaf, Placement, PlaceMode, PlaceOutcome, PlaceTry
from ilora_diag.schema.trial import Status, Trial
from ilora_diag.schema.trial_answer import TrialAnswer
from ilora_diag.schema.trial_request import Target, TrialRequest

MODULE = "probes.place"
LEAVES = "leaves.jsonl"
EXPANDABLE = "expandable_segments:True"
_DEADLINE_S = 600.0
_NONE = Unavailable(reason="nothing was put on the card", source="place")
_FAILED = frozenset({Status.OTHER, Status.OOM, Status.CRASHED})


@dataclass(slots=True, kw_only=True)
class PlaceRun:
    """One investigation of a placement.

    Attributes:
        request: what to place, and where.
        folder: of the run; exists.
        command: as it would be typed again.
        subject: in words.
        tool_version: of ilora-diag.
        tell: called before each trial with its mode and after it with its row.
        stop: whether a person asked to stop.
    """

    request: BisectRequest
    folder: Path
    command: str
    subject: str
    tool_version: str
    tell: Callable[[PlaceMode, PlaceTry | None], None]
    stop: Poll
    _trials: list[Trial] = field(default_factory=list)
    _answers: dict[str, TrialAnswer] = field(default_factory=dict)
    _culprit: Leaf | None = None

    def run(self) -> Placement:
        """Walk, and where it fails tell the classes apart.

        Raises:
            JournalError: another process writes into the folder.
            OSError: the folder cannot be written.
        """
        began, created_at = time.monotonic(), time.time()
        with Journal(self.folder / JOURNAL_NAME) as journal:
            walk = self._tried(journal, PlaceMode.WALK)
            self._culprit = walk.leaf
            answer, rows = tell_apart(walk, lambda mode: self._tried(journal, mode))
        rest = not_needed((walk, *rows))
        table = (walk, *rows, *(_unneeded(mode) for mode in rest))
        first, said_of_it = self._trials[0], self._answers.get(walk.trial)
        return redact(
            Placement(
                run_id=self.folder.name,
                created_at=created_at,
                tool_version=self.tool_version,
                command=self.command,
                subject=self.subject,
                device=self.request.device,
                base=self.request.base,
                requested=tuple(_typed(text) for text in self.request.overrides),
                effective=first.effective,
                answer=answer,
                culprit=walk.leaf,
                signature=first.signature or Unavailable(reason="the walk did not fail", source="place"),
                error_text=_error_text(first, said_of_it),
                table=table,
                allocator_before=_shown(self._allocator()),
                allocator_after=_shown(flipped(self._allocator())),
                trials=tuple(self._trials),
                notes=said_of_it.notes if said_of_it is not None else (),
                duration_s=time.monotonic() - began,
            ),
            this_identity(),
        )

    def _allocator(self) -> dict[str, str | None]:
        """The allocator's variables in the trials."""
        asked = dict(self.request.base)
        found: dict[str, str | None] = {}
        for name in (CUDA_VARIABLE, GENERIC_VARIABLE):
            value = asked.get(f"env.{name}", os.environ.get(name))
            found[name] = None if value is None else str(value)
        return found

    def _tried(self, journal: Journal, mode: PlaceMode) -> PlaceTry:
        self.tell(mode, None)
        changes: Settings = ()
        if mode is PlaceMode.ALLOCATOR:
            changes = tuple((f"env.{name}", value) for name, value in flipped(self._allocator()).items())
        only = self._culprit.name if self._culprit is not None else ""
        asked = replace(make_requests(self.request)(changes), id=journal.next_id())
        marks: Settings = (("place.mode", mode.value), *((("place.only", only),) if only else ()))
        intent = intent_of(asked, started_at=time.time())
        intent = replace(intent, probe="place", requested=(*intent.requested, *marks))
        journal.announce(intent)
        folder = self.folder / FOLDER / asked.id
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / REQUEST, to_json(asked, indent=1))
        outcome = run_child(self._spec(asked, folder, mode, only), self.stop)
        answer = said(outcome)
        write_whole(folder / STDOUT, outcome.stdout.text)
        write_whole(folder / STDERR, outcome.stderr.text)
        if answer is not None:
            write_whole(folder / ANSWER, to_json(answer, indent=1))
            self._answers[asked.id] = answer
        trial = judged(intent, outcome, answer, journal=f"{FOLDER}/{asked.id}")
        journal.record(trial)
        self._trials.append(trial)
        row = row_of(mode, trial, folder / LEAVES, _detail(mode, trial, changes))
        self.tell(mode, row)
        return row

    def _spec(self, asked: TrialRequest, folder: Path, mode: PlaceMode, only: str) -> ChildSpec:
        words = ["--request", str((folder / REQUEST).absolute()), "--journal", str((folder / LEAVES).absolute())]
        words += [f"--mode={mode.value}", f"--only={only}"]
        deadline = self.request.trial_deadline_s or _DEADLINE_S
        grace = Grace(interrupt_s=5.0, terminate_s=5.0)
        return ChildSpec(argv=python_argv(MODULE, *words), deadline_s=deadline, env=environment_of(asked), grace=grace)


def flipped(variables: dict[str, str | None]) -> dict[str, str | None]:
    """The opposite allocator setting: none of what is set, or expandable segments where nothing is."""
    if any(value for value in variables.values()):
        return dict.fromkeys(variables)
    return {name: EXPANDABLE if name == CUDA_VARIABLE else None for name in variables}


def row_of(mode: PlaceMode, trial: Trial, leaves: Path, detail: str) -> PlaceTry:
    """A row of the truth table, from a trial and what its process wrote about every tensor."""
    outcome = PlaceOutcome.UNKNOWN
    if trial.status is Status.OK:
        outcome = PlaceOutcome.PASSES
    elif trial.status in _FAILED and _was_placing(trial):
        outcome = PlaceOutcome.FAILS
    moved, pending, last = _read(leaves)
    allocated: Known[int] = last[0] if last else _NONE
    reserved: Known[int] = last[1] if last else _NONE
    return PlaceTry(
        mode=mode,
        outcome=outcome,
        trial=trial.id,
        leaf=pending if outcome is PlaceOutcome.FAILS else None,
        num_moved=len(moved),
        moved_bytes=sum(leaf.size_bytes for leaf in moved),
        allocated_bytes=allocated,
        reserved_bytes=reserved,
        detail=detail,
    )


def _was_placing(trial: Trial) -> bool:
    """Whether it failed on the device: what fails while the model is built on the host says nothing of the card."""
    stage = trial.signature.stage if trial.signature is not None else None
    return stage not in ("import", "load")


def _read(path: Path) -> tuple[list[Leaf], Leaf | None, tuple[int, int] | None]:
    """Tensors that were moved, the one announced last that was not, and the allocator's last word."""
    moved: list[Leaf] = []
    pending: Leaf | None = None
    last: tuple[int, int] | None = None
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                said_of = json.loads(line)
            except ValueError:
                break  # the end of a line that was being written
            event = said_of.pop("event", "")
            if event == "leaf":
                pending = Leaf(**{**said_of, "shape": tuple(said_of["shape"])})
            elif event == "ok" and pending is not None:
                moved.append(pending)
                pending, last = None, (said_of["allocated_bytes"], said_of["reserved_bytes"])
    return moved, pending, last


def _unneeded(mode: PlaceMode) -> PlaceTry:
    return PlaceTry(mode=mode, outcome=PlaceOutcome.NOT_NEEDED, allocated_bytes=_NONE, reserved_bytes=_NONE)


def _detail(mode: PlaceMode, trial: Trial, changes: Settings) -> str:
    setting = _shown({key.removeprefix("env."): None if value is None else str(value) for key, value in changes})
    reason = trial.reason.splitlines()[0] if trial.reason else ""
    return "; ".join(filter(None, (setting, reason))) if mode is PlaceMode.ALLOCATOR else reason


def _shown(variables: dict[str, str | None]) -> str:
    """`NAME=value`, of those that are set."""
    return " ".join(f"{name}={value}" for name, value in variables.items() if value)


def _error_text(trial: Trial, answer: TrialAnswer | None) -> str:
    if answer is not None and answer.error is not None:
        return f"{answer.error.type}: {answer.error.message}"
    return trial.reason


def _typed(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def subject_of(request: BisectRequest) -> str:
    """What is placed, in words."""
    if request.target is Target.SCRIPT:
        return " ".join((request.script, *request.script_args))
    return " ".join((request.config or "teacher", *request.overrides))
