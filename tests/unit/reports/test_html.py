"""A page is one file: it fetches nothing, runs nothing, and shows exactly what the document holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ilora_diag.schema.bisect import Bisect
from reports.blocks import (
    Alert,
    Bullets,
    Code,
    Details,
    Document,
    Figure,
    Paragraph,
    Section,
    Table,
    code,
    link,
    strong,
)
from reports.figures import drawn_path
from reports.figures.bisect import draw_bisect_figures
from reports.html import HtmlRenderer

NASTY = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>@import url(//evil)",
    "&lt;b&gt; & <b>",
    "<!--",
    "javascript:alert(1)",
    "\x1b[31mred\x1b[0m \x00\x07",
    "abc\u202e\u2066fed\u2069",
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">{}</svg>'


class Page(HTMLParser):
    """Reads a page as a browser would: its elements with attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def _page(document: Document, folder: Path) -> str:
    return HtmlRenderer(folder).render(document)


def _everywhere(text: str) -> Document:
    """A document that holds a text wherever one can stand."""
    blocks = (
        Paragraph(text=(text, code(text), strong(text), link(text, text, text))),
        Alert(kind="warning", text=text),
        Bullets(items=(text, (code(text),))),
        Code(text=text, language="text"),
        Table(columns=(text, text), rows=((text, (code(text),)),), numeric=(1,)),
        Figure(path="figures/none.svg", alt=text),
        Details(summary=text, blocks=(Paragraph(text=text),)),
    )
    return Document(title=text, lang="en", sections=(Section(title=text, blocks=blocks),))


def _allowed(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "foreignobject", "form", "base"})
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name) or ""
            assert not re.match(r"\s*([a-z][a-z0-9+.-]*:|//)", value, re.IGNORECASE), value


@pytest.mark.parametrize("text", NASTY)
def test_whatever_a_document_holds_stays_text(text: str, tmp_path: Path) -> None:
    plain, hostile = (Page(_page(_everywhere(one), tmp_path)) for one in ("harmless", text))
    _allowed(hostile)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert hostile.open == []


def test_text_comes_through_unchanged(tmp_path: Path) -> None:
    page = Page(_page(_everywhere('"><img src=x> & </script> 原因'), tmp_path))
    assert page.text.count('"><img src=x> & </script> 原因') == 18


def test_what_turns_the_direction_of_writing_is_shown_as_its_number(tmp_path: Path) -> None:
    page = Page(_page(_everywhere("user\u202egnp.exe"), tmp_path))
    assert "user[U+202E]gnp.exe" in page.text
    assert "\u202e" not in page.text


def test_control_characters_and_terminal_escapes_are_left_out(tmp_path: Path) -> None:
    assert "\x1b" not in _page(_everywhere("\x1b[31mred\x1b[0m\x00"), tmp_path)


def test_the_page_names_its_language_and_its_headings_can_be_linked_to(tmp_path: Path) -> None:
    sections = tuple(
        Section(title=f"{number}. part", blocks=(Paragraph(text="x"),), level=3 if number == 2 else 2)
        for number in range(1, 6)
    )
    page = Page(_page(Document(title="t", lang="ja", sections=sections), tmp_path))
    assert ("html", {"lang": "ja"}) in page.elements
    ids = [attributes["id"] for tag, attributes in page.elements if tag in ("h2", "h3")]
    assert len(set(ids)) == 5
    targets = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert targets == {f"#{name}" for name in ids}
    assert [tag for tag, _ in page.elements if tag in ("h2", "h3")] == ["h2", "h3", "h2", "h2", "h2"]
    assert "目次" in _page(Document(title="t", lang="ja", sections=sections), tmp_path)


def test_a_policy_forbids_scripts_and_fetching(tmp_path: Path) -> None:
    page = Page(_page(_everywhere("x"), tmp_path))
    policy = next(attributes for tag, attributes in page.elements if "http-equiv" in attributes)
    assert str(policy["content"]).startswith("default-src 'none'")
    assert "script-src" not in str(policy["content"])


