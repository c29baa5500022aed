"""Trials as answers: what the search asks for becomes a process, a line of the journal, and a verdict.

A trial that the journal already holds, of the same settings under the same fingerprint, is recalled instead of run.
The search is deterministic, so a run that was cut off is gone on with by asking again from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ilora_diag.bisect.oracle import Assignment, BudgetSpent, Interrupted, Observation, Verdict, verdict_of
from ilora_diag.engine.bisect.same import is_same
from ilora_diag.engine.journal import Journal
from ilora_diag.engine.supervise import Poll
from ilora_diag.engine.trial_run import Ran
from ilora_diag.schema.bisect import Factor, Purpose, Step
from ilora_diag.schema.codec import to_data
from ilora_diag.schema.known import Known, Settings, Unavailable, Value
from ilora_diag.schema.trial import FailureSignature, Intent, Status, Trial
from ilora_diag.schema.trial_answer import TrialAnswer
from ilora_diag.schema.trial_request import TrialRequest

Ask = Callable[[TrialRequest], TrialRequest]
_LEAST_DEADLINE_S, _MOST_DEADLINE_S, _PATIENCE = 60.0, 600.0, 5.0


class Runner(Protocol):
    """What runs trials: processes, or a model of them."""

    def prepare(self, requests: Sequence[TrialRequest], *, alone: bool = False) -> None:
        """Told what kinds of trials will come, and whether each is to have an interpreter of its own."""
        ...

    def run(self, request: TrialRequest, *, fresh: bool, deadline_s: float, poll: Poll | None = None) -> Ran:
        """Run a trial to its end, however it ends."""
        ...

    def answer_of(self, trial_id: str) -> TrialAnswer | None:
        """The answer of an earlier trial."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A trial that ended, for whoever shows it.

    Attributes:
        step: why it was run.
        trial: how it ended.
        answer: its own word; None where it said nothing, or was recalled.
        verdict: what it means for the search.
    """

    step: Step
    trial: Trial
    answer: TrialAnswer | None
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class Limits:
    """Budget and patience.

    Attributes:
        max_trials, max_seconds: 0 has no limit.
        deadline_s: of one trial; 0 is chosen from the slowest pass so far.
        began: monotonic seconds.
    """

    max_trials: int = 0
    max_seconds: float = 0.0
    deadline_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def check(self, num_run: int) -> None:
        """Raise BudgetSpent once there is nothing left."""
        if self.max_trials and num_run >= self.max_trials:
            raise BudgetSpent(f"{num_run} trials were run, as many as the budget allows")
        if self.max_seconds and time.monotonic() - self.began >= self.max_seconds:
            raise BudgetSpent(f"the budget of {self.max_seconds:g} s is spent")

    def for_trial(self, slowest_pass_s: float) -> float:
        """Seconds a trial may take."""
        if self.deadline_s:
            return self.deadline_s
        if not slowest_pass_s:
            return _MOST_DEADLINE_S
        return min(max(_PATIENCE * slowest_pass_s, _LEAST_DEADLINE_S), _MOST_DEADLINE_S)


@dataclass(slots=True, kw_only=True)
class TrialOracle:
    """Runs the trials the search asks for.

    Attributes:
        runner: starts processes.
        journal: of the run folder.
        recorded: trials of earlier attempts in the journal, by key, in order.
        make: the request of a trial, from what it sets beyond the failing configuration.
        ask: how far trials are to run, and what they look for on their way.
        limits: budget and patience.
        fingerprint: under which results are reused.
        device: where trials run.
        tell: called after each trial.
        note: told what was done otherwise than asked, such as a process of its own in place of a fork.
        stop: whether a person asked to stop.
        exact: also stage and frame must be the same.
        target: the failure under investigation; the first failing trial sets it.
        grows: live bytes grow from step to step in the failing configuration, so that a pass must not.
        factors: that the search may relax.
        first: the observation of the unchanged configuration that the factors were found by; it counts as the search's
            first.
    """

    runner: Runner
    journal: Journal
    recorded: dict[str, deque[Trial]]
    make: Callable[[Settings], TrialRequest]
    ask: Ask
    limits: Limits
    fingerprint: str
    device: str
    tell: Callable[[Told], None]
    note: Callable[[str], None]
    stop: Callable[[], bool]
    exact: bool = False
    target: FailureSignature | None = None
    grows: bool = False
    factors: Sequence[Factor] = ()
    first: Observation | None = None
    steps: list[Step] = field(default_factory=list)
    trials: dict[str, Trial] = field(default_factory=dict)
    answers: dict[str, TrialAnswer] = field(default_factory=dict)
    _slowest_pass_s: float = 0.0
    _num_run: int = 0
    _has_spare: bool = False

    def observe(self, relaxed: Assignment, *, purpose: Purpose, fresh: bool) -> Observation:
        """One more trial of the failing configuration with factors relaxed.

        Raises:
            BudgetSpent, Interrupted: before it is started.
        """
        first, self.first = self.first, None
        if first is not None and purpose is Purpose.PREFLIGHT_FAIL:
            return first
        levels = tuple((one.name, relaxed[one.name]) for one in self.factors if relaxed.get(one.name))
        chosen = [one.levels[relaxed[one.name]] for one in self.factors if relaxed.get(one.name)]
        changes = tuple({key: value for level in chosen for key, value in level.changes}.items())
        step = Step(trial="", purpose=purpose, relaxed=levels, is_fresh=fresh and self._takes_its_own(purpose))
        found = self.run(step, changes)
        if found.verdict is Verdict.PASS and purpose in _PROMISING and not found.reused and not self._has_spare:
            # Likely the fix, which will be repeated in an interpreter of its own: that one starts beside the search.
            self._has_spare = True
            self.runner.prepare([self.ask(self.make(changes))], alone=True)
        return found

    def _takes_its_own(self, purpose: Purpose) -> bool:
        """Whether a trial is given an interpreter of its own.

        A changed environment always has one that was started with it, and trials may be forked from that. The fix is
        repeated in interpreters of its own: on a virtual card, of which nothing outlives a process, once.
        """
        if purpose is not Purpose.FINAL:
            return False
        return not self.device.startswith("virtual:") or not any(step.purpose is Purpose.FINAL for step in self.steps)

    def run(self, step: Step, changes: Settings, *, ask: Ask | None = None) -> Observation:
        """Run, or recall, the trial of a step; `ask` has the last word on what is asked."""
        request = (ask or self.ask)(self.make(changes))
        key = key_of(request)
        waiting = self.recorded.get(key)
        if waiting:
            trial = waiting.popleft()
            return self._noted(replace(step, trial=trial.id, reused=True), trial, self.runner.answer_of(trial.id))
        if self.stop():
            raise Interrupted("stopped on request")
        self.limits.check(self._num_run)
        ran = self._executed(replace(request, id=self.journal.next_id()), step)
        if ran.trial.status is Status.INTERRUPTED:
            raise Interrupted("stopped on request")
        for note in ran.notes:
            self.note(f"{ran.trial.id}: {note}")
        return self._noted(replace(step, trial=ran.trial.id, is_fresh=ran.is_fresh), ran.trial, ran.answer)

    def _executed(self, request: TrialRequest, step: Step) -> Ran:
        self.journal.announce(
            Intent(
                id=request.id,
                probe="trial",
                requested=(*flat(request), *step_settings(step)),
                started_at=time.time(),
                fingerprint=self.fingerprint,
            )
        )
        self._num_run += 1
        deadline = self.limits.for_trial(self._slowest_pass_s)
        ran = self.runner.run(request, fresh=step.is_fresh, deadline_s=deadline, poll=self.stop)
        trial = self._judged(ran.trial, ran.answer)
        trial = replace(
            trial, requested=(*flat(request), *step_settings(step)), fingerprint=self.fingerprint, probe="trial"
        )
        self.journal.record(trial)
        if trial.status is Status.OK and not isinstance(trial.seconds, Unavailable):
            self._slowest_pass_s = max(self._slowest_pass_s, trial.seconds)
        return replace(ran, trial=trial)

    def _judged(self, trial: Trial, answer: TrialAnswer | None) -> Trial:
        """The trial's status against the failure under investigation."""
        if trial.status is Status.OK and self.grows and answer is not None and answer.retention is not None:
            retention = answer.retention
            if retention.is_growing and self.target is not None:
                reason = f"it passed its steps, but still grows by {retention.slope_bytes:.0f} bytes a step"
                return replace(trial, status=Status.SAME, signature=self.target, reason=reason)
        if trial.signature is None or trial.status not in _FAILED:
            return trial
        if self.target is None:
            self.target = trial.signature
        same = is_same(trial.signature, self.target, exact=self.exact)
        return replace(trial, status=Status.SAME if same else Status.OTHER)

    def _noted(self, step: Step, trial: Trial, answer: TrialAnswer | None) -> Observation:
        if self.target is None and trial.status is Status.SAME:
            self.target = trial.signature  # recalled: judged when it was run
        self.steps.append(step)
        self.trials[trial.id] = trial
        if answer is not None:
            self.answers[trial.id] = answer
        verdict = verdict_of(trial.status)
        self.tell(Told(step=step, trial=trial, answer=answer, verdict=verdict))
        return Observation(
            trial=trial.id,
            verdict=verdict,
            peak_reserved_bytes=metric(trial, "peak_reserved_bytes"),
            signature=trial.signature,
            text=trial.reason,
            reused=step.reused,
        )


