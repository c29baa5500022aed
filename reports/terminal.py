"""Documents for a terminal, and for what stands in its place: a pipe gets the same text, unwrapped and uncoloured.

Rich in a pipe assumes 80 columns and shortens cells with an ellipsis; here a cell is folded or given the room it
needs, never cut, because what is cut is usually the evidence.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from reports.blocks import (
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
from reports.messages import Words
from reports.view import train_document

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text as RichText

    from ilora_diag.schema import Report

_STYLES = {"code": "cyan", "strong": "bold", "link": "underline", "good": "green", "doubtful": "yellow", "bad": "red"}
_ALERTS = {"note": "yellow", "warning": "yellow", "caution": "red"}
_UNBOUNDED = 100_000
_WORD = re.compile(
    r"[\u3040-\u30ff\u4e00-\u9fff][\u3001\u3002\u300d\uff09\u30fc\u3083\u3085\u3087\u3063\u30e3\u30e5\u30e7\u30c3]*\s*"
    r"|[^\s\u3040-\u30ff\u4e00-\u9fff]+\s*"
)
"""What a line may be folded before: a word, or a Japanese character with what must not begin a line after it."""


class TerminalRenderer:
    """A report as terminal text.

    Args:
        lang: "en" or "ja".
        width: columns to fold to; None folds nothing, for pipes and files.
        colour: whether to style.
        brief: only the sections that matter when a command ends.
        unfold: show what Markdown folds away, where no report is written that one could be sent to.
    """

    def __init__(
        self,
        lang: str,
        *,
        width: int | None = None,
        colour: bool = False,
        brief: bool = False,
        unfold: bool = False,
    ) -> None:
        self._words, self._width, self._colour, self._brief = Words(lang), width, colour, brief
        self._unfold = unfold

    def render(self, report: Report) -> str:
        """The text, ending in one newline."""
        return self.render_document(train_document(report, self._words.lang))

    def render_document(self, document: Document) -> str:
        """Lay a document out."""
        console = self._console()
        if not self._brief:
            self._line(console, (Span("strong", document.title),))
        for section in document.sections:
            if self._brief and not section.brief:
                continue
            console.line()
            if section.title:
                self._line(console, (Span("strong", section.title),))
            for block in section.blocks:
                self._block(console, block)
        assert isinstance(console.file, io.StringIO)
        # Rich pads table rows to their full width; in a file that is noise.
        return "\n".join(line.rstrip() for line in console.file.getvalue().strip("\n").split("\n")) + "\n"

    def _console(self) -> Console:
        from rich.console import Console

        return Console(
            file=io.StringIO(),
            width=self._width or _UNBOUNDED,
            force_terminal=self._colour,
            color_system="standard" if self._colour else None,
            no_color=not self._colour,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def _block(self, console: Console, block: Block) -> None:
        if isinstance(block, Paragraph):
            self._line(console, block.text)
        elif isinstance(block, Alert):
            self._line(console, block.text, style=_ALERTS[block.kind])
        elif isinstance(block, Bullets):
            for item in block.items:
                self._line(console, ("- ", *spans(item)))
        elif isinstance(block, Code):
            console.print("\n".join(f"    {line}" for line in printable(block.text).splitlines()), soft_wrap=True)
        elif isinstance(block, Table):
            self._table(console, block)
        elif isinstance(block, Details) and self._unfold:
            self._line(console, block.summary, style="dim")
            for leaf in block.blocks:
                self._block(console, leaf)
        elif isinstance(block, Details):
            self._line(console, self._words("terminal.folded", summary=block.summary), style="dim")
        else:
            assert isinstance(block, Figure)  # its table twin is printed instead

    def _line(self, console: Console, text: Text, style: str = "") -> None:
        """Fold between words where there is a width; commands and paths stay whole, so that they can be copied."""
        rich = self._text(text)
        command = any(isinstance(piece, Span) and piece.kind == "code" and " " in piece.text for piece in spans(text))
        offsets = () if command or self._width is None else _breaks(rich.plain, self._width)
        for line in rich.divide(offsets):
            console.print(line, style=style, soft_wrap=True)

    def _table(self, console: Console, block: Table) -> None:
        from rich import box
        from rich.table import Table as RichTable

        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", safe_box=True)
        for index, column in enumerate(block.columns):
            grid.add_column(self._text(column), justify="right" if index in block.numeric else "left", overflow="fold")
        for row in block.rows:
            grid.add_row(*(self._text(cell) for cell in row))
        console.print(grid)

    def _text(self, text: Text) -> RichText:
        from rich.text import Text as RichText

        rich = RichText()
        for piece in spans(text):
            if isinstance(piece, Span):
                rich.append(printable(piece.text), style=_STYLES[piece.kind] if self._colour else "")
            else:
                rich.append(printable(piece))
        return rich


def _breaks(text: str, width: int) -> tuple[int, ...]:
    """Where to fold a line of text: before the words that would pass the width; a longer word is left whole."""
    from rich.cells import cell_len

    offsets: list[int] = []
    column = 0
    for word in _WORD.finditer(text):
        if column and column + cell_len(word[0].rstrip()) > width:
            offsets.append(word.start())
            column = 0
        column = 0 if "\n" in word[0] else column + cell_len(word[0])
    return tuple(offsets)
