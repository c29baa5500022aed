"""An archive for a bug report as a document: what goes in, what was replaced, what stays here and why."""

from __future__ import annotations

from ilora_diag.schema.bundle import Bundle, Counts
from ilora_diag.units import format_bytes
from reports.blocks import Block, Document, Paragraph, Section, Table, code
from reports.messages import Words


def bundle_document(bundle: Bundle, lang: str) -> Document:
    """The manifest told.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    size = format_bytes(sum(file.size_bytes for file in bundle.files))
    key = "bundle.summary.checked" if bundle.checked else "bundle.summary.preview"
    summary = Paragraph(text=words(key, num=len(bundle.files), size=size))
    replaced = Paragraph(text=words("bundle.replaced", counts=_counts(bundle.redactions, words)))
    sections = [
        Section(title="", blocks=(summary, replaced, Paragraph(text=words("bundle.stays"))), brief=True),
        Section(title=words("bundle.files.title"), blocks=(_files(bundle, words),), brief=True),
        Section(title=words("bundle.left_out.title"), blocks=(_left_out(bundle, words),), brief=True),
    ]
    return Document(title=words("bundle.title", run=bundle.run_id), lang=lang, sections=tuple(sections))


def _files(bundle: Bundle, words: Words) -> Block:
    rows = tuple(
        ((code(file.path),), format_bytes(file.size_bytes), _counts(file.redactions, words)) for file in bundle.files
    )
    columns = tuple(words(f"bundle.column.{name}") for name in ("file", "size", "replaced"))
    return Table(columns=columns, rows=rows, numeric=(1,))


def _left_out(bundle: Bundle, words: Words) -> Block:
    if not bundle.left_out:
        return Paragraph(text=words("bundle.left_out.none"))
    rows = tuple(
        ((code(file.path),), format_bytes(file.size_bytes), words.named(f"bundle.why.{file.reason}", file.reason))
        for file in bundle.left_out
    )
    columns = tuple(words(f"bundle.column.{name}") for name in ("file", "size", "why"))
    return Table(columns=columns, rows=rows, numeric=(1,))


def _counts(counts: Counts, words: Words) -> str:
    told = [
        words("bundle.count", kind=words.named(f"bundle.kind.{kind}", kind), num=num) for kind, num in counts if num
    ]
    return words("separator").join(told) or words("bundle.nothing")
