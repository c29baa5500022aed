"""From a script's trial to what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from ilora_diag.schema import Known, Metric, Unavailable
from ilora_diag.schema.known import Settings, Value
from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial_answer import FailedRequest, PeakParts, Retention, TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, TrialRequest
from probes import trial_effective, trial_measure
from probes.interventions.tally import Tally
from probes.run_launch import Ended
from probes.run_place import causes
from probes.trial_clock import StageClock
from probes.trial_device import Site
from probes.trial_end import end_of, told
from probes.trial_pace import Pace
from probes.trial_refusals import Refusal, Refusals
from probes.trial_stages import Levels, stage_uses
from probes.virtual.errors import VirtualDeviceError
from probes.virtual.watch import Watch

_NOT_BEGUN = Unavailable(reason="the trial did not get to a device", source="trial")


@dataclass(frozen=True, slots=True)
class Standing:
    """A moment of a trial: events of the ledger before it, and what the script's models were then."""

    num_events: int
    census: Settings


@dataclass(slots=True, kw_only=True)
class ScriptTrial:
    """A trial on its way; what is not there yet was not reached.

    Attributes:
        request: what is tried.
        clock: its stages.
        pace: counts its steps.
        site: the device.
        watch: what knows the phases.
        refusals: what the card could not give.
        tally: what interventions met and did.
        retention: what stays from step to step.
    """

    request: TrialRequest
    clock: StageClock
    pace: Pace | None = None
    site: Site | None = None
    watch: Watch | None = None
    refusals: Refusals | None = None
    tally: Tally | None = None
    retention: Retention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """How a trial ended, and where."""

    end: TrialEnd
    stage: Stage
    num_events: int
    error: ScriptError | None = None
    request: FailedRequest | None = None


def script_answer(trial: ScriptTrial, ended: Ended) -> TrialAnswer:
    """Everything there is to tell. To be called while the device is there."""
    trial.clock.close()
    standing = _standing(trial, ended)
    verdict = _checked(_verdict(trial, ended, standing), trial)
    place, spans = trial.site, trial.clock.spans
    failed_in = None if verdict.end is TrialEnd.PASSED else verdict.stage
    ledger = None if place is None or place.station is None else place.station.ledger
    metrics: tuple[Metric, ...] = ()
    peak: Known[PeakParts] = _NOT_BEGUN
    if place is not None:
        metrics = _metrics(trial)
        if ledger is not None:
            _mark(trial)
            ledger.cut(verdict.num_events)
        peak = trial_measure.peak_parts(ledger, spans, failed_in=failed_in)
    return TrialAnswer(
        id=trial.request.id,
        end=verdict.end,
        stage=verdict.stage,
        steps_done=0 if trial.pace is None else trial.pace.steps_done,
        error=verdict.error,
        stages=stage_uses(spans, None if ledger is None else Levels(ledger.allocated, ledger.reserved), failed_in),
        effective=tuple(_effective(trial, standing).items()),
        metrics=metrics,
        peak=peak,
        failed_request=verdict.request,
        opportunities=() if trial.tally is None else trial.tally.opportunities(),
        retention=trial.retention,
        notes=tuple(_notes(trial)),
    )


def _standing(trial: ScriptTrial, ended: Ended) -> Standing:
    for found in (None if trial.pace is None else trial.pace.stood, ended.stood):
        if isinstance(found, Standing):
            return found
    return Standing(0, ())


def _verdict(trial: ScriptTrial, ended: Ended, standing: Standing) -> _Verdict:
    """How it ended. What the card refused counts, unless the script went on to complete another step."""
    now, events = trial.clock.now, standing.num_events
    is_ended_by_us = trial.pace is not None and trial.pace.stood is not None
    if is_ended_by_us:
        stage = trial.request.stop_after if trial.clock.stopped else Stage.DONE
        return _Verdict(end=TrialEnd.PASSED, stage=stage, num_events=events)
    refusal = _unmended(trial)
    if ended.error is not None:
        end = end_of(ended.error, is_virtual=trial.site is not None and trial.site.is_virtual)
        if end is TrialEnd.FAILED and refusal is not None:
            return _refused(refusal, _told(ended.error))
        return _Verdict(end=end, stage=now, num_events=events, error=_told(ended.error))
    if refusal is not None:
        return _refused(refusal, None)
    if ended.exit_code:
        error = ScriptError(type="SystemExit", message=str(ended.exit_code), traceback="")
        return _Verdict(end=TrialEnd.SCRIPT_EXIT, stage=now, num_events=events, error=error)
    return _Verdict(end=TrialEnd.PASSED, stage=Stage.DONE, num_events=events)


