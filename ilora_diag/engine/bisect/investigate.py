"""One investigation: reproduce the failure, find out what could be relaxed, search, and put the record together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ilora.config import Config, load_config
from ilora_diag.bisect.oracle import BudgetSpent, Interrupted
from ilora_diag.bisect.search import Found, Mode, SearchOptions, search
from ilora_diag.engine.bisect.beside import Neighbour
from ilora_diag.engine.bisect.config_factors import accepted_by, config_factors, never_done
from ilora_diag.engine.bisect.fingerprint import fingerprint
from ilora_diag.engine.bisect.machine_factors import VIRTUAL, machine_factors
from ilora_diag.engine.bisect.oracle import Limits, Runner, Told, TrialOracle, recorded_trials
from ilora_diag.engine.bisect.record import Ground, record_of
from ilora_diag.engine.bisect.requests import GROWTH_STEPS, discovery, make_requests, ordinary, roomy
from ilora_diag.engine.bisect.script_factors import (
    WATCHED,
    argument_factors,
    intervention_factors,
    retention_factors,
    without_opportunity,
)
from ilora_diag.engine.bisect.user_factors import read_factors
from ilora_diag.engine.journal import JOURNAL_NAME, Journal, read_journal
from ilora_diag.engine.trial_run import TrialRunner, read_request
from ilora_diag.schema.bisect import Bisect, Factor, FactorScope, Outcome, Purpose, Reproduction, Step
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.report import Skipped
from ilora_diag.schema.trial import OUT_OF_MEMORY, Status
from ilora_diag.schema.trial_answer import Opportunity, TrialAnswer
from ilora_diag.schema.trial_request import Target, TrialRequest


class Listener(Protocol):
    """Who is told of an investigation while it goes on."""

    def told(self, told: Told) -> None:
        """A trial ended."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def factors(self, factors: tuple[Factor, ...]) -> None:
        """What will be searched."""


class UnknownFactorError(ValueError):
    """A name after --factors or --skip-factors that no factor of this investigation has."""


