"""From the events of a run log to the record of a training, one event at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ilora_diag.engine import readings
from ilora_diag.engine.events import RUNLOG_NAME, UNREADABLE, Event
from ilora_diag.schema.known import Known, Settings, Unavailable, value_or
from ilora_diag.schema.train_run import (
    Artefact,
    Checkpoint,
    DataSummary,
    EvalMetric,
    ModelSummary,
    Phase,
    RecEpoch,
    Step,
    TrainerEnvironment,
    TrainError,
    TrainOutcome,
    TrainPlan,
    TrainRun,
    TrainState,
    ValLoss,
)


def _absent(event: str) -> Unavailable:
    return Unavailable(reason=f"the run log has no {event} event", source=RUNLOG_NAME)


class RunBuilder:
    """Takes events in the order of the log and can tell at any time what the training looks like so far.

    A resumed run writes on in the same log. Its first phase is `import`, by which a new attempt shows; what it does
    again replaces what was done before.
    """

    def __init__(self, run_id: str, requested: Known[Settings], effective: Known[Settings]) -> None:
        self._run_id, self._requested, self._effective = run_id, requested, effective
        self._times: list[float] = []
        self._num_events = 0
        self._attempt = 0
        self._environment: Known[TrainerEnvironment] = _absent("environment")
        self._data: Known[DataSummary] = _absent("data")
        self._model: Known[ModelSummary] = _absent("model")
        self._plan: Known[TrainPlan] = _absent("train_begin")
        self._phases: list[Phase] = []
        self._open: list[int] = []  # places in _phases, innermost last
        self._steps: dict[int, Step] = {}
        self._val_losses: dict[int, ValLoss] = {}
        self._rec_epochs: dict[int, RecEpoch] = {}
        self._metrics: dict[tuple[str, str], EvalMetric] = {}
        self._checkpoints: dict[int, Checkpoint] = {}
        self._artefacts: dict[str, Artefact] = {}
        self._warnings: list[str] = []
        self._state = TrainState.CUT_OFF
        self._error: TrainError | None = None
        self._takers: dict[str, Callable[[Event], None]] = {
            "phase": self._take_phase,
            "environment": self._take_environment,
            "data": self._take_data,
            "model": self._take_model,
            "train_begin": self._take_train_begin,
            "step": self._take_step,
            "val_loss": self._take_val_loss,
            "rec_epoch": self._take_rec_epoch,
            "metric": self._take_metric,
            "checkpoint": self._take_checkpoint,
            "artefact": self._take_artefact,
            "warning": self._take_warning,
            "interrupted": self._take_interrupted,
            "error": self._take_error,
            "finished": self._take_finished,
            UNREADABLE: self._take_unreadable,
        }

    def take(self, events: Iterable[Event]) -> None:
        """Add events; names that say nothing about the record, such as eval_progress, pass by."""
        for event in events:
            self._num_events += 1
            time = event.number("t")
            if not isinstance(time, Unavailable):
                self._times.append(time)
                self._times = [min(self._times), max(self._times)]  # a clock that jumps back must not reorder them
            taker = self._takers.get(event.name)
            if taker:
                taker(event)

    def build(self) -> TrainRun:
        """The training as the events so far tell it."""
        unknown = Unavailable(reason="the run log has no event with a time", source=RUNLOG_NAME)
        steps, metrics = tuple(self._steps[step] for step in sorted(self._steps)), tuple(self._metrics.values())
        return TrainRun(
            run_id=self._run_id,
            started_at=self._times[0] if self._times else unknown,
            ended_at=self._times[-1] if self._times else unknown,
            num_attempts=max(self._attempt, 1 if self._num_events else 0),
            requested=self._requested,
            effective=self._effective,
            environment=self._environment,
            data=self._data,
            model=self._model,
            plan=self._plan,
            phases=tuple(self._phases),
            steps=steps or self._nothing("no step was logged"),
            metrics=metrics or self._nothing("nothing was evaluated"),
            outcome=self._outcome(),
            val_losses=tuple(self._val_losses[step] for step in sorted(self._val_losses)),
            rec_epochs=tuple(self._rec_epochs[epoch] for epoch in sorted(self._rec_epochs)),
            checkpoints=tuple(self._checkpoints.values()),
            artefacts=tuple(self._artefacts.values()),
            warnings=tuple(self._warnings),
        )

    def _nothing(self, what: str) -> Unavailable:
        phase = self._last_phase()
        where = phase.reason if isinstance(phase, Unavailable) else f"the last phase was {phase}"
        return Unavailable(reason=f"{what}; {where}", source=RUNLOG_NAME)

    def _outcome(self) -> TrainOutcome:
        newest = list(self._checkpoints.values())[-1:]
        none = Unavailable(reason="no checkpoint was written", source=RUNLOG_NAME)
        return TrainOutcome(
            state=self._state,
            last_phase=self._last_phase(),
            resume_from=newest[0].path if newest else none,
            error=self._error,
        )

    def _last_phase(self) -> Known[str]:
        if self._error is not None and not isinstance(self._error.phase, Unavailable):
            return self._error.phase
        if self._open:
            return self._phases[self._open[-1]].name
        return self._phases[-1].name if self._phases else Unavailable(reason="no phase began", source=RUNLOG_NAME)

    def _end(self, state: TrainState, error: TrainError | None = None) -> None:
        self._state, self._error = state, error

    def _take_phase(self, event: Event) -> None:
        name, status = event.text("phase"), value_or(event.text("status"), "")
        if isinstance(name, Unavailable) or status not in ("begin", "end"):
            self._warn(event, "a phase event names no phase, or neither begin nor end")
            return
        match = [place for place in self._open if self._phases[place].name == name and status == "end"]
        if name == "import" and not match:
            self._begin_attempt()
        elif name == "train_rec" and not match:
            self._rec_epochs.clear()
        started_at = self._phases[match[-1]].started_at if match else _started_at(event, status)
        phase = readings.read_phase(event, name, self._attempt, started_at=started_at, ended=status == "end")
        if match:
            self._phases[match[-1]] = phase
            self._open.remove(match[-1])
        else:
            self._phases.append(phase)
            self._open += [len(self._phases) - 1] if status == "begin" else []

    def _begin_attempt(self) -> None:
        self._attempt += 1
        self._open.clear()
        self._end(TrainState.CUT_OFF)

    def _take_environment(self, event: Event) -> None:
        self._environment = readings.read_environment(event)

    def _take_data(self, event: Event) -> None:
        self._data = readings.read_data(event)

    def _take_model(self, event: Event) -> None:
        self._model = readings.read_model(event)

    def _take_train_begin(self, event: Event) -> None:
        self._plan = readings.read_plan(event)
        start = value_or(self._plan.start_step, 0)
        self._steps = {step: entry for step, entry in self._steps.items() if step <= start}
        self._val_losses = {step: entry for step, entry in self._val_losses.items() if step <= start}

    def _take_step(self, event: Event) -> None:
        step = self._required(event, "step")
        if step is not None:
            self._steps[step] = readings.read_step(event, step)

    def _take_val_loss(self, event: Event) -> None:
        step = self._required(event, "step")
        if step is not None:
            self._val_losses[step] = readings.read_val_loss(event, step)

    def _take_rec_epoch(self, event: Event) -> None:
        epoch = self._required(event, "epoch")
        if epoch is not None:
            self._rec_epochs[epoch] = readings.read_rec_epoch(event, epoch)

    def _take_metric(self, event: Event) -> None:
        metric = readings.read_metric(event)
        if isinstance(metric, Unavailable):
            self._warn(event, metric.reason)
        else:
            self._metrics[metric.name, value_or(metric.split, "")] = metric

    def _take_checkpoint(self, event: Event) -> None:
        checkpoint = readings.read_checkpoint(event)
        if isinstance(checkpoint, Unavailable):
            self._warn(event, checkpoint.reason)
        else:
            self._checkpoints.pop(checkpoint.step, None)  # so that the newest stands last
            self._checkpoints[checkpoint.step] = checkpoint

    def _take_artefact(self, event: Event) -> None:
        artefact = readings.read_artefact(event)
        if isinstance(artefact, Unavailable):
            self._warn(event, artefact.reason)
        else:
            self._artefacts[artefact.path] = artefact

    def _take_warning(self, event: Event) -> None:
        text = event.text("text")
        self._warnings.append(f"{text.source}: {text.reason}" if isinstance(text, Unavailable) else text)

    def _take_interrupted(self, _event: Event) -> None:
        self._end(TrainState.INTERRUPTED)

    def _take_error(self, event: Event) -> None:
        error = readings.read_error(event)
        if error.type == "KeyboardInterrupt":
            self._end(TrainState.INTERRUPTED)
        else:
            self._end(TrainState.FAILED, error)

    def _take_finished(self, _event: Event) -> None:
        if self._state is TrainState.CUT_OFF:  # the trainer also closes an interrupted run with this event
            self._end(TrainState.FINISHED)

    def _take_unreadable(self, event: Event) -> None:
        self._warn(event, value_or(event.text("reason"), "unreadable"))

    def _required(self, event: Event, key: str) -> int | None:
        """The number that an event cannot be placed without."""
        number = event.count(key)
        if not isinstance(number, Unavailable):
            return number
        self._warn(event, number.reason)
        return None

    def _warn(self, event: Event, what: str) -> None:
        self._warnings.append(f"{event.source}: {what}")


def _started_at(event: Event, status: str) -> Known[float]:
    """When a phase began, from its first event: of one that was only seen to end, its length before that."""
    time, seconds = event.number("t"), event.number("seconds")
    if status == "begin" or isinstance(time, Unavailable):
        return time
    return seconds if isinstance(seconds, Unavailable) else time - seconds
