"""A recorded memory snapshot as a document: the answer in its title, then the tables it rests on."""

from __future__ import annotations

from dataclasses import replace

from ilora_diag.schema import Snapshot
from ilora_diag.schema.snapshot import SnapshotDevice, SnapshotOom, StackBytes
from ilora_diag.units import format_bytes
from reports.blocks import Document, Section
from reports.messages import Words
from reports.view.snapshot_course import failures, growth
from reports.view.snapshot_peak import before, moments, peak
from reports.view.snapshot_story import SnapshotStory, share_of

TOP = 10


def snapshot_headline(snapshot: Snapshot, lang: str) -> str:
    """The snapshot in one line: its fullest device, and the largest part there.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    if not snapshot.devices:
        return words("snapshot.headline.empty")
    device = max(snapshot.devices, key=lambda one: (bool(one.oom_events), one.peak.allocated_bytes))
    story = SnapshotStory(snapshot=snapshot, device=device, words=words)
    if device.oom_events:
        return _oom(story, device.oom_events[-1])
    return _state(story) if device.num_events <= 1 else _peak(story)


def snapshot_document(snapshot: Snapshot, lang: str, *, top: int = TOP) -> Document:
    """The whole snapshot.

    Args:
        snapshot: the record.
        lang: "en" or "ja".
        top: rows of the longer tables; the rest is summed up in one row.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    sections: list[Section] = []
    for device in snapshot.devices:
        story = SnapshotStory(snapshot=snapshot, device=device, words=words, top=top)
        told = [moments(story), *failures(story), peak(story), before(story), growth(story)]
        kept = [section for section in told if section]
        if len(snapshot.devices) > 1:
            kept = [replace(part, title=f"{_name(words, device)}: {part.title}") for part in kept]
        sections += kept
    return Document(title=snapshot_headline(snapshot, lang), lang=lang, sections=tuple(sections))


def _name(words: Words, device: SnapshotDevice) -> str:
    return words("snapshot.device", index=device.index)


def _peak(story: SnapshotStory) -> str:
    device, whole = story.device, story.device.peak.allocated_bytes
    made = [part for part in device.by_stack if not part.before_window]
    earlier = whole - sum(part.size_bytes for part in made)
    sizes = {"allocated": format_bytes(whole), "reserved": format_bytes(device.peak.state.reserved_bytes)}
    if not made:
        return story.words("snapshot.headline.plain", device=device.index, **sizes)
    part = made[0]
    mine = {"part": story.site(part), "size": format_bytes(part.size_bytes), "share": share_of(part.size_bytes, whole)}
    if not earlier:
        return story.words("snapshot.headline", device=device.index, **sizes, **mine)
    return story.words(
        "snapshot.headline.before",
        device=device.index,
        share=share_of(earlier, whole),
        size=format_bytes(earlier),
        part=mine["part"],
        part_size=mine["size"],
        part_share=mine["share"],
        **sizes,
    )


def _state(story: SnapshotStory) -> str:
    """A file without events: only the stacks that blocks kept tell anything."""
    device, whole = story.device, story.device.peak.allocated_bytes
    sizes = {"allocated": format_bytes(whole), "reserved": format_bytes(device.peak.state.reserved_bytes)}
    told = [part for part in (*device.by_stack, *device.before_by_stack) if story.is_told(part)]
    if not told:
        return story.words("snapshot.headline.plain", device=device.index, **sizes)
    part = max(told, key=lambda one: one.size_bytes)
    largest = _largest(story, part, whole)
    unknown = sum(one.size_bytes for one in device.before_by_stack if not story.is_told(one))
    if not unknown:
        return story.words("snapshot.headline.state.told", device=device.index, **sizes, **largest)
    return story.words(
        "snapshot.headline.state", device=device.index, unknown=share_of(unknown, whole), **sizes, **largest
    )


def _oom(story: SnapshotStory, failure: SnapshotOom) -> str:
    whole = failure.state.allocated_bytes
    sizes = {"allocated": format_bytes(whole), "reserved": format_bytes(failure.state.reserved_bytes)}
    requested = format_bytes(failure.requested_bytes)
    holder = failure.by_stack[0] if failure.by_stack else None
    if holder is None:
        nothing = {"part": story.words("snapshot.part.no_stack"), "size": format_bytes(0), "share": share_of(0, 0)}
        return story.words("snapshot.headline.oom", device=story.device.index, requested=requested, **sizes, **nothing)
    mine = _largest(story, holder, whole)
    return story.words("snapshot.headline.oom", device=story.device.index, requested=requested, **sizes, **mine)


def _largest(story: SnapshotStory, part: StackBytes, whole: int) -> dict[str, str]:
    size, share = format_bytes(part.size_bytes), share_of(part.size_bytes, whole)
    return {"part": story.site(part), "size": size, "share": share}
