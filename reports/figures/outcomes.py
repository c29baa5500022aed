"""What figures of an investigation have in common: how a trial ended, in four classes, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ilora_diag.schema.bisect import Bisect, Purpose, Step
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial import Status, Trial
from reports.figures.style import GREEN, MUTED, ORANGE, VERMILION


class Ended(StrEnum):
    """Only a pass is a pass, and only the failure looked for counts against a factor; the rest decides nothing."""

    PASS = "pass"
    SAME = "same"
    OTHER = "other"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Mark:
    """Colour, hatching and the sign in a plot: told apart without colours too."""

    colour: str
    hatch: str
    sign: str


MARKS: Mapping[Ended, Mark] = {
    Ended.PASS: Mark(GREEN, "", "o"),
    Ended.SAME: Mark(VERMILION, "//", "X"),
    Ended.OTHER: Mark(ORANGE, "xx", "D"),
    Ended.NONE: Mark(MUTED, "||", "s"),
}
_LOOKED_ELSEWHERE = frozenset({Purpose.GROWTH, Purpose.FIRST_TOUCH})
_BY_STATUS = {
    Status.OK: Ended.PASS,
    Status.SAME: Ended.SAME,
    Status.OOM: Ended.SAME,
    Status.OTHER: Ended.OTHER,
    Status.CRASHED: Ended.OTHER,
}


def ended(trial: Trial | None) -> Ended:
    """The class of a trial; one that is not in the record decides nothing."""
    return Ended.NONE if trial is None else _BY_STATUS.get(trial.status, Ended.NONE)


def step_ended(step: Step, trials: Mapping[str, Trial]) -> Ended:
    """The class of a step: what was run to look at something else, on another card, tests no factor."""
    return Ended.NONE if step.purpose in _LOOKED_ELSEWHERE else ended(trials.get(step.trial))


def is_test(step: Step) -> bool:
    """Whether a step ran the configuration itself, relaxed or not."""
    return step.purpose not in _LOOKED_ELSEWHERE


def trials_by_id(bisect: Bisect) -> dict[str, Trial]:
    """The trials of an investigation by their ids."""
    return {trial.id: trial for trial in bisect.trials}


def peak_reserved(trial: Trial | None) -> Known[int]:
    """The peak of reserved bytes that a trial measured."""
    metrics = () if trial is None else trial.metrics
    for metric in metrics:
        if metric.name == "peak_reserved_bytes" and isinstance(metric.value, int):
            return metric.value
    return Unavailable(reason="the trial measured no peak", source="trial" if trial is None else f"trial:{trial.id}")
