"""Documents as GitHub-flavoured Markdown, fit to be pasted into an issue.

Escaping follows the GFM specification (https://github.github.com/gfm/): data never becomes markup, in running text,
in table cells (where a pipe ends the cell even inside a code span) or in fences (which outgrow any fence they hold).
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
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
    Paragraph,
    Span,
    Table,
    Text,
    printable,
    spans,
)
from reports.view import train_document

if TYPE_CHECKING:
    from ilora_diag.schema import Report

# `$` starts GitHub's mathematics, `~` its strike-through; an underscore inside a word is harmless and stays readable.
_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
_HTML = {"&": "&amp;", "<": "&lt;"}
_LINE_START = re.compile(r"^(\s*)([#+=>-]|\d+(?=[.)]))")


class MarkdownRenderer:
    """A report as Markdown.

    Args:
        lang: "en" or "ja".
    """

    def __init__(self, lang: str) -> None:
        self.lang = lang

    def render(self, report: Report) -> str:
        """The document, ending in one newline; figures and links are relative to the run folder."""
        return render_document(train_document(report, self.lang))


def escape(text: str) -> str:
    """Plain text as Markdown that shows exactly that text, on one line."""
    flat = " ".join(printable(text).split())
    flat = re.sub(r"[&<]", lambda match: _HTML[match[0]], flat)
    return _SPECIAL.sub(r"\\\g<0>", flat)


def code_span(text: str) -> str:
    """Text in a code span whose fence is longer than any run of backticks inside."""
    flat = " ".join(printable(text).split()) or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    pad = " " if flat[0] == "`" or flat[-1] == "`" else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def fenced(text: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any fence inside."""
    plain = printable(text).rstrip()
    longest = max((len(run) for run in re.findall(r"`{3,}", plain)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{plain}\n{fence}"


def inline(text: Text) -> str:
    """A text with its spans."""
    return "".join(_span(piece) if isinstance(piece, Span) else _edges(piece) for piece in spans(text))


def table(block: Table) -> str:
    """A GFM table; the pipes of the cells are escaped after everything else, as the specification asks."""
    rules = ["---:" if index in block.numeric else "---" for index in range(len(block.columns))]
    rows = [[_cell(cell) for cell in row] for row in block.rows]
    lines = [[_cell(column) for column in block.columns], rules, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def render_document(document: Document) -> str:
    """The whole document, ending in one newline."""
    parts = [f"# {escape(document.title)}"]
    for section in document.sections:
        if section.title:
            parts.append(f"{'#' * section.level} {escape(section.title)}")
        parts.extend(_block(block) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def _edges(piece: str) -> str:
    """Escape a piece, keeping the one blank that separates it from a neighbouring span."""
    if not piece.strip():
        return " " if piece else ""
    return " " * piece[0].isspace() + escape(piece) + " " * piece[-1].isspace()


def _span(span: Span) -> str:
    if span.kind == "code":
        return code_span(span.text)
    if span.kind in TONES:
        return escape(span.text)
    if span.kind == "strong":
        return f"**{escape(span.text)}**"
    place = f"#{quote(span.place)}" if span.place else ""
    return f"[{escape(span.text)}]({quote(span.href)}{place})"


def _cell(text: Text) -> str:
    """One cell. A table ends a cell at any pipe without a backslash, also inside a code span."""
    parts = (
        _span(piece).replace("|", "\\|") if isinstance(piece, Span) and piece.kind == "code" else inline((piece,))
        for piece in spans(text)
    )
    return "".join(parts)


def _paragraph(text: Text) -> str:
    """A paragraph that cannot be mistaken for a heading, a list or a rule."""
    return _LINE_START.sub(_defuse, inline(text))


def _defuse(match: re.Match[str]) -> str:
    mark = match[2]
    # A number is defused behind its digits ("1\. x"), a sign in front of it.
    return match[1] + (mark + "\\" if mark.isdigit() else "\\" + mark)


def _block(block: Block) -> str:
    if isinstance(block, Details):
        inner = "\n\n".join(_block(leaf) for leaf in block.blocks)
        return f"<details>\n<summary>{html.escape(printable(block.summary))}</summary>\n\n{inner}\n\n</details>"
    if isinstance(block, Paragraph):
        return _paragraph(block.text)
    if isinstance(block, Alert):
        return f"> [!{block.kind.upper()}]\n> {inline(block.text)}"
    if isinstance(block, Bullets):
        return "\n".join(f"- {_paragraph(item)}" for item in block.items)
    if isinstance(block, Code):
        return fenced(block.text, block.language)
    if isinstance(block, Table):
        return table(block)
    assert isinstance(block, Figure)
    return f"![{escape(block.alt)}]({quote(block.path)})"
