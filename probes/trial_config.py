"""A trial of a configuration of our trainer: its own code, stage by stage, without data set or download."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ilora.config import Config, check_device, load_config
from ilora_diag.schema import Known, Metric, Unavailable
from ilora_diag.schema.known import Settings, Value
from ilora_diag.schema.trial_answer import FailedRequest, PeakParts, StageUse, TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, TrialRequest
from probes.estimate import prepare_imports
from probes.run_enough import Enough
from probes.trial_built import Built
from probes.trial_clock import StageClock
from probes.trial_end import RefusedError, end_of, told
from probes.trial_stages import Levels, stage_uses

if TYPE_CHECKING:
    import torch

    from probes.retention import GrowthWatch
    from probes.run_station import Station
    from probes.trial_device import Site

_SCRIPTS_ALONE = ("apply", "arg")


def configured(request: TrialRequest) -> Config:
    """The configuration, with the trial's settings later than everything typed.

    Raises:
        ConfigError: a key or a value that is not allowed.
        RefusedError: a setting that has no place in a configuration.
    """
    for word in _SCRIPTS_ALONE:
        for name in request.in_namespace(word):
            raise RefusedError(f"{word}.{name}: acts on scripts alone; a configuration has keys of its own")
    texts = [f"{key}={_typed(value)}" for key, value in request.trainer_settings()]
    config = load_config([*request.overrides, *texts], file=request.config or None)
    check_device(config, "cpu" if request.device == "cpu" else "cuda")
    return config


def _typed(value: Value) -> str:
    """As one would type it: JSON is YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


@dataclass(slots=True)
class _Trial:
    """A trial on its way; what is not there yet was not reached."""

    request: TrialRequest
    clock: StageClock
    config: Config | None = None
    site: Site | None = None
    built: Built = field(default_factory=Built)
    precision: str = ""
    optimizer: torch.optim.Optimizer | None = None
    steps_done: int = 0
    growth: GrowthWatch | None = None


def run_config_trial(request: TrialRequest, begin: float) -> TrialAnswer:
    """Run it to its end, however it ends.

    Args:
        request: what to try.
        begin: `time.perf_counter()` when the process began its work.
    """
    rec_first = request.in_namespace("parts").get("load_order") == "rec_first"
    trial = _Trial(request, StageClock(begin, request.stop_after, rec_first=rec_first))
    with ExitStack() as stack:
        error = _ended_with(lambda: _run(trial, stack))
        return _answer(trial, error)  # while the card and everything on it are still there


def _ended_with(run: Callable[[], None]) -> BaseException | None:
    """The exception that a trial ended with: whatever it is, it is a result. A person's stop is none."""
    try:
        run()
    except Enough:
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        return error
    return None


def _run(trial: _Trial, stack: ExitStack) -> None:
    request, clock = trial.request, trial.clock
    trial.config = config = configured(request)
    prepare_imports(config, always=True)  # as in a trial server, which does not know what it will be asked for
    from probes.trial_device import site

    clock.enter(Stage.CUDA_INIT)
    trial.site = stack.enter_context(site(request))
    _stages(trial, stack)


def _stages(trial: _Trial, stack: ExitStack) -> None:
    """Everything after the card is there.

    Raises:
        Enough: the last stage asked for is over.
        Exception: whatever the configuration ends with.
    """
    import torch

    from ilora.device import place as placement_of
    from probes.trial_parts import Builder, chosen_parts, name_parts
    from probes.trial_steps import Progress, Training, optimizer_of, train

    request, clock, config, place = trial.request, trial.clock, trial.config, trial.site
    assert config is not None
    assert place is not None
    if place.station is not None:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        ledger = place.station.ledger
        clock.position = lambda: len(ledger.events)
    trial.growth = growth = _growth(request, place, stack)
    torch.manual_seed(request.seed)
    placement = placement_of(config.train, place.kind)
    trial.precision = placement.precision
    clock.enter(Stage.LOAD)
    built = trial.built
    built.parts = chosen_parts(request.in_namespace("parts"))
    builder = Builder(config, built, place, placement, clock)
    builder.load()
    builder.place()
    if place.station is not None:
        name_parts(place.station, built)
    assert built.model is not None
    clock.enter(Stage.DATA)
    training = Training(
        config=config,
        model=built.model,
        num_items=built.num_items,
        placement=placement,
        steps=max(1, request.steps, _growth_steps(request)),
        step_ended=lambda done: setattr(trial, "steps_done", done),
    )
    trial.optimizer = optimizer_of(training, is_recommender=built.parts["components"] == "rec")
    with nullcontext() if growth is None else growth.watching():
        train(training, Progress(training, clock), trial.optimizer)
    clock.close()


