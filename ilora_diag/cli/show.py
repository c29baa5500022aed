"""Showing a report where the command was typed."""

from __future__ import annotations

import os
import shutil
import sys

from ilora_diag.cli.streams import Lang, wants_colour
from reports.blocks import Document
from reports.terminal import TerminalRenderer


def on_terminal(document: Document, lang: Lang, *, brief: bool = False, unfold: bool = False) -> str:
    """The report for this stdout: folded and coloured on a terminal, in full width and plain in a pipe.

    Args:
        document: what to show.
        lang: of the words around it.
        brief: leave out what a written report says beside it.
        unfold: show what a written report folds away.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    colour = wants_colour(sys.stdout, os.environ)
    renderer = TerminalRenderer(lang.value, width=width, colour=colour, brief=brief, unfold=unfold)
    return renderer.render_document(document)
