"""Every value of a record that is not known, with where it stands and why: so that none is passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass

from ilora_diag.schema import EvalMetric, Metric, Report, Unavailable


@dataclass(frozen=True, slots=True)
class Gap:
    """What one reason kept from being known."""

    reason: str
    paths: tuple[str, ...]


def gaps(report: Report, told: Callable[[str], str]) -> tuple[Gap, ...]:
    """The unknowns of a report by reason as `told` to the reader, in order of their first appearance.

    Items of a list share one path, `phases[].device`: a report of a thousand steps has one line for what all lack.
    Metrics alone are told apart, by name. What stands in a trial begins with the trial's id.
    """
    grouped: dict[str, dict[str, None]] = {}
    for skipped in report.skipped:
        grouped.setdefault(told(skipped.reason), {})[skipped.what] = None
    roots = [("", report.train), *((trial.id, trial) for trial in report.trials)]
    for name, root in roots:
        for path, unknown in _walk(root, name):
            grouped.setdefault(told(unknown.reason), {})[path] = None
    return tuple(Gap(reason, tuple(paths)) for reason, paths in grouped.items())


def _walk(value: object, path: str) -> Iterator[tuple[str, Unavailable]]:
    if isinstance(value, Unavailable):
        yield path, value
    elif is_dataclass(value):
        for spec in fields(value):
            yield from _walk(getattr(value, spec.name), f"{path}.{spec.name}" if path else spec.name)
    elif isinstance(value, tuple):
        for item in value:
            name = item.name if isinstance(item, (Metric, EvalMetric)) else ""
            yield from _walk(item, f"{path}[{name}]")