_PROMISING = (Purpose.EFFECT, Purpose.REPAIR, Purpose.LEVEL)
_FAILED = (Status.OOM, Status.OTHER, Status.SAME, Status.CRASHED)


def metric(trial: Trial, name: str) -> Known[int]:
    """A metric of bytes, or why there is none."""
    for one in trial.metrics:
        if one.name == name:
            value = one.value
            if isinstance(value, Unavailable):
                return value
            if isinstance(value, int):
                return value
    return Unavailable(reason="the trial measured none", source=name)


def flat(request: TrialRequest) -> Settings:
    """A request as settings: what was typed, then what the trial sets."""
    options: list[tuple[str, Value]] = [("--device", request.device)]
    for name, value in (
        ("--config", request.config),
        ("--torch", request.torch_version),
        ("--script", request.script),
        ("--stop-after", request.stop_after.value),
    ):
        if value:
            options.append((name, value))
    options += [("--steps", request.steps), ("--growth-steps", request.growth_steps)]
    if request.script:
        options.append(("--args", request.script_args))
    if request.overrides:
        options.append(("--overrides", request.overrides))
    return (*options, *request.settings)


def step_settings(step: Step) -> Settings:
    """Why a trial was run, as settings of its Intent."""
    relaxed = tuple(f"{name}={level}" for name, level in step.relaxed)
    return (("step.purpose", step.purpose.value), ("step.relaxed", relaxed), ("step.fresh", step.is_fresh))


def key_of(request: TrialRequest) -> str:
    """Equal for requests that ask for the same trial."""
    data = to_data(replace(request, id="T-00"))
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def recorded_trials(
    folder: Path, trials: Sequence[Trial], read_request: Callable[[Path], TrialRequest | None], fingerprint: str
) -> tuple[dict[str, deque[Trial]], int]:
    """The journaled trials that may be recalled, by key, and how many of another fingerprint may not."""
    found: dict[str, deque[Trial]] = defaultdict(deque)
    others = 0
    for trial in trials:
        if trial.fingerprint != fingerprint:
            others += 1
            continue
        request = read_request(folder / "trials" / trial.id)
        if request is not None and trial.status is not Status.INTERRUPTED:
            found[key_of(request)].append(trial)
    return dict(found), others
