"""What stays from step to step and who holds it, what is there twice, and states without use."""

from __future__ import annotations

from ilora_diag.schema import Known, Unavailable
from ilora_diag.schema.trial_answer import GrownTensors, Holder, Retention, SecondCopy
from ilora_diag.units import format_bytes
from reports.blocks import Block, Paragraph, Section, Table, Text, code
from reports.view.bisect_story import BisectStory

_MAX_ROWS = 10


def retention(story: BisectStory) -> Section | None:
    """The whole of it; None where nobody looked."""
    found = story.bisect.retention
    if found is None:
        return None
    blocks: list[Block] = [*_growth(story, found), *_grown(story, found), *_copies(story, found)]
    if found.frozen_with_state_bytes:
        text = story.words("bisect.retention.frozen", size=format_bytes(found.frozen_with_state_bytes))
        blocks.append(Paragraph(text=story.cite(text, story.fact("retention/frozen_with_state_bytes"))))
    return Section(title=story.words("bisect.retention.title"), blocks=tuple(blocks))


def holder_text(story: BisectStory, holder: Known[Holder]) -> Text:
    """Who holds it, by a name the user knows, and where that was made."""
    if isinstance(holder, Unavailable):
        return story.words("bisect.retention.nobody", reason=story.words.reason(holder.reason))
    chain = " -> ".join((holder.name, *holder.chain))
    return (code(chain), f" ({holder.where})") if holder.where else (code(chain),)


def _growth(story: BisectStory, found: Retention) -> list[Block]:
    key = "bisect.retention.grows" if found.is_growing else "bisect.retention.steady"
    text = story.words(
        key,
        steps=len(found.live_bytes),
        slope=format_bytes(round(found.slope_bytes)),
        error=format_bytes(round(found.slope_error_bytes)),
    )
    blocks: list[Block] = [Paragraph(text=story.cite(text, story.fact("retention")))]
    blocks += story.figure("growth")
    if found.live_bytes:
        rows: tuple[tuple[Text, ...], ...] = tuple(
            (str(step), format_bytes(size)) for step, size in enumerate(found.live_bytes, start=1)
        )
        columns = (story.words("column.step"), story.words("bisect.retention.live"))
        blocks.append(Table(columns=columns, rows=rows, numeric=(0, 1)))
    return blocks


def _grown(story: BisectStory, found: Retention) -> list[Block]:
    if not found.grown:
        return []
    caption = story.cite(story.words("bisect.retention.grown"), story.fact("retention/grown"))
    names = ("tensor", "count", "size", "per_step", "made_by", "holder")
    table = Table(
        columns=tuple(story.words(f"bisect.column.{name}") for name in names),
        rows=tuple(_grown_row(story, one) for one in found.grown[:_MAX_ROWS]),
        numeric=(1, 2, 3),
    )
    return [Paragraph(text=caption), table]


def _grown_row(story: BisectStory, one: GrownTensors) -> tuple[Text, ...]:
    shape = "x".join(str(length) for length in one.shape) or story.words("bisect.retention.scalar")
    made = " ".join(part for part in (one.module, one.op) if part)
    graph = story.words("bisect.retention.graph") if one.with_graph else ""
    return (
        (code(f"{shape} {one.dtype}"), graph),
        f"{one.num_tensors:,}",
        format_bytes(one.size_bytes),
        format_bytes(one.bytes_per_step),
        (code(made),) if made else story.words("bisect.not_known"),
        holder_text(story, one.holder),
    )


def _copies(story: BisectStory, found: Retention) -> list[Block]:
    if not found.copies:
        return []
    caption = story.cite(story.words("bisect.retention.copies"), story.fact("retention/copies"))
    names = ("weights", "copy", "count", "size", "same", "holder")
    table = Table(
        columns=tuple(story.words(f"bisect.column.{name}") for name in names),
        rows=tuple(_copy_row(story, one) for one in found.copies[:_MAX_ROWS]),
        numeric=(2, 3),
    )
    return [Paragraph(text=caption), table]


def _copy_row(story: BisectStory, one: SecondCopy) -> tuple[Text, ...]:
    words, same = story.words, one.same_content
    if isinstance(same, Unavailable):
        told = words("bisect.retention.content", reason=words.reason(same.reason))
    else:
        told = words("bisect.yes" if same else "bisect.no")
    return (
        (code(one.name),),
        (code(one.copy_name),),
        f"{one.num_tensors:,}",
        format_bytes(one.size_bytes),
        told,
        holder_text(story, one.holder),
    )
