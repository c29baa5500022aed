"""What every section of a training report draws on."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema import Known, Metric, Report, Status, Step, TrainRun, TrainState, Trial, Unavailable
from ilora_diag.schema.known import Scalar
from reports.messages import Words
from reports.view.teller import Teller

_VIRTUAL = "virtual "  # how the trainer behind a virtual card names it in its log
_STATUS_OF = {
    TrainState.FINISHED: Status.OK,
    TrainState.INTERRUPTED: Status.INTERRUPTED,
    TrainState.FAILED: Status.CRASHED,
    TrainState.CUT_OFF: Status.CRASHED,
}


@dataclass(frozen=True, slots=True)
class Story:
    """One training's records, and the language it is told in."""

    report: Report
    run: TrainRun
    words: Words
    tell: Teller

    @property
    def trial(self) -> Trial | None:
        """The newest attempt; None where the trainer ran unobserved."""
        return self.report.trials[-1] if self.report.trials else None

    @property
    def status(self) -> Status:
        """How the newest attempt ended, as observed; of an unobserved one, as the run log ends."""
        return self.trial.status if self.trial else _STATUS_OF[self.run.outcome.state]

    @property
    def failed(self) -> bool:
        """Whether it ended in any way but well or on request."""
        return self.status not in (Status.OK, Status.INTERRUPTED)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The logged steps; none where none were logged."""
        return () if isinstance(self.run.steps, Unavailable) else self.run.steps

    @property
    def virtual_card(self) -> str | None:
        """Name of the virtual card it ran on, whose memory is real arithmetic and whose losses and metrics are not."""
        environment = self.run.environment
        name = None if isinstance(environment, Unavailable) else environment.device_name
        if not isinstance(name, str) or not name.startswith(_VIRTUAL):
            return None
        return name.removeprefix(_VIRTUAL)

    @property
    def peak(self) -> tuple[int, int] | None:
        """Allocated and reserved bytes at their peaks, over all phases and logged steps; None without a CUDA device."""
        devices = [*(phase.device for phase in self.run.phases), *(step.device for step in self.steps)]
        known = [device for device in devices if not isinstance(device, Unavailable)]
        if not known:
            return None
        return max(one.peak_allocated_bytes for one in known), max(one.peak_reserved_bytes for one in known)

    @property
    def folder(self) -> str:
        """The run folder as it is reached from where the command was typed, else its usual place."""
        used = dict(self.trial.requested).get("--run-dir") if self.trial else None
        return used if isinstance(used, str) else f"reports/runs/{self.run.run_id}"

    def measured(self, name: str) -> Known[Scalar]:
        """A number that the observer derived from the run log."""
        metrics: tuple[Metric, ...] = self.trial.metrics if self.trial else ()
        found = [metric.value for metric in metrics if metric.name == name]
        return found[0] if found else Unavailable(reason="the observer derived no such number", source=name)

    def number(self, name: str) -> Known[float]:
        """A derived number, as `measured`."""
        value = self.measured(name)
        if isinstance(value, Unavailable):
            return value
        assert isinstance(value, (int, float)), f"{name} is a number"
        return float(value)


def tell_story(report: Report, lang: str) -> Story:
    """A training report's story in a language.

    Raises:
        ValueError: the report is not of a training.
    """
    if report.train is None:
        raise ValueError(f"kind={report.kind!r}: this version lays out reports of trainings only")
    words = Words(lang)
    return Story(report, report.train, words, Teller(words))
