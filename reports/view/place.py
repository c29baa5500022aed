"""A placement as a document: of which class its failure is, the truth table, the tensor, and what was in force."""

from __future__ import annotations

from ilora_diag.schema.known import Known, Settings, Unavailable
from ilora_diag.schema.place import Leaf, Placement, PlaceOutcome, PlaceTry
from ilora_diag.units import format_bytes
from reports.blocks import Alert, Block, Bullets, Code, Document, Paragraph, Section, Span, Table, Text, code, strong
from reports.messages import Words
from reports.view.teller import setting_text

RECORD_NAME = "place.json"
_EFFECTIVE = ("card.", "allocator.", "env.", "version.")
_LONGEST = 160


def place_headline(found: Placement, lang: str) -> str:
    """The class in one sentence."""
    words, leaf, walk = Words(lang), found.culprit, found.table[0]
    return words(
        f"place.answer.{found.answer.value}",
        num=walk.num_moved,
        moved=format_bytes(walk.moved_bytes),
        leaf=leaf.name if leaf is not None else words("place.no_leaf"),
        size=format_bytes(leaf.size_bytes) if leaf is not None else words("isolate.none"),
        shape="x".join(map(str, leaf.shape)) if leaf is not None else words("isolate.none"),
        dtype=leaf.dtype if leaf is not None else words("isolate.none"),
        before=found.allocator_before or words("place.none_set"),
        after=found.allocator_after or words("place.none_set"),
    )


def place_document(found: Placement, lang: str) -> Document:
    """The whole of it.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    fails = found.table[0].outcome is PlaceOutcome.FAILS
    head: Block = (
        Alert(kind="warning", text=(strong(place_headline(found, lang)),))
        if fails
        else Paragraph(text=(strong(place_headline(found, lang)),))
    )
    summary: list[Block] = [head, Paragraph(text=words(f"place.next.{found.answer.value}"))]
    sections = [
        Section(title="", blocks=tuple(summary), brief=True),
        Section(title=words("place.section.table"), blocks=(_truth(found, words),), brief=True),
    ]
    if found.culprit is not None:
        blocks = (_leaf(found.culprit, words),)
        sections.append(Section(title=words("place.section.culprit"), blocks=blocks, brief=True))
    if found.error_text:
        sections.append(Section(title=words("place.section.error"), blocks=(Code(text=found.error_text),)))
    sections += closing(found.effective, found.notes, found.command, words)
    title = words("place.title", device=found.device, subject=found.subject)
    return Document(title=title, lang=lang, sections=tuple(sections))


def closing(effective: Known[Settings], notes: tuple[str, ...], command: str, words: Words) -> list[Section]:
    """What was in force, what was assumed, and how to run it again."""
    blocks: tuple[Block, ...]
    if isinstance(effective, Unavailable):
        blocks = (Paragraph(text=words.reason(effective.reason)),)
    else:
        rows = tuple(((code(key),), setting_text(value)) for key, value in effective if key.startswith(_EFFECTIVE))
        blocks = (Table(columns=(words("place.column.key"), words("place.column.value")), rows=rows),)
    sections = [Section(title=words("place.section.effective"), blocks=blocks)]
    if notes:
        items: tuple[Text, ...] = tuple(words.reason(note) for note in notes)
        sections.append(Section(title=words("place.section.notes"), blocks=(Bullets(items=items),)))
    sections.append(Section(title=words("place.section.again"), blocks=(Code(text=command, language="sh"),)))
    return sections


def outcome_text(outcome: PlaceOutcome, words: Words) -> Text:
    """An outcome in its tone."""
    text = words(f"place.outcome.{outcome.value}")
    tones = {PlaceOutcome.PASSES: "good", PlaceOutcome.FAILS: "bad", PlaceOutcome.UNKNOWN: "doubtful"}
    tone = tones.get(outcome)
    return (Span(tone, text),) if tone is not None else text  # type: ignore[arg-type]


def shortened(text: str) -> str:
    """The first line, cut where it is long: the whole error stands by itself."""
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def size_text(size: Known[int], words: Words) -> str:
    """Bytes, or a dash for what nobody told."""
    return words("isolate.none") if isinstance(size, Unavailable) else format_bytes(size)


def _truth(found: Placement, words: Words) -> Block:
    names = ("mode", "outcome", "trial", "leaf", "moved", "reserved", "detail")
    return Table(
        columns=tuple(words(f"place.column.{name}") for name in names),
        rows=tuple(_row(row, words) for row in found.table),
        numeric=(4, 5),
    )


def _row(row: PlaceTry, words: Words) -> tuple[Text, ...]:
    nothing = words("isolate.none")
    was_run = row.outcome is not PlaceOutcome.NOT_NEEDED
    return (
        words(f"place.mode.{row.mode.value}"),
        outcome_text(row.outcome, words),
        (code(row.trial),) if row.trial else nothing,
        (code(row.leaf.name),) if row.leaf is not None else nothing,
        words("place.moved", num=row.num_moved, size=format_bytes(row.moved_bytes)) if was_run else nothing,
        size_text(row.reserved_bytes, words),
        shortened(row.detail) or nothing,
    )


def _leaf(leaf: Leaf, words: Words) -> Block:
    rows: tuple[tuple[Text, ...], ...] = (
        (words("place.leaf.name"), (code(leaf.name),)),
        (words("place.leaf.kind"), leaf.kind),
        (words("place.leaf.dtype"), leaf.dtype),
        (words("place.leaf.shape"), "x".join(map(str, leaf.shape)) or "()"),
        (words("place.leaf.size"), format_bytes(leaf.size_bytes)),
        (words("place.leaf.contiguous"), words("place.yes" if leaf.is_contiguous else "place.no")),
    )
    return Table(columns=(words("place.column.key"), words("place.column.value")), rows=rows)
