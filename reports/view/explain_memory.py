"""The numbers of an out-of-memory message, and what they come down to."""

from __future__ import annotations

from ilora_diag.schema import Known, Unavailable
from ilora_diag.schema.explanation import OomMessage, OomStep, OomVerdict
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Paragraph, Section, Table
from reports.messages import Words

_SIZES = (
    "requested_bytes",
    "capacity_bytes",
    "free_bytes",
    "this_process_bytes",
    "allocated_bytes",
    "private_pool_bytes",
    "unallocated_bytes",
    "limit_bytes",
    "non_torch_bytes",
)
_NOT_SAID = "the message does not say"


def memory_section(message: OomMessage, verdict: OomVerdict, words: Words) -> Section:
    """Table, arithmetic, verdict, what would have fitted, and whether to follow the message's own advice."""
    blocks: list[Block] = [Paragraph(text=words(f"explain.cause.{verdict.cause}"))]
    rows = _rows(message, words)
    if rows:
        columns = (words("explain.column.what"), words("explain.column.size"))
        blocks.append(Table(columns=columns, rows=rows, numeric=(1,)))
    if verdict.steps:
        blocks.append(Bullets(items=tuple(_step(step, words) for step in verdict.steps)))
    if rows:
        blocks.append(Paragraph(text=_fits(verdict, words)))
    advice = words.named(f"explain.advice.{verdict.advice_reason}", "") if verdict.advice_reason else ""
    if advice:
        blocks.append(Paragraph(text=advice.format(advice=", ".join(message.advice))))
    return Section(title=words("explain.section.memory"), blocks=tuple(blocks))


def _step(step: OomStep, words: Words) -> str:
    template = words.named(f"explain.step.{step.name}", "")
    return template.format(**dict(step.values)) if template else step.text


def _rows(message: OomMessage, words: Words) -> tuple[tuple[str, str], ...]:
    rows = [
        (words(f"explain.oom.{name}"), _size(getattr(message, name), words)) for name in _SIZES if _told(message, name)
    ]
    rows += [
        (words("explain.oom.process", pid=process.pid), _size(process.used_bytes, words))
        for process in message.other_processes
    ]
    return tuple(rows)


def _told(message: OomMessage, name: str) -> bool:
    """A number, or a reason of its own why there is none."""
    value = getattr(message, name)
    return not isinstance(value, Unavailable) or value.reason.startswith("printed as")


def _size(value: Known[int], words: Words) -> str:
    if isinstance(value, Unavailable):
        return words("explain.oom.unknown", reason=words.reason(value.reason))
    return format_bytes(value)


def _fits(verdict: OomVerdict, words: Words) -> str:
    fits, missing = verdict.fits_bytes, verdict.missing_bytes
    if isinstance(fits, Unavailable):
        return words("explain.oom.fits.unknown", reason=words.reason(fits.reason))
    lacking = "?" if isinstance(missing, Unavailable) else format_bytes(missing)
    return words("explain.oom.fits", fits=format_bytes(fits), missing=lacking)
