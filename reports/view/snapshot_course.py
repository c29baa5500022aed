"""What happened over the window: growth from step to step, and requests that failed."""

from __future__ import annotations

from ilora_diag.schema import Unavailable
from ilora_diag.schema.snapshot import GrowthSuspect, OomVerdict, SnapshotOom, StepMarker
from ilora_diag.units import format_bytes
from reports.blocks import Alert, Block, Code, Paragraph, Section, Table, Text, code, strong
from reports.view.snapshot_story import SnapshotStory, share_of
from reports.view.teller import Teller

_MAX_STEPS = 12


def growth(story: SnapshotStory) -> Section | None:
    """Which lines leave blocks behind in every step; None where there are no events to tell."""
    words, found = story.words, story.device.growth
    if story.device.num_events <= 1:
        return None
    suspects = found.suspects
    title = words("snapshot.growth.title")
    blocks: list[Block] = [
        Paragraph(text=words(f"snapshot.growth.{found.marker.value}", num=len(found.step_ends))),
        Paragraph(text=words("snapshot.growth.ends", sizes=_sizes(found.step_end_allocated_bytes))),
    ]
    by_thirds = found.marker is StepMarker.THIRDS
    inferred = found.marker in (StepMarker.THIRDS, StepMarker.REPEAT)
    if isinstance(suspects, Unavailable):
        blocks.append(Paragraph(text=words("snapshot.growth.unknown", reason=words.reason(suspects.reason))))
    elif not suspects:
        key = "snapshot.growth.none.thirds" if by_thirds else "snapshot.growth.none"
        blocks.append(Paragraph(text=words(key)))
    else:
        key = "snapshot.growth.suspects.inferred" if inferred else "snapshot.growth.suspects"
        blocks.append(Alert(kind="note" if inferred else "warning", text=words(key)))
        blocks.append(_suspects(story, suspects))
        if len(suspects[0].frames) > 1:
            blocks.append(Paragraph(text=words("snapshot.frames", site=suspects[0].site)))
            blocks.append(Code(text="\n".join(suspects[0].frames), language="text"))
    return Section(title=title, blocks=tuple(blocks), brief=True)


def failures(story: SnapshotStory) -> list[Section]:
    """One section for each request that failed."""
    return [_failure(story, event) for event in story.device.oom_events]


def _failure(story: SnapshotStory, event: SnapshotOom) -> Section:
    words, state, tell = story.words, event.state, Teller(story.words)
    asked = words(
        "snapshot.oom.asked",
        requested=format_bytes(event.requested_bytes),
        free=tell.size(event.device_free_bytes),
        reserved=format_bytes(state.reserved_bytes),
        unallocated=format_bytes(state.reserved_bytes - state.allocated_bytes),
        largest=format_bytes(state.largest_free_block_bytes),
    )
    blocks: list[Block] = [Paragraph(text=asked), Paragraph(text=(strong(_verdict(story, event)),))]
    missing = _missing(story, event)
    if missing:
        blocks.append(Paragraph(text=missing))
    whole = state.allocated_bytes
    rows: list[tuple[Text, ...]] = [
        (
            (code(story.site(part)),),
            format_bytes(part.size_bytes),
            share_of(part.size_bytes, whole),
            str(part.num_blocks),
        )
        for part in event.by_stack[: story.top]
    ]
    rest = event.by_stack[story.top :]
    if rest:
        size, num = sum(part.size_bytes for part in rest), sum(part.num_blocks for part in rest)
        name = words("snapshot.part.rest", num=len(rest))
        rows.append((name, format_bytes(size), share_of(size, whole), str(num)))
    columns = ("snapshot.column.site", "snapshot.column.size", "snapshot.column.share", "snapshot.column.blocks")
    blocks.append(Table(columns=tuple(map(words, columns)), rows=tuple(rows), numeric=(1, 2, 3)))
    return Section(title=words("snapshot.oom.title", event=event.event), blocks=tuple(blocks), brief=True)


def _verdict(story: SnapshotStory, event: SnapshotOom) -> str:
    verdict = event.verdict
    if isinstance(verdict, Unavailable):
        return story.words("snapshot.oom.unknown", reason=story.words.reason(verdict.reason))
    return story.words(f"snapshot.oom.{verdict.value}")


def _missing(story: SnapshotStory, event: SnapshotOom) -> str:
    words, missing = story.words, event.missing_bytes
    # In pieces, bytes that others give back need not lie in one: there the remedy is the verdict's.
    if isinstance(missing, Unavailable) or not missing or event.verdict is OomVerdict.FRAGMENTATION:
        return ""
    size = format_bytes(missing)
    if not event.give_way:
        return words("snapshot.oom.missing.none", size=size)
    parts = words("separator").join(
        words("snapshot.oom.part", site=story.site(part), size=format_bytes(part.size_bytes)) for part in event.give_way
    )
    return words("snapshot.oom.missing", size=size, parts=parts)


def _suspects(story: SnapshotStory, suspects: tuple[GrowthSuspect, ...]) -> Table:
    words = story.words
    rows: list[tuple[Text, ...]] = [
        (
            (code(suspect.site),),
            (code(suspect.op),),
            format_bytes(suspect.size_bytes),
            _listed([str(num) for num in suspect.per_step]),
        )
        for suspect in suspects[: story.top]
    ]
    rest = suspects[story.top :]
    if rest:
        total = format_bytes(sum(suspect.size_bytes for suspect in rest))
        rows.append((words("snapshot.part.rest", num=len(rest)), "", total, ""))
    columns = ("snapshot.column.site", "snapshot.column.op", "snapshot.column.size", "snapshot.column.per_step")
    return Table(columns=tuple(map(words, columns)), rows=tuple(rows), numeric=(2,))


def _sizes(sizes: tuple[int, ...]) -> str:
    return _listed([format_bytes(size) for size in sizes])


def _listed(items: list[str]) -> str:
    """All of a few, the first and last of many."""
    if len(items) > _MAX_STEPS:
        half = _MAX_STEPS // 2
        items = [*items[:half], "...", *items[-half:]]
    return ", ".join(items)
