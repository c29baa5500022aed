"""Running one trial: from a request to a record for the journal, whatever the process does.

The trial's folder `trials/T-07/` under the run folder holds what was asked (request.json), what it said (answer.json)
and what it printed (stdout.txt, stderr.txt), each written whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ilora_diag.engine.estimate_run import CHILD_ENVIRONMENT
from ilora_diag.engine.fork_server import Environment, ServerError
from ilora_diag.engine.gpu_neighbours import CardWatch
from ilora_diag.engine.host_memory import host_memory_for_a_trial
from ilora_diag.engine.outcome import ChildOutcome, ChildSpec, ChildStatus, Grace, python_argv
from ilora_diag.engine.run_folder import write_whole
from ilora_diag.engine.runner import run_child
from ilora_diag.engine.supervise import Poll
from ilora_diag.engine.trial_server import Kind, TrialServers
from ilora_diag.engine.trial_verdict import judged, said
from ilora_diag.schema.codec import from_json, to_json
from ilora_diag.schema.errors import SchemaError
from ilora_diag.schema.trial import Intent, Trial
from ilora_diag.schema.trial_answer import TrialAnswer
from ilora_diag.schema.trial_request import Target, TrialRequest

MODULE = "probes.trial"
_PLACE = f"{Path(__file__).resolve().parents[2]}/"
FOLDER = "trials"
REQUEST, ANSWER, STDOUT, STDERR = "request.json", "answer.json", "stdout.txt", "stderr.txt"

_VIRTUAL = "virtual:"
# A script that is asked to end takes its ledger apart first.
_GRACE = Grace(interrupt_s=10.0, terminate_s=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A trial that was run.

    Attributes:
        trial: the record for the journal.
        answer: its own word, where it gave one.
        is_fresh: in an interpreter of its own, also where that was not asked for.
        notes: what did not go as asked for, in words.
    """

    trial: Trial
    answer: TrialAnswer | None
    is_fresh: bool = True
    notes: tuple[str, ...] = ()


