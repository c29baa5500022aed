"""Whether the steps of a record are trials of the record, each with the settings that the step names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ilora_diag.bisect.evidence import BESIDE
from ilora_diag.bisect.oracle import Verdict, verdict_of
from ilora_diag.schema.bisect import Bisect, Factor, Step
from ilora_diag.schema.known import Settings, Value
from ilora_diag.schema.trial import Trial


def check_steps(result: Bisect) -> Iterator[str]:
    """What is wrong with the steps, in words."""
    trials = {trial.id: trial for trial in result.trials}
    factors = {factor.name: factor for factor in result.factors}
    for trial_id, num in Counter(step.trial for step in result.steps).items():
        if num > 1:
            yield f"{trial_id} stands for {num} steps"
    named = {step.trial for step in result.steps}
    for trial in result.trials:
        if trial.id not in named and verdict_of(trial.status) is not Verdict.OTHER:
            yield f"{trial.id} belongs to no step"
    for step in result.steps:
        if step.trial not in trials:
            yield f"{step.trial}, run as {step.purpose}, is not in the record"
            continue
        if step.purpose in BESIDE:
            continue
        problems = tuple(_levels(step, factors))
        yield from problems or _settings(step, trials[step.trial], result)


def _levels(step: Step, factors: Mapping[str, Factor]) -> Iterator[str]:
    for name, level in step.relaxed:
        if name not in factors:
            yield f"{step.trial} relaxes {name}, which is no factor of the search"
        elif not 1 <= level <= factors[name].mildest:
            yield f"{step.trial} relaxes {name} to level {level}, which it does not have"
    order = [name for name, _ in step.relaxed]
    if order != [name for name in factors if name in order]:
        yield f"{step.trial} does not name each factor once, in the order of the factors"


def _settings(step: Step, trial: Trial, result: Bisect) -> Iterator[str]:
    """Compare with what the trial was asked for, on the keys that some factor changes."""
    requested, base = dict(trial.requested), dict(result.base)
    wanted = _changes(step, result)
    for key in sorted({key for factor in result.factors for level in factor.levels for key, _ in level.changes}):
        if key in wanted:
            if key not in requested or not _equal(requested[key], wanted[key]):
                yield f"{trial.id} was not asked for {key}={wanted[key]}, as its step has it"
        elif key in requested and not (key in base and _equal(requested[key], base[key])):
            yield f"{trial.id} was asked for {key}={requested[key]}, of which its step says nothing"


def _changes(step: Step, result: Bisect) -> dict[str, Value]:
    relaxed = dict(step.relaxed)
    chosen: list[Settings] = [
        factor.levels[relaxed[factor.name]].changes for factor in result.factors if factor.name in relaxed
    ]
    return {key: value for changes in chosen for key, value in changes}


def _equal(one: Value, two: Value) -> bool:
    return type(one) is type(two) and one == two
