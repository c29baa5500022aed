"""What each stage of a trial took. Needs no torch: a trial that is refused has no use for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ilora_diag.schema import Unavailable
from ilora_diag.schema.trial_answer import StageUse
from ilora_diag.schema.trial_request import Stage
from probes.trial_clock import Span

_NO_CARD = Unavailable(reason="the trial ran on no card", source="trial")
_CUT_OFF = Unavailable(reason="the stage did not come to its end", source="trial")


@dataclass(frozen=True, slots=True)
class Levels:
    """Bytes of the card after each event of the ledger."""

    allocated: Sequence[int]
    reserved: Sequence[int]


def stage_uses(spans: Sequence[Span], levels: Levels | None, failed_in: Stage | None) -> tuple[StageUse, ...]:
    """One record for each stage that was begun, in order; its peaks are known even where it did not come to its end."""
    order: dict[Stage, list[Span]] = {}
    for span in spans:
        order.setdefault(span.stage, []).append(span)
    return tuple(_use(stage, members, levels, stage is failed_in) for stage, members in order.items())


def _use(stage: Stage, spans: list[Span], levels: Levels | None, failed: bool) -> StageUse:
    seconds = sum((span.end_s or span.begin_s) - span.begin_s for span in spans)
    if levels is None:
        return StageUse(
            stage=stage,
            seconds=seconds,
            allocated_bytes=_NO_CARD,
            reserved_bytes=_NO_CARD,
            peak_allocated_bytes=_NO_CARD,
            peak_reserved_bytes=_NO_CARD,
        )
    return StageUse(
        stage=stage,
        seconds=seconds,
        allocated_bytes=_CUT_OFF if failed else _at(levels.allocated, spans[-1].end_event),
        reserved_bytes=_CUT_OFF if failed else _at(levels.reserved, spans[-1].end_event),
        peak_allocated_bytes=max(_highest(levels.allocated, span) for span in spans),
        peak_reserved_bytes=max(_highest(levels.reserved, span) for span in spans),
    )


def _at(series: Sequence[int], event: int) -> int:
    """The level after so many events."""
    place = min(event, len(series)) - 1
    return series[place] if place >= 0 else 0


def _highest(series: Sequence[int], span: Span) -> int:
    return max([_at(series, span.first_event), *series[span.first_event : span.end_event]])