@dataclass(slots=True, kw_only=True)
class Investigation:
    """State of one investigation.

    Attributes:
        request: what was asked for.
        folder: of the run; exists.
        command: as it would be typed again.
        listener: told of progress.
        stop: whether a person asked to stop.
        tool_version: of ilora-diag.
        make_runner: what runs the trials of a folder.
    """

    request: BisectRequest
    folder: Path
    command: str
    listener: Listener
    stop: Callable[[], bool]
    tool_version: str
    make_runner: Callable[[Path], AbstractContextManager[Runner]] = TrialRunner
    skipped: list[Skipped] = field(default_factory=list)
    not_applicable: list[Skipped] = field(default_factory=list)

    def run(self) -> Bisect:
        """Search to an end, whatever it is.

        Raises:
            JournalError: another process writes into the folder, or its journal cannot be read.
            FactorsFileError, UnknownFactorError: a factors file, or a factor's name.
            OSError: the folder cannot be written.
        """
        began, created_at = time.monotonic(), time.time()
        known = self._known_factors()  # refuses bad files and names before anything runs
        config = self._config()
        mark = fingerprint(self.request)
        neighbour = Neighbour(self.request)
        with Journal(self.folder / JOURNAL_NAME) as journal, self.make_runner(self.folder) as runner:
            runner.prepare(self._kinds())
            oracle = self._oracle(runner, journal, mark)
            found, factors = self._searched(oracle, neighbour, known, config)
            if found.outcome is not Outcome.INTERRUPTED and not self.stop():
                neighbour.wait()
            ground = Ground(
                request=self.request,
                folder=self.folder,
                command=self.command,
                tool_version=self.tool_version,
                fingerprint=mark,
                created_at=created_at,
                duration_s=time.monotonic() - began,
                factors=factors,
                config=config,
                not_applicable=tuple(self.not_applicable),
                skipped=tuple(self.skipped),
            )
            return record_of(ground, oracle, found, neighbour)

    def _kinds(self) -> list[TrialRequest]:
        """A request for each environment that the search will come to: the unchanged one, the allocator's levels."""
        make = make_requests(self.request)
        factors = machine_factors(self.request.device, self.request.base, os.environ)
        levels = [level for one in factors if one.scope is FactorScope.ENVIRONMENT for level in one.levels[1:]]
        # The mildest first: every factor relaxed is tried before any alone.
        wanted = levels[::-1] if self.request.mode == "full" else levels[-1:]
        return [make(()), *(make(level.changes) for level in wanted)]

    # -- before the search -----------------------------------------------------------------------------------------

    def _known_factors(self) -> tuple[Factor, ...]:
        """The user's own."""
        return read_factors(Path(self.request.factors_file)) if self.request.factors_file else ()

    def _config(self) -> Config | None:
        if self.request.target is Target.SCRIPT:
            return None
        return load_config(self.request.overrides, file=self.request.config or None)

    def _oracle(self, runner: Runner, journal: Journal, mark: str) -> TrialOracle:
        request = self.request
        earlier = read_journal(self.folder / JOURNAL_NAME)
        recorded, others = recorded_trials(self.folder, earlier.trials, read_request, mark)
        if earlier.trials:
            usable = len(earlier.trials) - others
            self.listener.note(f"going on: {usable} of {len(earlier.trials)} trials of this run can be used again")
        if others:
            text = f"{others} trials are of other code or another environment and are run again"
            self.listener.note(text)
            self.skipped.append(Skipped(what="earlier trials", reason=text))
        return TrialOracle(
            runner=runner,
            journal=journal,
            recorded=recorded,
            make=make_requests(request),
            ask=lambda asked: asked,
            limits=Limits(
                max_trials=request.max_trials, max_seconds=request.max_seconds, deadline_s=request.trial_deadline_s
            ),
            fingerprint=mark,
            device=request.device,
            tell=self.listener.told,
            note=self._noted,
            stop=self.stop,
            exact=request.exact,
        )

    def _noted(self, text: str) -> None:
        self.listener.note(text)
        self.skipped.append(Skipped(what="trials", reason=text))

    # -- the search ------------------------------------------------------------------------------------------------

    def _searched(
        self, oracle: TrialOracle, neighbour: Neighbour, known: tuple[Factor, ...], config: Config | None
    ) -> tuple[Found, tuple[Factor, ...]]:
        try:
            oracle.first = oracle.run(Step(trial="", purpose=Purpose.PREFLIGHT_FAIL, relaxed=()), (), ask=discovery)
        except (BudgetSpent, Interrupted) as error:
            return _cut_short(error), ()
        first = oracle.trials[oracle.first.trial]
        if first.status in (Status.INVALID, Status.SKIPPED, Status.GARBLED):
            return ended(Outcome.CANNOT_RUN), ()
        answer = oracle.answers.get(first.id)
        neighbour.start(wants_memory=_wants_memory(oracle))
        if first.status is not Status.OK:
            try:
                answer = self._looked_into(oracle, answer)
            except (BudgetSpent, Interrupted) as error:
                return _cut_short(error), ()
        family = oracle.target.family if oracle.target is not None else None
        oracle.ask = ordinary(oracle.answers.get(first.id), family, grows=oracle.grows)
        factors = self._chosen(tuple(self._factors(config, answer, known)))
        oracle.factors = factors
        self.listener.factors(factors)
        options = SearchOptions(mode=mode_of(self.request), alpha=self.request.alpha)
        return search(factors, oracle, options), factors

    def _looked_into(self, oracle: TrialOracle, answer: TrialAnswer | None) -> TrialAnswer | None:
        """Measure need and growth where nothing runs out, if the failure is for want of memory on a virtual card."""
        if answer is not None and answer.retention is not None and answer.retention.is_growing:
            oracle.grows = True
            return answer
        if not _wants_memory(oracle) or not self.request.device.startswith(VIRTUAL):
            return answer
        steps = max(GROWTH_STEPS, 0 if answer is None else answer.steps_done + 2)
        step = Step(trial="", purpose=Purpose.GROWTH, relaxed=())
        seen = oracle.run(step, (), ask=lambda asked: roomy(asked, steps))
        found = oracle.answers.get(seen.trial)
        if found is None:
            return answer
        oracle.grows = found.retention is not None and found.retention.is_growing
        return replace(found, opportunities=_merged(answer, found))

    def _factors(
        self, config: Config | None, answer: TrialAnswer | None, known: tuple[Factor, ...]
    ) -> Iterator[Factor]:
        request = self.request
        yield from known
        yield from machine_factors(request.device, request.base, os.environ)
        if answer is not None:
            yield from retention_factors(answer.retention)
        if config is not None:
            yield from config_factors(config, accepted_by(config, request.device))
            self.not_applicable += never_done()
            return
        yield from argument_factors(request.script_args)
        opportunities = answer.opportunities if answer is not None else ()
        yield from intervention_factors(opportunities)
        self.not_applicable += without_opportunity(opportunities)

    def _chosen(self, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
        kept, left_out = chosen(self.request, factors)
        self.not_applicable += left_out
        return kept


def chosen(request: BisectRequest, factors: tuple[Factor, ...]) -> tuple[tuple[Factor, ...], tuple[Skipped, ...]]:
    """The factors that were asked for, and those left out on request.

    Raises:
        UnknownFactorError: a name that none of them has.
    """
    names = [factor.name for factor in factors]
    for option, given in (("--factors", request.only), ("--skip-factors", request.skip)):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise UnknownFactorError(f"{option} {unknown[0]}: allowed are {', '.join(names)}")
    left = {name for name in names if name in request.skip or (request.only and name not in request.only)}
    return (
        tuple(factor for factor in factors if factor.name not in left),
        tuple(Skipped(what=name, reason="left out on request") for name in names if name in left),
    )


def mode_of(request: BisectRequest) -> Mode:
    """The mode, which the record has as text."""
    return "full" if request.mode == "full" else "fast"


def planned_factors(request: BisectRequest) -> tuple[tuple[Factor, ...], tuple[Skipped, ...]]:
    """The factors that are known before anything runs, and what only a first trial can tell.

    Raises:
        FactorsFileError: the factors file.
        UnknownFactorError: a name of a factor, where all of them are known.
    """
    known = read_factors(Path(request.factors_file)) if request.factors_file else ()
    machine = tuple(machine_factors(request.device, request.base, os.environ))
    if request.target is Target.SCRIPT:
        told_by_a_trial = tuple(
            Skipped(what=name, reason="the first trial tells whether there is anything to act on") for name in WATCHED
        )
        return (*known, *machine, *argument_factors(request.script_args)), told_by_a_trial
    config = load_config(request.overrides, file=request.config or None)
    factors, left_out = chosen(
        request, (*known, *machine, *config_factors(config, accepted_by(config, request.device)))
    )
    return factors, (*never_done(), *left_out)


def _merged(first: TrialAnswer | None, second: TrialAnswer) -> tuple[Opportunity, ...]:
    """Opportunities of the failing trial, and of the one that went on where it could not."""
    found = {one.name: one for one in second.opportunities}
    for one in first.opportunities if first is not None else ():
        if one.count > 0 or one.name not in found:
            found[one.name] = one
    return tuple(found.values())


def ended(outcome: Outcome) -> Found:
    """What is found where no search took place."""
    nothing = Reproduction(num_runs=0, num_failed=0, alpha=0.0, pass_repeats=0)
    return Found(outcome=outcome, reproduction=nothing, num_untested=0)


def _cut_short(error: BudgetSpent | Interrupted) -> Found:
    return ended(Outcome.BUDGET_SPENT if isinstance(error, BudgetSpent) else Outcome.INTERRUPTED)


def _wants_memory(oracle: TrialOracle) -> bool:
    return oracle.target is not None and oracle.target.family in OUT_OF_MEMORY
