"""A trial of somebody's script: run as it is, on the device asked for, with defects relaxed from outside."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ilora_diag.schema.trial_answer import Retention, TrialAnswer
from ilora_diag.schema.trial_request import Stage, TrialRequest
from probes.interventions import applied, with_arguments
from probes.recorder import Books, Reading
from probes.run_launch import Ended, Launch, launch
from probes.trial_census import census
from probes.trial_clock import StageClock
from probes.trial_device import Site, site
from probes.trial_end import RefusedError
from probes.trial_pace import Pace
from probes.trial_refusals import Refusals
from probes.trial_script_answer import ScriptTrial, Standing, script_answer
from probes.virtual.patches import Patches
from probes.virtual.substitutes import told
from probes.virtual.watch import Watch


def run_script_trial(request: TrialRequest, channel: str = "", begin: float | None = None) -> TrialAnswer:
    """Run one trial of a script to its end, however it ends.

    Args:
        request: what to try; its target is a script.
        channel: number of the descriptor the answer goes to should the script not let itself be ended; else unused.
        begin: `time.perf_counter()` when the process began its work.

    Returns:
        What the trial says of itself.

    Raises:
        KeyboardInterrupt: a person, or the runner, ended the trial.
    """
    clock = StageClock(time.perf_counter() if begin is None else begin, request.stop_after)
    trial = ScriptTrial(request=request, clock=clock)
    with ExitStack() as stack:
        try:
            run = _prepared(trial, stack, channel)
        except Exception as error:  # noqa: BLE001  (whatever keeps a trial from beginning is its answer)
            return script_answer(trial, Ended(exit_code=1, error=error))
        ended = run()
        if ended.is_interrupted:
            raise KeyboardInterrupt
        return script_answer(trial, ended)


@dataclass(frozen=True, slots=True)
class _Run:
    """A trial that can begin."""

    trial: ScriptTrial
    what: Launch
    growth: Any

    def __call__(self) -> Ended:
        trial = self.trial
        trial.clock.enter(Stage.LOAD)
        torch.manual_seed(trial.request.seed)
        with nullcontext() if self.growth is None else self.growth.watching():
            ended = launch(self.what, self._stood)
        trial.clock.close()
        if self.growth is not None:
            trial.retention = _concluded(self.growth, ended)
        return ended

    def _stood(self) -> Standing:
        """At the script's end; what stayed from step to step is asked while what it holds is still there."""
        if self.growth is not None:
            self.growth.conclude()
        return _standing(self.trial)


def _prepared(trial: ScriptTrial, stack: ExitStack, channel: str) -> _Run:
    """Everything around the script.

    Raises:
        RefusedError: a setting that names nothing, or has no place with a script.
        NoDeviceError, VersionError, ...: as `probes.trial_device.site`.
    """
    request, clock = trial.request, trial.clock
    _checked(request)
    trial.pace = pace = Pace(
        clock,
        max(request.steps, request.growth_steps),
        request.stop_after,
        stand=lambda: _standing(trial),
        end_now=lambda: _end_now(trial, channel),
    )
    stack.enter_context(pace.counting())
    clock.enter(Stage.CUDA_INIT)
    trial.site = place = stack.enter_context(site(request))
    watch = stack.enter_context(_watch(place, is_growth_followed=request.growth_steps > 0))
    trial.watch = watch
    station = place.station
    if station is not None:
        trial.refusals = Refusals(station, lambda: (clock.now, pace.steps_done))
        ledger = station.ledger
        clock.position = lambda: len(ledger.events)
    stack.enter_context(_surroundings(place))
    # `release:NAME` says which factor asked for a name that stands among those of `release`.
    acts = {name: value for name, value in request.in_namespace("apply").items() if ":" not in name}
    trial.tally = stack.enter_context(applied(acts, request.watch))
    stack.enter_context(pace.following(watch))
    args = with_arguments(request.script_args, request.in_namespace("arg"))
    what = Launch(script=request.script, is_module=request.script_is_module, args=args)
    return _Run(trial, what, _growth(watch, request.growth_steps))


def _checked(request: TrialRequest) -> None:
    for key, _ in (*request.trainer_settings(), *((f"parts.{name}", 0) for name in request.in_namespace("parts"))):
        raise RefusedError(f"{key}: acts on configurations alone; a script takes env, device, apply and arg")
    if not request.script_is_module and not os.path.isfile(request.script):
        raise RefusedError(f"script {request.script}: there is no such file")


def _standing(trial: ScriptTrial) -> Standing:
    """Where the trial stands, while everything the script holds is still there."""
    place, watch = trial.site, trial.watch
    has_card = place is not None and place.station is not None
    return Standing(
        num_events=len(place.station.ledger.events) if has_card else 0,  # type: ignore[union-attr]
        census=census(watch.roots()) if watch is not None else (),
    )


def _end_now(trial: ScriptTrial, channel: str) -> None:
    """Answer and end the process."""
    from probes.trial import send

    trial.clock.close()
    send(script_answer(trial, Ended(exit_code=0)), channel)
    sys.stdout.flush()
    os._exit(0)


class _NoCard:
    """In place of an allocator, on the host."""

    def read(self) -> Reading:
        """There is nothing to read."""
        return Reading(0, 0, 0)

    def has(self, tensor: torch.Tensor) -> bool:
        """No tensor is on a card."""
        return False


@contextmanager
def _watch(place: Site, *, is_growth_followed: bool) -> Iterator[Watch]:
    """What knows the phases: the station's, or one that keeps books of the host's memory only to look for growth."""
    if place.station is not None:
        yield place.station.watch
    elif is_growth_followed:
        from probes.retention import host_books

        with host_books() as watch:
            yield watch
    else:
        books = Books(_NoCard())
        with Patches() as patches, books.watch.installed():
            for name in ("backward", "grad"):
                patches.replace(torch.autograd, name, told(getattr(torch.autograd, name), books.watch))
            yield books.watch


@contextmanager
def _surroundings(place: Site) -> Iterator[None]:
    """What a script on a virtual card is spared, as under `ilora-diag run`."""
    if place.machine is None:
        yield
        return
    from probes import run_leave_out, run_threads
    from probes.run_imports import card_hidden_from_some

    with Patches() as patches, card_hidden_from_some():
        kept = run_leave_out.install(place.machine, patches)
        run_threads.install(patches)
        try:
            yield
        finally:
            kept.clean()


def _growth(watch: Watch, steps: int) -> Any:
    if not steps:
        return None
    from probes.retention import GrowthWatch

    return GrowthWatch(watch, num_steps=steps)


def _concluded(growth: Any, ended: Ended) -> Retention | None:
    found: Retention | None = growth.conclude(ended.error)
    return found