def _checked(verdict: _Verdict, trial: ScriptTrial) -> _Verdict:
    """A pass in which nothing was let go that should have been proves nothing: it is refused."""
    from probes.retention_names import HolderError

    if verdict.end is not TrialEnd.PASSED or trial.tally is None:
        return verdict
    try:
        for one in trial.tally.let_go:
            one.check()
    except HolderError as error:
        return replace(verdict, end=TrialEnd.REFUSED, error=told(error))
    return verdict


def _unmended(trial: ScriptTrial) -> Refusal | None:
    """The last refusal, if no step was completed after it."""
    kept = [] if trial.refusals is None else trial.refusals.kept
    last = kept[-1] if kept else None
    return last if last is not None and trial.pace is not None and trial.pace.steps_done <= last.steps_done else None


def _refused(refusal: Refusal, raised: ScriptError | None) -> _Verdict:
    """A failure for want of memory, whatever the script made of it."""
    error = refusal.error
    if raised is not None and raised.type == error.type:
        error = raised  # with the frames it was raised through
    elif raised is not None:
        error = replace(error, traceback=f"{error.traceback}\n\nThe script then ended with\n\n{raised.traceback}")
    return _Verdict(
        end=TrialEnd.FAILED,
        stage=refusal.stage,
        num_events=refusal.refused.num_events,
        error=error,
        request=refusal.request,
    )


def _told(error: BaseException) -> ScriptError:
    """The exception, or the one behind it that says what ended the run; the traceback shows both."""
    whole = told(error)
    for kind in (VirtualDeviceError, torch.OutOfMemoryError):
        behind = next((one for one in causes(error) if isinstance(one, kind)), None)
        if behind is not None:
            return replace(told(behind), traceback=whole.traceback)
    return whole


def _mark(trial: ScriptTrial) -> None:
    """Let the watch say what is what, by what is known at the end."""
    assert trial.watch is not None
    trial.watch.mark_gradients()
    if trial.pace is not None and trial.pace.optimizer is not None:
        trial.watch.mark_states(trial.pace.optimizer)


def _metrics(trial: ScriptTrial) -> tuple[Metric, ...]:
    """As of every trial; the peaks by the ledger, since a script may have reset the allocator's."""
    assert trial.site is not None
    station = trial.site.station
    known: dict[str, Any] = {}
    if station is not None:
        known = {
            "peak_allocated_bytes": max(station.ledger.allocated, default=0),
            "peak_reserved_bytes": max(station.ledger.reserved, default=0),
            "num_ooms": len(station.refused),
        }
    found = trial_measure.metrics(station)
    return tuple(replace(metric, value=known.get(metric.name, metric.value)) for metric in found)


def _effective(trial: ScriptTrial, standing: Standing) -> dict[str, Value]:
    found: dict[str, Value] = dict(trial_effective.environment(trial.request.settings))
    found.update(trial_effective.versions())
    if trial.site is not None:
        found.update(trial_effective.card(trial.site))
        found.update(trial_effective.allocator(trial.site))
        found.update(trial_effective.attention_backend(trial.site))
    found.update(standing.census)
    return found


def _notes(trial: ScriptTrial) -> Iterator[str]:
    place = trial.site
    if place is not None:
        yield from place.notes
        if place.station is not None:
            yield from place.station.notes.sentences()
    for one in [] if trial.tally is None else trial.tally.let_go:
        yield from one.sentences()
    if trial.refusals is not None and trial.refusals.kept and _unmended(trial) is None:
        yield f"the script caught {len(trial.refusals.kept)} out-of-memory errors and went on"
