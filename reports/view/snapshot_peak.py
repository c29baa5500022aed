"""The allocator's state at the moments that matter, and what the peak consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ilora_diag.schema import Unavailable
from ilora_diag.schema.snapshot import MemoryState, StackBytes
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Code, Paragraph, Section, Table, Text, code
from reports.view.snapshot_story import SnapshotStory, share_of
from reports.view.teller import setting_text

_NUM_STACKS = 3
_QUANTITIES: Mapping[str, Callable[[MemoryState], int]] = {
    "requested": lambda state: state.requested_bytes,
    "internal": lambda state: state.internal_fragmentation_bytes,
    "allocated": lambda state: state.allocated_bytes,
    "reserved": lambda state: state.reserved_bytes,
    "external": lambda state: state.external_fragmentation_bytes,
    "split": lambda state: state.inactive_split_bytes,
    "largest": lambda state: state.largest_free_block_bytes,
}


def moments(story: SnapshotStory) -> Section:
    """Before, peak, end; and how far the recording can be trusted."""
    words, device = story.words, story.device
    states = {"only": device.end}
    if device.num_events > 1:
        states = {"before": device.before_window, "peak": device.peak.state, "end": device.end}
    columns = ("", *(words(f"snapshot.moment.{name}") for name in states))
    rows: list[tuple[Text, ...]] = [
        (words(f"snapshot.quantity.{name}"), *(format_bytes(amount(state)) for state in states.values()))
        for name, amount in _QUANTITIES.items()
    ]
    table = Table(columns=columns, rows=tuple(rows), numeric=tuple(range(1, len(columns))))
    notes = Bullets(items=tuple(_notes(story)))
    return Section(title=words("snapshot.moments.title"), blocks=(table, notes), brief=True)


def peak(story: SnapshotStory) -> Section | None:
    """The same bytes twice: by line of the program, by operator; and the stacks of the largest."""
    words, device = story.words, story.device
    if not device.by_stack or all(part.before_window for part in device.by_stack):
        return None
    blocks: list[Block] = [_sites(story, device.by_stack), _ops(story)]
    made = [part for part in device.by_stack if len(part.frames) > 1]
    blocks += _stacks(story, made[:_NUM_STACKS])
    return Section(title=words("snapshot.peak.title"), blocks=tuple(blocks), brief=True)


def before(story: SnapshotStory) -> Section | None:
    """What the window found, by the stacks that blocks kept; None where none kept any."""
    words, parts = story.words, story.device.before_by_stack
    told = [part for part in parts if story.is_told(part)]
    if not told:
        return None
    whole_window = all(part.before_window for part in story.device.by_stack)
    title = words("snapshot.peak.title.state" if whole_window else "snapshot.before.title")
    blocks: list[Block] = [_sites(story, parts)]
    if len(told) < len(parts):
        blocks.append(Paragraph(text=words("snapshot.before.unknown")))
    blocks += _stacks(story, [part for part in told if len(part.frames) > 1][:1])
    return Section(title=title, blocks=tuple(blocks), brief=True)


def _notes(story: SnapshotStory) -> list[Text]:
    words, device, snapshot = story.words, story.device, story.snapshot
    notes: list[Text] = []
    if device.num_events > 1:
        event = words("snapshot.moment.first") if device.peak.allocated_event < 0 else str(device.peak.allocated_event)
        notes.append(words("snapshot.moment.events", num=f"{device.num_events:,}", event=event))
    if device.peak.reserved_bytes != device.peak.state.reserved_bytes:
        size = format_bytes(device.peak.reserved_bytes)
        notes.append(words("snapshot.moment.reserved", size=size, event=device.peak.reserved_event))
    dropped = device.num_dropped_events
    if isinstance(dropped, Unavailable):
        notes.append(words("snapshot.note.dropped", reason=words.reason(dropped.reason)))
    else:
        notes.append(words("snapshot.note.dropped.none"))
    if device.num_without_stack:
        total = device.num_allocations
        notes.append(words("snapshot.note.without_stack", num=f"{device.num_without_stack:,}", total=f"{total:,}"))
    if device.peak.state.unseen_rest_bytes:
        notes.append(words("snapshot.note.rest", size=format_bytes(device.peak.state.unseen_rest_bytes)))
    if device.num_unmatched_events:
        notes.append(words("snapshot.note.unmatched", num=device.num_unmatched_events))
    if snapshot.allocator_settings:
        told = words("separator").join(f"{key}={setting_text(value)}" for key, value in snapshot.allocator_settings)
        notes.append(words("snapshot.note.settings", settings=told))
    if snapshot.unread_keys:
        notes.append(words("snapshot.note.unread", keys=words("separator").join(snapshot.unread_keys)))
    return notes


def _sites(story: SnapshotStory, parts: Sequence[StackBytes]) -> Table:
    rows = [(story.site(part), part.size_bytes, part.num_blocks) for part in parts]
    return _shares(story, "site", rows)


def _ops(story: SnapshotStory) -> Table:
    rows = [(story.op(part), part.size_bytes, part.num_blocks) for part in story.device.by_op]
    return _shares(story, "op", rows)


def _shares(story: SnapshotStory, first: str, parts: Sequence[tuple[str, int, int]]) -> Table:
    """The largest parts, the rest in one row, and the sum of all."""
    words, whole = story.words, sum(size for _, size, _ in parts)
    shown, rest = list(parts[: story.top]), parts[story.top :]
    rows: list[tuple[Text, ...]] = [_share((code(name),), size, num, whole) for name, size, num in shown]
    if rest:
        name = words("snapshot.part.rest", num=len(rest))
        rows.append(_share(name, sum(part[1] for part in rest), sum(part[2] for part in rest), whole))
    rows.append(_share(words("snapshot.part.total"), whole, sum(part[2] for part in parts), whole))
    columns = (f"snapshot.column.{first}", "snapshot.column.size", "snapshot.column.share", "snapshot.column.blocks")
    return Table(columns=tuple(map(words, columns)), rows=tuple(rows), numeric=(1, 2, 3))


def _share(name: Text, size: int, num: int, whole: int) -> tuple[Text, ...]:
    return name, format_bytes(size), share_of(size, whole), f"{num:,}"


def _stacks(story: SnapshotStory, parts: Sequence[StackBytes]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        blocks.append(Paragraph(text=(story.words("snapshot.frames", site=story.site(part)),)))
        blocks.append(Code(text="\n".join(part.frames), language="text"))
    return blocks