def test_tables_scroll_from_the_keyboard_and_numbers_are_set_right(tmp_path: Path) -> None:
    page = _page(_everywhere("x"), tmp_path)
    assert '<div class="scroll" tabindex="0">' in page
    assert '<td class="number"><code>x</code></td>' in page


def test_figures_stand_in_the_page_with_their_text_and_no_id_twice(
    fixed_bisects: dict[str, Bisect], tmp_path: Path
) -> None:
    drawn, _ = draw_bisect_figures(fixed_bisects["batch"], tmp_path, "ja")
    figures = tuple(Figure(path=path, alt=f'figure "{path}"') for path in (*drawn, *drawn))
    page = Page(_page(Document(title="t", lang="ja", sections=(Section(title="", blocks=figures),)), tmp_path))
    _allowed(page)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 100
    own = {f"#{name}" for name in ids} | {f"url(#{name})" for name in ids}
    for _, attributes in page.elements:
        for name in ("href", "clip-path", "fill"):
            value = attributes.get(name) or ""
            assert not value.startswith(("#f", "url")) or value in own or re.fullmatch("#[0-9a-f]{6}", value)
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert labels == [f'figure "{path}"' for path in (*drawn, *drawn)]
    assert "失敗時のデバイスメモリの内訳" in page.text


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<script xlink:href='//evil'/>",
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml' onload='x()'/></foreignObject>",
        "<image href='http://evil/x.png'/>",
        "<use href='http://evil/x.svg#a'/>",
        "<use xlink:href='data:image/svg+xml;base64,AAAA'/>",
        "<a href='javascript:alert(1)'><text>x</text></a>",
        "<path onclick='alert(1)' d='M 0 0'/>",
        "<path style='fill: url(http://evil/x)' d='M 0 0'/>",
        "<path style='background: url(//evil)' d='M 0 0'/>",
        "<path fill='URL(http://evil)' d='M 0 0'/>",
        "<style>@import url(http://evil)</style>",
        "<set attributeName='href' to='javascript:alert(1)'/>",
        "<animate attributeName='href' values='javascript:alert(1)'/>",
        "<text>&lt;/svg&gt;&lt;script&gt;alert(1)&lt;/script&gt;</text>",
    ],
)
def test_nothing_executable_or_foreign_survives_in_a_figure(inside: str, tmp_path: Path) -> None:
    file = tmp_path / drawn_path("bad")
    file.parent.mkdir()
    file.write_text(SVG.format(inside), encoding="utf-8")
    blocks = (Figure(path=drawn_path("bad"), alt="x"),)
    text = _page(Document(title="t", lang="en", sections=(Section(title="", blocks=blocks),)), tmp_path)
    page = Page(text)
    _allowed(page)
    assert "<figure><svg" in text
    assert "evil" not in text
    assert {"animate", "set", "image"}.isdisjoint(tag for tag, _ in page.elements)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no XML"),
        (b"<svg", "no XML"),
        (b"<html/>", "not with an svg"),
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg xmlns='http://www.w3.org/2000/svg'>&a;</svg>", "entities"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>" + b" " * (4 << 20) + b"</svg>", "allowed are"),
    ],
)
def test_a_file_that_is_no_figure_is_told_in_its_place(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "f.svg").write_bytes(content)
    blocks = (Figure(path="f.svg", alt="what it shows"),)
    page = Page(_page(Document(title="t", lang="en", sections=(Section(title="", blocks=blocks),)), tmp_path))
    assert reason in page.text
    assert "what it shows" in page.text


def test_a_figure_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.svg").write_text(SVG.format("<text>secret</text>"), encoding="utf-8")
    (tmp_path / "run").mkdir()
    blocks = (Figure(path="../secret.svg", alt="x"),)
    page = Page(_page(Document(title="t", lang="en", sections=(Section(title="", blocks=blocks),)), tmp_path / "run"))
    assert "outside the folder" in page.text
    assert "secret</text>" not in page.text


def test_the_same_document_is_the_same_page(tmp_path: Path) -> None:
    renderer = HtmlRenderer(tmp_path)
    assert renderer.render(_everywhere("x")) == renderer.render(_everywhere("x"))
