"""Markdown that shows data and never obeys it, read back by a parser that is not ours."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reports.blocks import Alert, Bullets, Code, Details, Document, Figure, Paragraph, Section, Table, code, link
from reports.markdown import code_span, escape, fenced, render_document

PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")

NASTY = (
    "Alien | Predator", "`rm -rf`", "<script>alert(1)</script>", "*stars* and _bars_", "# 1 Cop", "1. FC", "- minus",
    "+ plus", "> quote", "[a](b)", "![a](b)", "a\\|b", "snake_case", "__init__", "~~gone~~", "$x$ & $y$", "&lt;", "===",
    "``a`b``", "a\n\n# b", "\ttab", "10) x", "|", "`", "\\", "<!-- c -->", "a  b",
)  # fmt: skip


def _document(*blocks: object) -> str:
    section = Section(title="s", blocks=blocks)  # type: ignore[arg-type]
    return render_document(Document(title="t", lang="en", sections=(section,)))


def _shown(markup: str, tag: str) -> list[str]:
    """The text inside each element of a kind, without any markup that the data may have caused."""
    inner = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", PARSER.render(markup), flags=re.DOTALL)
    return [html.unescape(text) for text in inner]


def _flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", NASTY)
def test_a_title_shows_as_it_is_wherever_it_stands(text: str) -> None:
    table = Table(columns=("c", "d"), rows=((text, (code(text),)),))
    markup = _document(Paragraph(text=text), Bullets(items=(text,)), table)
    assert _shown(markup, "p") == [_flat(text)]
    assert _shown(markup, "li") == [_flat(text)]
    assert _shown(markup, "td") == [_flat(text), f"<code>{_flat(text)}</code>"]


@given(st.text(max_size=40))
def test_any_text_shows_as_it_is(text: str) -> None:
    # Control characters and lone surrogates are dropped or replaced before anything is laid out.
    plain = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\x1b]", "", text).encode("utf-8", "replace").decode()
    wanted = _flat(plain)
    if "\x1b" in text or not wanted:
        return
    markup = _document(Table(columns=("c",), rows=((text,), ((code(text),),))))
    assert [" ".join(cell.split()) for cell in _shown(markup, "td")] == [wanted, f"<code>{wanted}</code>"]


def test_no_element_comes_from_data() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    details = Details(summary=hostile, blocks=(Paragraph(text=hostile), Code(text=f"```\n{hostile}\n````")))
    markup = _document(details, Alert(kind="caution", text=hostile), Figure(path="a b.svg", alt=hostile))
    assert "<img src=x" not in PARSER.render(markup)


def test_a_fence_outgrows_the_fences_it_holds() -> None:
    inner = "```\nx\n`````\ny"
    assert PARSER.render(fenced(inner, "text")).count("<pre>") == 1


def test_a_code_span_outgrows_its_backticks() -> None:
    assert code_span("a`b``c") == "```a`b``c```"
    assert code_span("`a`") == "`` `a` ``"


def test_a_link_with_blanks_and_brackets_still_is_one() -> None:
    markup = _document(Paragraph(text=(link("step [1]", "check points/step(1).bin"),)))
    assert '<a href="check%20points/step%281%29.bin">step [1]</a>' in PARSER.render(markup)


def test_numbers_are_set_flush_right_and_a_pipe_adds_no_column() -> None:
    lines = _document(Table(columns=("a|b", "n"), rows=(("x|y", "1"),), numeric=(1,))).splitlines()
    assert lines[-3:] == [r"| a\|b | n |", "| --- | ---: |", r"| x\|y | 1 |"]


def test_an_arrow_and_a_snake_stay_readable() -> None:
    assert escape("loss 3.41 -> 2.02 in load_llm") == "loss 3.41 -> 2.02 in load_llm"
