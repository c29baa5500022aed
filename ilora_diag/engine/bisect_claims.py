"""Whether every claim of an investigation report names its evidence, and every name leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.schema.bisect import Bisect
from reports.blocks import Alert, Block, Bullets, Code, Details, Document, Figure, Paragraph, Section, Span, Table, Text
from reports.blocks import spans as pieces
from reports.view.bisect_story import RECORD_NAME

_TRIAL = re.compile(r"T-\d+")
_FACT = re.compile(r"E-\S+")
_TOLD = frozenset({1, 2, 3, 4, 6, 7, 8, 9, 10, 11})
"""Sections in which every sentence is a claim; the others are particulars, method, and appendices."""


def claim_problems(document: Document, bisect: Bisect, data: object) -> Iterator[str]:
    """What is wrong with the evidence of a document, in words.

    Args:
        document: the report.
        bisect: the record.
        data: the record's file as parsed JSON, in which facts are looked up.
    """
    ids = {trial.id for trial in bisect.trials}
    places: dict[str, str] = {}
    for span in _links(document):
        if _TRIAL.fullmatch(span.text) and span.text not in ids:
            yield f"[{span.text}] is no trial of {RECORD_NAME}"
        if _FACT.fullmatch(span.text):
            if places.setdefault(span.text, span.place) != span.place:
                yield f"[{span.text}] stands for {places[span.text]} and for {span.place}"
            if span.href != RECORD_NAME or not resolves(data, span.place):
                yield f"[{span.text}] leads to {span.href}#{span.place}, which is not there"
    for section in document.sections:
        if _number(section) in _TOLD:
            yield from _unfounded(section)


def resolves(data: object, pointer: str) -> bool:
    """Whether a JSON pointer (RFC 6901) leads to a value."""
    at = data
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict) and name in at:
            at = at[name]
        elif isinstance(at, list) and name.isdigit() and int(name) < len(at):
            at = at[int(name)]
        else:
            return False
    return pointer.startswith("/")


def _number(section: Section) -> int | None:
    match = re.match(r"(\d+)\.", section.title)
    return int(match[1]) if match else None


def _unfounded(section: Section) -> Iterator[str]:
    """Sentences without evidence. A caption with evidence speaks for the tables and figures up to the next one."""
    covered = False
    for block in section.blocks:
        if isinstance(block, Paragraph | Alert):
            covered = _is_founded(block.text)
            if not covered:
                yield f"section {section.title!r}: no evidence is named for {_plain(block.text)[:60]!r}"
        elif isinstance(block, Bullets):
            for item in block.items:
                if not _is_founded(item):
                    yield f"section {section.title!r}: no evidence is named for {_plain(item)[:60]!r}"
        elif isinstance(block, Table) and not covered:
            for row in block.rows:
                if not any(_is_founded(cell) for cell in row):
                    yield f"section {section.title!r}: no evidence is named for the row {_plain(row[0])[:60]!r}"


def _is_founded(text: Text) -> bool:
    return any(
        isinstance(piece, Span)
        and piece.kind == "link"
        and bool(_TRIAL.fullmatch(piece.text) or _FACT.fullmatch(piece.text))
        for piece in pieces(text)
    )


def _plain(text: Text) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces(text))


def _links(document: Document) -> Iterator[Span]:
    for section in document.sections:
        for block in section.blocks:
            for text in _texts(block):
                yield from (piece for piece in pieces(text) if isinstance(piece, Span) and piece.kind == "link")


def _texts(block: Block) -> Iterator[Text]:
    if isinstance(block, Details):
        for leaf in block.blocks:
            yield from _texts(leaf)
    elif isinstance(block, Bullets):
        yield from block.items
    elif isinstance(block, Table):
        for row in block.rows:
            yield from row
    elif not isinstance(block, Code | Figure):
        yield block.text
