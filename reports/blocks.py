"""The parts a report is made of, between the view that fills them and the renderers that lay them out.

A text is either a plain string or a tuple of strings and spans. Plain strings are data as far as a renderer is
concerned: whatever they hold is escaped, so a film title can neither break a table nor smuggle markup in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# They reorder what stands around them, so that a reader sees another text than the one that is there.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")

SpanKind = Literal["code", "strong", "link", "good", "doubtful", "bad"]
"""The last three say how things stand. Their text says it too: only a terminal colours them."""
TONES = ("good", "doubtful", "bad")
AlertKind = Literal["note", "warning", "caution"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text with a meaning: code, strong, a tone, or a link to `href` (relative to the run folder).

    A link may name a `place` in its file: an anchor, or the JSON pointer of a value.
    """

    kind: SpanKind
    text: str
    href: str = ""
    place: str = ""


Text = str | tuple[str | Span, ...]


def printable(text: str) -> str:
    """Text without terminal escapes, control characters and what UTF-8 cannot carry: tracebacks hold anything.

    Characters that turn the direction of writing are shown as their numbers.
    """
    plain = _CONTROL.sub("", _ANSI.sub("", text))
    plain = _BIDI.sub(lambda match: f"[U+{ord(match[0]):04X}]", plain)
    return plain.encode("utf-8", "replace").decode()


def code(text: object) -> Span:
    """Text shown in a fixed pitch, with nothing in it interpreted."""
    return Span("code", str(text))


def strong(text: object) -> Span:
    """Text that must not be overlooked."""
    return Span("strong", str(text))


def link(text: str, href: str, place: str = "") -> Span:
    """A reference to a file of the run folder, or to a place in it."""
    return Span("link", text, href, place)


def spans(text: Text) -> Iterator[str | Span]:
    """The pieces of a text in order."""
    if isinstance(text, str):
        yield text
    else:
        yield from text


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One paragraph of running text."""

    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A box that stands out. At most two a document, or none is read."""

    kind: AlertKind
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullets:
    """A list without order."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Preformatted text: a command, a traceback, a configuration file."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. Cells of columns in `numeric` are set flush right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numeric: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), "every row has a cell for every column"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawn file, with the text that stands for it where pictures are not seen."""

    path: str
    alt: str


Leaf = Paragraph | Alert | Bullets | Code | Table | Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Blocks that are folded away until asked for."""

    summary: str
    blocks: tuple[Leaf, ...]


Block = Leaf | Details


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled run of blocks. `brief` sections are also shown on the terminal when a command ends.

    Attributes:
        level: of the heading; 3 for a part of the section before it.
    """

    title: str
    blocks: tuple[Block, ...]
    brief: bool = False
    level: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report in one language."""

    title: str
    lang: str
    sections: tuple[Section, ...]

    def blocks(self) -> Iterator[Leaf]:
        """Every block of every section, folded ones included."""
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Details):
                    yield from block.blocks
                else:
                    yield block