def _growth(request: TrialRequest, place: Site, stack: ExitStack) -> GrowthWatch | None:
    """What follows live bytes from step to step, where that was asked for."""
    if not request.growth_steps:
        return None
    from probes.retention import GrowthWatch, host_books

    watch = stack.enter_context(host_books()) if place.station is None else place.station.watch
    return GrowthWatch(watch, num_steps=_growth_steps(request))


def _growth_steps(request: TrialRequest) -> int:
    """Steps that growth is followed over: as many as asked for, and as it takes to tell it from noise."""
    if not request.growth_steps:
        return 0
    from probes.retention import FEWEST_STEPS

    return max(request.growth_steps, FEWEST_STEPS)


def _answer(trial: _Trial, error: BaseException | None) -> TrialAnswer:
    """Everything there is to tell."""
    request, clock = trial.request, trial.clock
    clock.close()
    end = TrialEnd.PASSED if error is None else end_of(error, is_virtual=request.device.startswith("virtual:"))
    passed = end is TrialEnd.PASSED
    stage = (request.stop_after if clock.stopped else Stage.DONE) if passed else clock.now
    failed_in = None if passed else clock.now
    measured = (
        _measured(trial, error, failed_in) if trial.site is not None else _without_a_device(trial, failed_in, end)
    )
    return TrialAnswer(
        id=request.id,
        end=end,
        stage=stage,
        steps_done=trial.steps_done,
        error=None if error is None else told(error),
        stages=measured.stages,
        effective=measured.effective,
        metrics=measured.metrics,
        peak=measured.peak,
        failed_request=measured.failed_request,
        retention=None if trial.growth is None else trial.growth.conclude(error),
        notes=measured.notes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    stages: tuple[StageUse, ...]
    effective: Settings = ()
    metrics: tuple[Metric, ...] = ()
    peak: Known[PeakParts]
    failed_request: FailedRequest | None = None
    notes: tuple[str, ...] = ()


def _without_a_device(trial: _Trial, failed_in: Stage | None, end: TrialEnd) -> _Measured:
    """Of a trial that found no device. One that was refused imports nothing: its answer should not take seconds."""
    nothing = Unavailable(reason="the trial did not get to a device", source="trial")
    known: Settings = ()
    if end is not TrialEnd.REFUSED and trial.config is not None:
        from probes.trial_effective import effective

        known = effective(trial.config, trial.built, None, trial.precision, trial.request.settings)
    return _Measured(stages=stage_uses(trial.clock.spans, None, failed_in), effective=known, peak=nothing)


def _measured(trial: _Trial, error: BaseException | None, failed_in: Stage | None) -> _Measured:
    from probes import trial_measure
    from probes.trial_effective import effective

    place, spans, built = trial.site, trial.clock.spans, trial.built
    assert place is not None
    station = place.station
    metrics = trial_measure.metrics(station)
    ledger = station.ledger if station is not None else None
    if station is not None and error is not None:
        _tell_apart(trial, station, error)
    assert trial.config is not None
    return _Measured(
        stages=stage_uses(spans, None if ledger is None else Levels(ledger.allocated, ledger.reserved), failed_in),
        effective=effective(trial.config, built, place, trial.precision, trial.request.settings),
        metrics=metrics,
        peak=trial_measure.peak_parts(ledger, spans, failed_in=failed_in),
        failed_request=None if error is None else trial_measure.failed_request(error, station),
        notes=tuple(_notes(trial, place)),
    )


def _tell_apart(trial: _Trial, station: Station, error: BaseException) -> None:
    """Name what is there when a trial fails, and forget what happened after that."""
    import torch

    from probes.trial_parts import name_parts

    ledger = station.ledger
    num_events = len(ledger.events)
    if station.refused and isinstance(error, torch.OutOfMemoryError):
        num_events = station.refused[-1].num_events
    name_parts(station, trial.built)
    station.watch.mark_gradients()
    if trial.optimizer is not None:
        station.watch.mark_states(trial.optimizer)
    ledger.cut(num_events)


def _notes(trial: _Trial, place: Site) -> Iterator[str]:
    from probes.estimate_batch import shape_assumption

    yield from place.notes
    if place.station is not None:
        yield from place.station.notes.sentences()
    yield from trial.built.notes
    if trial.growth is not None and trial.growth.note:
        yield trial.growth.note
    if trial.config is not None and Stage.DATA in {span.stage for span in trial.clock.spans}:
        yield shape_assumption(trial.config)
