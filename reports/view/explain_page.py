"""The page of a code, and the list of codes."""

from __future__ import annotations

from ilora_diag.schema.explain_page import ExplainIndex, ExplainPage, PageCause
from reports.blocks import Block, Bullets, Code, Document, Paragraph, Section, Span, Table, code
from reports.messages import Words


def page_document(page: ExplainPage) -> Document:
    """One page."""
    words = Words(page.lang)
    head: list[Block] = [Paragraph(text=(words(f"explain.page.kind.{page.kind}"),))]
    if page.text:
        head.append(Paragraph(text=page.text))
    head += [
        Paragraph(text=words(f"explain.page.{name}", **{name: text})) for name, text in page.lines if name != "source"
    ]
    if page.sticky in ("yes", "no", "depends"):
        head.append(Paragraph(text=words(f"explain.text.sticky.{page.sticky}")))
    if page.unverified:
        head.append(Paragraph(text=words("explain.text.unverified")))
    sections = [Section(title="", blocks=tuple(head))]
    if page.samples:
        samples = tuple(Code(text=sample) for sample in page.samples)
        sections.append(Section(title=words("explain.page.sample"), blocks=samples))
    if page.causes:
        items = tuple(_cause(cause, words) for cause in page.causes)
        sections.append(Section(title=words("explain.page.causes"), blocks=(Bullets(items=items),)))
    if page.fix:
        sections.append(Section(title=words("explain.page.fix"), blocks=(Paragraph(text=page.fix),)))
    if page.related:
        related = Paragraph(text=", ".join(page.related))
        sections.append(Section(title=words("explain.page.related"), blocks=(related,)))
    sources = tuple(
        Paragraph(text=words("explain.page.source", source=text)) for name, text in page.lines if name == "source"
    )
    if sources:
        sections.append(Section(title="", blocks=sources))
    return Document(title=f"{page.code}: {page.title}", lang=page.lang, sections=tuple(sections))


def _cause(cause: PageCause, words: Words) -> tuple[str | Span, ...]:
    parts: list[str | Span] = [cause.text]
    for name, rule in (("confirm", cause.confirm), ("refute", cause.refute), ("decide", cause.decide)):
        if rule:
            parts += [f"; {words(f'explain.page.{name}')} ", code(rule)]
    return tuple(parts)


def index_document(found: ExplainIndex) -> Document:
    """Findings, then messages."""
    words = Words(found.lang)
    sections = [
        Section(
            title=words(f"explain.list.{kind}"),
            blocks=(
                Table(
                    columns=(words("explain.column.message"), words("explain.column.what")),
                    rows=tuple((entry.code, entry.title) for entry in found.entries if entry.kind == kind),
                ),
            ),
        )
        for kind in ("finding", "signature")
    ]
    sections.append(Section(title="", blocks=(Paragraph(text=words("explain.list.hint")),)))
    return Document(title=words("explain.list.title"), lang=found.lang, sections=tuple(sections))
