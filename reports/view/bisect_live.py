"""An investigation while it goes on: a line for what will be searched, a line for every trial that ended."""

from __future__ import annotations

from collections.abc import Sequence

from ilora_diag.schema import Status, Trial, Unavailable
from ilora_diag.schema.bisect import Factor, Step
from ilora_diag.units import format_bytes, format_duration
from reports.messages import Words
from reports.view.bisect_story import measured

_ID_WIDTH, _RESULT_WIDTH = 5, 15


def factors_line(factors: Sequence[Factor], words: Words) -> str:
    """What will be searched."""
    if not factors:
        return words("bisect.live.no_factors")
    names = words("separator").join(factor.name for factor in factors)
    return words("bisect.live.factors", num=len(factors), names=names)


def trial_line(step: Step, trial: Trial, factors: Sequence[Factor], words: Words) -> str:
    """A trial that ended: id, result, what was changed, how long it took, its peak; the reason where it has no result.

    Args:
        step: why it was run.
        trial: how it ended.
        factors: with the names of the levels.
        words: the language.
    """
    parts = [_changed(step, factors, words)]
    if step.reused:
        parts.append(words("bisect.live.recalled"))
    elif not isinstance(trial.seconds, Unavailable):
        parts.append(format_duration(trial.seconds))
    peak = measured(trial, "peak_reserved_bytes")
    if not isinstance(peak, Unavailable) and trial.status is Status.OK:
        parts.append(words("bisect.live.peak", size=format_bytes(peak)))
    if trial.status not in (Status.OK, Status.SAME) and trial.reason:
        parts.append(words.reason(trial.reason.partition("\n")[0]))
    result = words(f"bisect.result.{trial.status.value}")
    return f"{trial.id:<{_ID_WIDTH}} {pad(result, _RESULT_WIDTH)} {'  '.join(parts)}"


def pad(text: str, width: int) -> str:
    """Filled up to so many columns, of which a Japanese character takes two."""
    wide = sum(ord(letter) > 0x2E7F for letter in text)
    return text + " " * max(0, width - len(text) - wide)


def _changed(step: Step, factors: Sequence[Factor], words: Words) -> str:
    if not step.relaxed:
        return words(f"bisect.live.purpose.{step.purpose.value}")
    if len(step.relaxed) == len(factors) > 1:
        return words("bisect.live.all")
    names = {factor.name: factor for factor in factors}
    told = []
    for name, index in step.relaxed:
        level = names[name].levels[index].name if name in names else str(index)
        told.append(f"{name}: {level}")
    return words("separator").join(told)
