"""An explanation as a document: the cause in one line first, then how it is known."""

from __future__ import annotations

from ilora_diag.schema import Confidence, Decider, Finding, Unavailable
from ilora_diag.schema.explanation import CauseState, Explanation, JudgedCause, SignatureMatch
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Code, Document, Paragraph, Section, Span, Table, Text, code, strong
from reports.messages import Words
from reports.view.explain_memory import memory_section

_SHORT = 12
_MOST_CODES = 8
_TABLED = 20


def explain_document(found: Explanation) -> Document:
    """The document, in the language of the explanation."""
    words = Words(found.lang)
    sections = [_answer(found, words)]
    if found.leading or found.codes:
        sections.append(_text(found, words))
    if found.oom is not None and found.verdict is not None:
        sections.append(memory_section(found.oom, found.verdict, words))
    if found.causes:
        sections.append(_causes(found.causes, words))
    if len(found.findings) > 1:
        sections.append(_others(found.findings[1:], found, words))
    if len(found.signatures) > 1:
        sections.append(_signatures(found, words))
    sections.append(Section(title="", blocks=(Paragraph(text=_source(found, words)),)))
    return Document(
        title=words("explain.title", headline=_headline(found, words)), lang=found.lang, sections=tuple(sections)
    )


def _headline(found: Explanation, words: Words) -> str:
    if found.findings:
        first = found.findings[0]
        cause = finding_title(first, found, words)
        sure = words(f"explain.confidence.{first.confidence}")
        return words("explain.headline", cause=cause.rstrip(".\u3002"), confidence=sure)
    if found.leading:
        return found.title
    if not isinstance(found.exception_type, Unavailable):
        return words("explain.headline.unexplained", exception=found.exception_type)
    if found.num_lines and not found.garbage:
        return words("explain.headline.nothing")
    return words("explain.headline.unread")


def finding_title(finding: Finding, found: Explanation, words: Words) -> str:
    """A finding's title in the language; those of a signature alone are told by the signature."""
    values = dict(finding.parameters)
    if "signature" in values and "cause" in values:
        return found.title
    variant = values.get("variant")
    key = f"check.{finding.code}.{variant}.title" if variant else f"check.{finding.code}.title"
    return _filled(words, key, dict(values), finding.title)


def _consequence(finding: Finding, found: Explanation, words: Words) -> str:
    values = dict(finding.parameters)
    if values.get("cause") == -1:
        return words("explain.cause.unknown")
    if "signature" in values and "cause" in values:
        best = next((cause for cause in found.causes if cause.state is not CauseState.REFUTED), None)
        return "" if best is None else f"{best.text[:1].upper()}{best.text[1:]}{words('explain.stop')}"
    return _filled(words, f"check.{finding.code}.consequence", dict(values), finding.consequence)


def _filled(words: Words, key: str, values: dict[str, str | int | float | bool | None], otherwise: str) -> str:
    template = words.named(key, "")
    try:
        return template.format(**values) if template else otherwise
    except (KeyError, IndexError, ValueError):
        return otherwise  # a finding of a newer version, with other parameters


def _answer(found: Explanation, words: Words) -> Section:
    """What to do, and what would settle it."""
    blocks: list[Block] = []
    if found.findings:
        first = found.findings[0]
        said = _consequence(first, found, words)
        if said:
            blocks.append(Paragraph(text=said))
        remedy = first.remedy
        if remedy and dict(first.parameters).get("cause") is not None:
            remedy = found.fix
        if remedy:
            blocks.append(Paragraph(text=(strong(words("explain.remedy")), code(remedy))))
        if first.decider is not None and first.confidence is not Confidence.CONFIRMED:
            blocks.append(Paragraph(text=(strong(words("explain.decide")), *_decider(first.decider, words))))
    elif not found.num_bytes:
        blocks.append(Paragraph(text=words("explain.unread.empty")))
    elif found.garbage:
        blocks.append(Paragraph(text=words("explain.unread.garbage", size=format_bytes(found.num_bytes))))
    elif not isinstance(found.exception_type, Unavailable):
        blocks.append(Paragraph(text=words("explain.unread.unknown")))
    else:
        blocks.append(Paragraph(text=words("explain.clean", lines=found.num_lines)))
    return Section(title="", blocks=tuple(blocks), brief=True)


