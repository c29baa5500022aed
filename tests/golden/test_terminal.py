"""Terminal text: folded on a terminal, whole in a pipe, and never a carrier of somebody's escape codes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ilora_diag.schema import Report
from reports.blocks import Code, Document, Paragraph, Section, Table, code
from reports.terminal import TerminalRenderer
from reports.view import train_document

LONG = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True,max_split_size_mb:512," * 4


def _document(*blocks: Paragraph | Table | Code) -> Document:
    return Document(title="t", lang="en", sections=(Section(title="s", blocks=blocks),))


def test_in_a_pipe_no_cell_is_cut_and_nothing_is_coloured(fixed_reports: dict[str, Report]) -> None:
    for name, report in fixed_reports.items():
        text = TerminalRenderer("en").render(report)
        assert "\x1b" not in text
        assert "\N{HORIZONTAL ELLIPSIS}" not in text, name
        for block in train_document(report, "en").blocks():
            if isinstance(block, Paragraph) and isinstance(block.text, str):
                assert block.text in text


def test_a_long_cell_stays_in_one_piece_in_a_pipe() -> None:
    table = Table(columns=("key", "value"), rows=((LONG, (code(LONG),)),))
    assert TerminalRenderer("en").render_document(_document(table)).count(LONG) == 2


@pytest.mark.parametrize("width", [20, 40, 80])
def test_on_a_narrow_terminal_cells_are_folded_not_cut(width: int) -> None:
    table = Table(columns=("key", "value"), rows=(("k", LONG),))
    text = TerminalRenderer("en", width=width).render_document(_document(table))
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    cells = [line.split(" ", maxsplit=1)[-1].strip() for line in text.splitlines()]
    assert LONG in "".join(cells)


def test_paths_and_commands_are_not_wrapped() -> None:
    text = TerminalRenderer("en", width=30).render_document(_document(Paragraph(text=LONG), Code(text=LONG)))
    assert text.count(LONG) == 2


def test_colour_is_used_when_asked_for_and_only_then(fixed_reports: dict[str, Report]) -> None:
    assert "\x1b[1m" in TerminalRenderer("en", width=80, colour=True).render(fixed_reports["oom"])
    assert "\x1b" not in TerminalRenderer("en", width=80).render(fixed_reports["oom"])


def test_markup_and_escape_codes_of_others_are_shown_or_dropped_never_obeyed() -> None:
    hostile = "[bold red]x[/] \x1b]0;title\x07\x1b[31mred\x1b[0m \x9b31m :smile: \u200b"
    text = TerminalRenderer("en").render_document(_document(Paragraph(text=hostile), Code(text=hostile)))
    assert "[bold red]x[/]" in text
    assert ":smile:" in text
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) is None


def test_brief_keeps_what_matters_when_a_command_ends(fixed_reports: dict[str, Report]) -> None:
    text = TerminalRenderer("en", brief=True).render(fixed_reports["healthy"])
    assert "Summary" in text
    assert "HR@1 (generation)" in text
    assert "Environment" not in text


def test_a_lone_surrogate_can_still_be_written(fixed_reports: dict[str, Report]) -> None:
    trial = replace(fixed_reports["oom"].trials[0], reason="bad \ud800 byte")
    report = replace(fixed_reports["oom"], trials=(trial,))
    TerminalRenderer("ja").render(report).encode("utf-8")
