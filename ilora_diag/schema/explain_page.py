"""What is known of one code, and the list of all codes: what `ilora-diag explain CODE` and `--list` show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.errors import require


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCause:
    """A cause with the rules that decide it, in the words of the tables."""

    category: str
    text: str
    confirm: str = ""
    refute: str = ""
    decide: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainPage:
    """One page.

    Attributes:
        code: what was asked for, as the tables spell it.
        kind: "signature", "finding" or "code".
        lines: labelled values: the name of a label (a key `explain.page.NAME`) and its text.
        text: a paragraph, "" where there is none.
        related: other codes worth reading.
        lang: language of the texts.
    """

    SCHEMA: ClassVar[str] = "explain-page"

    code: str
    kind: str
    title: str
    text: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    samples: tuple[str, ...] = ()
    causes: tuple[PageCause, ...] = ()
    sticky: str = ""
    fix: str = ""
    unverified: bool = False
    related: tuple[str, ...] = ()
    lang: str = "en"

    def __post_init__(self) -> None:
        require(self.kind in ("signature", "finding", "code"), f"a page is of a known kind, not {self.kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One code of the list."""

    code: str
    kind: str
    category: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainIndex:
    """All codes that have a page."""

    SCHEMA: ClassVar[str] = "explain-index"

    entries: tuple[IndexEntry, ...]
    lang: str = "en"