class TrialRunner:
    """Runs the trials of one run folder, one at a time. Use as a context manager.

    Args:
        folder: the run's; it exists.
        memory_limit_bytes: of host memory for a trial without a real card; None: most of what is free when it starts.
    """

    def __init__(self, folder: Path, *, memory_limit_bytes: int | None = None) -> None:
        self._folder = folder
        self._memory_limit_bytes = memory_limit_bytes
        self._servers = TrialServers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the servers that were started for trials."""
        self._servers.close()

    def prepare(self, requests: Sequence[TrialRequest], *, alone: bool = False) -> None:
        """Begin to start what trials like these will be forked from.

        Args:
            requests: of each kind one, the first needed first.
            alone: each is then forked from an interpreter that no other trial is forked from.
        """
        kinds = [kind_of(one, environment_of(one)) for one in requests]
        self._servers.start_early([replace(kind, is_spare=alone) for kind in kinds])

    def run(self, request: TrialRequest, *, fresh: bool, deadline_s: float, poll: Poll | None = None) -> Ran:
        """Run a trial to its end, however it ends.

        Args:
            request: what to try.
            fresh: in an interpreter of its own, not forked from one with the imports done.
            deadline_s: seconds after which it is ended.
            poll: asked about every 0.2 s while it runs; True asks it to stop.

        Raises:
            OSError: the trial's folder cannot be written.
        """
        folder = self._folder / FOLDER / request.id
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / REQUEST, to_json(request, indent=1))
        (folder / ANSWER).unlink(missing_ok=True)
        intent = intent_of(request, started_at=time.time())
        beside = CardWatch() if request.device == "cuda" else None
        spec = spec_of(request, folder / REQUEST, deadline_s, self._limit(request))
        outcome, is_fresh, notes = self._executed(request, spec, fresh, poll)
        answer = said(outcome)
        trial = judged(intent, outcome, answer, journal=f"{FOLDER}/{request.id}")
        answer = None if answer is None else _without_place(answer)
        _keep(folder, outcome, answer)
        if beside is not None:
            trial, more = beside.judge(trial, outcome)
            notes += more
        return Ran(trial=trial, answer=answer, is_fresh=is_fresh, notes=notes)

    def answer_of(self, trial_id: str) -> TrialAnswer | None:
        """The answer of an earlier trial of this run folder; None where it gave none, or it cannot be read."""
        return read_answer(self._folder / FOLDER / trial_id)

    def _executed(
        self, request: TrialRequest, spec: ChildSpec, fresh: bool, poll: Poll | None
    ) -> tuple[ChildOutcome, bool, tuple[str, ...]]:
        """Run the process: through a server, or as one of its own where that was asked for or there is no server."""
        kind = kind_of(request, spec.env)
        if fresh:
            return self._alone(request, spec, replace(kind, is_spare=True), poll), True, ()
        try:
            launcher = self._servers.obtain(kind, poll).launcher({"request": spec.argv[-1]})
        except ServerError as error:
            return run_child(spec, poll), True, (f"in a process of its own: {error}",)
        outcome = run_child(spec, poll, launcher)
        if launcher.lost:
            why = "the trial server died while a trial ran, which was run again in a process of its own"
        elif outcome.status is ChildStatus.NOT_STARTED:
            why = f"in a process of its own: {outcome.reason}"
        else:
            return outcome, False, ()
        self._servers.give_up(kind, why)
        return run_child(spec, poll), True, (why,)

    def _alone(self, request: TrialRequest, spec: ChildSpec, spare: Kind, poll: Poll | None) -> ChildOutcome:
        """Run the process with an interpreter of its own: one that waits with the imports done, or a new one."""
        if not self._servers.has(spare):
            return run_child(spec, poll)
        try:
            launcher = self._servers.obtain(spare, poll).launcher({"request": spec.argv[-1]})
        except ServerError:
            return run_child(spec, poll)
        outcome = run_child(spec, poll, launcher)
        self._servers.drop(spare)
        failed = launcher.lost or outcome.status is ChildStatus.NOT_STARTED
        return run_child(spec, poll) if failed else outcome

    def _limit(self, request: TrialRequest) -> int | None:
        """Host memory that a trial may take. With a real card there is none: CUDA maps much more than it uses."""
        if request.device == "cuda":
            return None
        return self._memory_limit_bytes or host_memory_for_a_trial()


def _keep(folder: Path, outcome: ChildOutcome, answer: TrialAnswer | None) -> None:
    write_whole(folder / STDOUT, outcome.stdout.text)
    write_whole(folder / STDERR, outcome.stderr.text)
    if answer is not None:
        write_whole(folder / ANSWER, to_json(answer, indent=1))


def _without_place(answer: TrialAnswer) -> TrialAnswer:
    """The answer without the folder that this program lies in: a traceback through our own code tells it."""
    error = answer.error
    if error is None:
        return answer
    return replace(answer, error=replace(error, traceback=error.traceback.replace(_PLACE, "")))


def kind_of(request: TrialRequest, env: Environment) -> Kind:
    """Which server can run a trial."""
    return Kind(env=env, virtual=request.device.startswith(_VIRTUAL), script=request.script)


def intent_of(request: TrialRequest, *, started_at: float, fingerprint: str = "") -> Intent:
    """The announcement of a trial: what it sets, in the order in which later ones win."""
    return Intent(
        id=request.id,
        probe="trial",
        requested=(("device", request.device), *request.settings),
        started_at=started_at,
        fingerprint=fingerprint,
    )


def spec_of(request: TrialRequest, file: Path, deadline_s: float, memory_limit_bytes: int | None = None) -> ChildSpec:
    """The process of a trial: started with the environment that the request asks for."""
    return ChildSpec(
        argv=python_argv(MODULE, "--request", str(file.absolute())),
        deadline_s=deadline_s,
        env=environment_of(request),
        grace=_GRACE,
        memory_limit_bytes=memory_limit_bytes,
    )


def environment_of(request: TrialRequest) -> tuple[tuple[str, str | None], ...]:
    """What its environment has beyond ours; None removes a variable."""
    changes: dict[str, str | None] = {}
    if request.device.startswith(_VIRTUAL):  # nothing is computed there
        changes.update(CHILD_ENVIRONMENT if request.target is Target.CONFIG else CHILD_ENVIRONMENT[:2])
    changes.update((name, None if value is None else str(value)) for name, value in request.in_namespace("env").items())
    return tuple(changes.items())


def read_request(folder: Path) -> TrialRequest | None:
    """The request in a trial's folder; None where there is none that can be read."""
    with suppress(OSError, SchemaError):
        return from_json(TrialRequest, (folder / REQUEST).read_bytes())
    return None


def read_answer(folder: Path) -> TrialAnswer | None:
    """The answer in a trial's folder; None where there is none that can be read."""
    with suppress(OSError, SchemaError):
        return from_json(TrialAnswer, (folder / ANSWER).read_bytes())
    return None
