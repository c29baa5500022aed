"""Documents as one HTML file that needs nothing beside it: style and figures are inside, and nothing in it runs.

Everything a document holds is data: it is escaped, and a content policy in the page forbids scripts and any fetch,
should something ever slip through.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from reports.blocks import (
    TONES,
    Alert,
    Block,
    Bullets,
    Code,
    Details,
    Document,
    Figure,
    Leaf,
    Paragraph,
    Section,
    Span,
    Table,
    Text,
    printable,
    spans,
)
from reports.html_style import style_sheet
from reports.messages import Words
from reports.svg import SvgError, inline_svg

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_CLASS = {True: ' class="number"', False: ""}
# Fewer headings than this are seen at a glance.
_CONTENTS_FROM = 4


class HtmlRenderer:
    """A document as a page.

    Args:
        folder: where the document's figures were drawn; they are read from there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_figures = 0

    def render(self, document: Document) -> str:
        """The page, ending in one newline."""
        self._num_figures = 0
        return "\n".join(self._page(document, Words(document.lang))) + "\n"

    def _page(self, document: Document, words: Words) -> Iterator[str]:
        title = _escape(document.title)
        yield f'<!DOCTYPE html>\n<html lang="{_escape(document.lang)}">\n<head>\n<meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{_escape(_POLICY)}">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield f"<title>{title}</title>\n<style>\n{style_sheet()}\n</style>\n</head>\n<body>\n<main>"
        yield f"<h1>{title}</h1>"
        yield from _contents(document.sections, words)
        for number, section in enumerate(document.sections, start=1):
            if section.title:
                level, anchor = max(2, min(6, section.level)), _anchor(number)
                heading = f'<a href="#{anchor}">{_escape(section.title)}</a>'
                yield f'<h{level} id="{anchor}">{heading}</h{level}>'
            for block in section.blocks:
                yield self._block(block, words)
        yield "</main>\n</body>\n</html>"

    def _block(self, block: Block, words: Words) -> str:
        if isinstance(block, Details):
            inner = "\n".join(self._leaf(leaf, words) for leaf in block.blocks)
            return f"<details>\n<summary>{_escape(block.summary)}</summary>\n{inner}\n</details>"
        return self._leaf(block, words)

    def _leaf(self, block: Leaf, words: Words) -> str:
        if isinstance(block, Paragraph):
            return f"<p>{_inline(block.text)}</p>"
        if isinstance(block, Alert):
            name = words(f"html.alert.{block.kind}")
            return f'<div class="alert {block.kind}" role="note"><b>{name}</b>{_inline(block.text)}</div>'
        if isinstance(block, Bullets):
            return "<ul>\n" + "\n".join(f"<li>{_inline(item)}</li>" for item in block.items) + "\n</ul>"
        if isinstance(block, Code):
            return f"<pre><code>{_escape(block.text.rstrip())}</code></pre>"
        if isinstance(block, Table):
            return _table(block)
        assert isinstance(block, Figure)
        return self._figure(block, words)

    def _figure(self, block: Figure, words: Words) -> str:
        """The figure itself, or what it would show and why it is not there."""
        self._num_figures += 1
        try:
            drawn = self._read(block.path)
            shown = inline_svg(drawn, prefix=f"f{self._num_figures}-", label=printable(block.alt))
        except (OSError, SvgError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            missing = words("figure.not_drawn", path=block.path, reason=reason)
            return f'<p class="missing">{_escape(missing)} {_escape(block.alt)}</p>'
        return f"<figure>{shown}</figure>"

    def _read(self, path: str) -> bytes:
        """A figure's file, of the folder and of nowhere else."""
        file = (self._folder / path).resolve()
        if not file.is_relative_to(self._folder.resolve()):
            raise SvgError("it lies outside the folder of the report")
        return file.read_bytes()


def _contents(sections: tuple[Section, ...], words: Words) -> Iterator[str]:
    entries = [
        f'<li><a href="#{_anchor(number)}">{_escape(section.title)}</a></li>'
        for number, section in enumerate(sections, start=1)
        if section.title and section.level <= 2
    ]
    if len(entries) >= _CONTENTS_FROM:
        yield f'<nav aria-label="{_escape(words("html.contents"))}">\n<ol>\n' + "\n".join(entries) + "\n</ol>\n</nav>"


def _anchor(number: int) -> str:
    return f"section-{number}"


def _escape(text: str) -> str:
    return html.escape(printable(text))


def _inline(text: Text) -> str:
    return "".join(_span(piece) if isinstance(piece, Span) else _escape(piece) for piece in spans(text))


def _span(span: Span) -> str:
    if span.kind == "code":
        return f"<code>{_escape(span.text)}</code>"
    if span.kind in TONES:
        return _escape(span.text)
    if span.kind == "strong":
        return f"<strong>{_escape(span.text)}</strong>"
    # Quoting leaves no colon, so that a path cannot become a scheme; nor may it begin with a host.
    place = f"#{quote(span.place)}" if span.place else ""
    return f'<a href="{_escape(quote(span.href).lstrip("/"))}{_escape(place)}">{_escape(span.text)}</a>'


def _table(block: Table) -> str:
    def line(cells: tuple[Text, ...], tag: str) -> str:
        told = (f"<{tag}{_CLASS[index in block.numeric]}>{_inline(cell)}</{tag}>" for index, cell in enumerate(cells))
        return f"<tr>{''.join(told)}</tr>"

    head = line(block.columns, "th")
    body = "\n".join(line(row, "td") for row in block.rows)
    # Focusable, so that a table wider than the page can be scrolled from the keyboard.
    table = f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll" tabindex="0">\n{table}\n</div>'