def _decider(decider: Decider, words: Words) -> tuple[str | Span, ...]:
    if not decider.fact:
        return (code(decider.command),)
    before, _, after = words("explain.decide.fact", command="\0", fact=decider.fact).partition("\0")
    return (before, code(decider.command), after)


def _text(found: Explanation, words: Words) -> Section:
    blocks: list[Block] = []
    leading = next((match for match in found.signatures if match.id == found.leading), None)
    if leading is not None:
        blocks.append(Code(text=leading.excerpt))
        if not isinstance(found.exception_type, Unavailable):
            blocks.append(Paragraph(text=(words("explain.text.exception"), code(found.exception_type))))
        where = words("explain.text.where", line=leading.first_line, layer=leading.layer)
        blocks.append(Paragraph(text=(where, " - ", code(leading.id))))
        if leading.sticky in ("yes", "no", "depends"):
            blocks.append(Paragraph(text=words(f"explain.text.sticky.{leading.sticky}")))
        if leading.unverified:
            blocks.append(Paragraph(text=words("explain.text.unverified")))
    if found.codes:
        shown = [_code(one.space, one.number, one.name, one.meaning) for one in found.codes[:_MOST_CODES]]
        blocks.append(Paragraph(text=(words("explain.text.codes"), "; ".join(shown))))
    return Section(title=words("explain.section.text"), blocks=tuple(blocks))


def _code(space: str, number: int | None, name: str, meaning: str) -> str:
    told = " ".join(part for part in (space, "" if number is None else str(number), name) if part)
    return f"{told} ({meaning})" if meaning else told


def _causes(causes: tuple[JudgedCause, ...], words: Words) -> Section:
    rows = tuple((words(f"explain.state.{cause.state}"), cause.text, _why(cause, words)) for cause in causes)
    columns = tuple(words(f"explain.column.{name}") for name in ("state", "cause", "because"))
    return Section(title=words("explain.section.causes"), blocks=(Table(columns=columns, rows=rows),))


def _why(cause: JudgedCause, words: Words) -> Text:
    parts: list[str | Span] = []
    if cause.because and cause.state is not CauseState.OPEN:
        parts.append("; ".join(cause.because))
    if cause.decider is not None:
        parts += [" - "] if parts else []
        parts += _decider(cause.decider, words)
    return tuple(parts) or ""


def _others(findings: tuple[Finding, ...], found: Explanation, words: Words) -> Section:
    items = tuple(
        (
            code(finding.code),
            f" {finding_title(finding, found, words)} ({words(f'explain.confidence.{finding.confidence}')})",
        )
        for finding in findings
    )
    return Section(title=words("explain.section.others"), blocks=(Bullets(items=items),))


def _signatures(found: Explanation, words: Words) -> Section:
    rows = tuple(
        (str(match.first_line), str(match.count), match.id, _note(match, found, words))
        for match in found.signatures[:_TABLED]
    )
    columns = tuple(words(f"explain.column.{name}") for name in ("line", "count", "message", "note"))
    return Section(
        title=words("explain.section.signatures"), blocks=(Table(columns=columns, rows=rows, numeric=(0, 1)),)
    )


def _note(match: SignatureMatch, found: Explanation, words: Words) -> str:
    if match.id == found.leading:
        return words("explain.note.leads")
    if match.follows:
        return words("explain.note.follows")
    return words("explain.note.generic") if match.generic else ""


def _source(found: Explanation, words: Words) -> str:
    known = found.facts_digest
    facts = (
        words("explain.facts.none")
        if isinstance(known, Unavailable)
        else words("explain.facts.given", digest=known[:_SHORT])
    )
    size = format_bytes(found.num_bytes)
    return words("explain.source", lines=found.num_lines, size=size, digest=found.digest[:_SHORT], facts=facts)
