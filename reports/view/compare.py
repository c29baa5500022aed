"""Two runs side by side as a document: whether they are equal enough, then every group that differs."""

from __future__ import annotations

from ilora_diag.schema import Unavailable
from ilora_diag.schema.compare import Compare, Difference, Group, Side
from ilora_diag.schema.known import Known, Value
from ilora_diag.units import format_bytes
from reports.blocks import Alert, Block, Bullets, Document, Paragraph, Section, Table, Text, code, strong
from reports.messages import Words
from reports.view.teller import setting_text

_MAX_LETTERS = 120


def compare_document(found: Compare, lang: str, *, top: int = 20) -> Document:
    """The comparison told.

    Args:
        found: the record.
        lang: "en" or "ja".
        top: rows of a table at the most.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    sections = [Section(title="", blocks=_summary(found, words), brief=True)]
    for group in Group:
        some = [one for one in found.differences if one.group is group]
        if some:
            title = words(f"compare.group.{group.value}")
            sections.append(Section(title=title, blocks=_group(some, found, words, top), brief=True))
    title = words("compare.title", a=found.a.path, b=found.b.path)
    return Document(title=title, lang=lang, sections=tuple(sections))


def _summary(found: Compare, words: Words) -> tuple[Block, ...]:
    num = sum(one.matters for one in found.differences)
    percent = f"{100 * found.tolerance:g}"
    if found.is_equal:
        answer: Block = Paragraph(text=(strong(words("compare.equal", percent=percent)),))
    else:
        answer = Alert(kind="note", text=(strong(words("compare.differs", num=num)),))
    sides = tuple(_side(key, side, words) for key, side in (("A", found.a), ("B", found.b)))
    same = words("separator").join(
        words("compare.count", group=words(f"compare.group.{group.value}"), num=count)
        for group, count in found.num_same
        if count
    )
    items: list[Text] = [*sides, words("compare.same", counts=same)]
    items += [
        words(
            "compare.not_compared",
            group=words(f"compare.group.{entry.what}"),
            reason=_reason(entry.reason, words),
        )
        for entry in found.not_compared
    ]
    return answer, Bullets(items=tuple(items))


def _reason(reason: str, words: Words) -> str:
    """The reason in this language, the side it is about in front of it."""
    side, colon, rest = reason.partition(": ")
    return f"{side.upper()}: {words.reason(rest)}" if colon and side in ("a", "b") else words.reason(reason)


def _side(key: str, side: Side, words: Words) -> Text:
    kind = words(f"compare.kind.{side.kind}")
    return (strong(key), ": ", code(side.path), words("compare.side", kind=kind, name=side.name))


def _group(some: list[Difference], found: Compare, words: Words, top: int) -> tuple[Block, ...]:
    rows = tuple(_row(one, words) for one in some[:top])
    columns = (words("compare.column.what"), "A", "B", words("compare.column.change"))
    numeric = (1, 2, 3) if all(one.unit for one in some) else ()
    blocks: list[Block] = [Table(columns=columns, rows=rows, numeric=numeric)]
    if len(some) > top:
        blocks.append(Paragraph(text=words("compare.more", num=len(some) - top)))
    return tuple(blocks)


def _row(one: Difference, words: Words) -> tuple[Text, ...]:
    name = one.name or words("estimate.module.root")
    if one.group is Group.CATEGORY:
        name = words.named(f"estimate.category.{one.name}", one.name)
    change = _change(one, words)
    told: Text = (strong(change),) if one.matters and change else change
    return ((code(name),), _value(one.a, one.unit, words), _value(one.b, one.unit, words), told)


def _value(value: Known[Value], unit: str, words: Words) -> str:
    if isinstance(value, Unavailable):
        absent = value.reason == "not there"
        return words("compare.absent") if absent else words("compare.unknown", reason=words.reason(value.reason))
    if unit == "bytes" and isinstance(value, int):
        return format_bytes(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = setting_text(value)
    return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 3] + "..."


def _change(one: Difference, words: Words) -> str:
    if isinstance(one.delta, Unavailable):
        return words("compare.other")
    sign = "+" if one.delta > 0 else ""
    if one.unit == "bytes":
        return sign + format_bytes(int(one.delta))
    unit = "" if one.unit in ("", "1") else f" {one.unit}"
    number = f"{one.delta:,}" if isinstance(one.delta, int) else f"{one.delta:.4g}"
    return f"{sign}{number}{unit}"
