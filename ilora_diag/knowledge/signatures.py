"""The signatures of known errors, from the tables in `data/`.

A table is a JSON list; an entry has
    id, group, layer, title, pattern (Python `re`, flags S and M), anchors (texts, one of which every match holds),
    samples, sticky ("yes", "no", "depends", "n.a."), rank ("error", "warning", "generic"), since (torch version),
    refines (signatures it says more than), unverified, source, causes, fix.
A cause has en and ja (one sentence each), category, and rules (`knowledge.rules`): confirm, suggest, refute; and decide
(what would settle it where no fact does). The order of causes is judgement, not frequency; nothing
in the tables was reproduced.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

GROUPS = ("memory", "initialisation", "kernels", "faults", "libraries", "distributed", "containers", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause; empty rules decide nothing.

    Attributes:
        confirm: what proves it; where `refute` is empty and facts make it false, the cause is refuted.
        suggest: what speaks for it more than for anything else, without proving it.
        decide: what a person can do where no fact decides.
    """

    category: str
    texts: tuple[tuple[str, str], ...]
    confirm: str = ""
    suggest: str = ""
    refute: str = ""
    decide: str = ""

    def text(self, lang: str) -> str:
        """The cause in a language."""
        return dict(self.texts)[lang]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A known error text and what may be behind it."""

    id: str
    group: str
    layer: str
    titles: tuple[tuple[str, str], ...]
    pattern: str
    anchors: tuple[str, ...]
    samples: tuple[str, ...]
    sticky: str
    rank: str
    since: str
    refines: tuple[str, ...]
    unverified: bool
    source: str
    causes: tuple[Cause, ...]
    fixes: tuple[tuple[str, str], ...]

    def title(self, lang: str) -> str:
        """What it is called in a language."""
        return dict(self.titles)[lang]

    def fix(self, lang: str) -> str:
        """The first remedy in a language."""
        return dict(self.fixes)[lang]

    @property
    def category(self) -> str:
        """The category that most speaks for before any fact is known: that of the first cause which has one."""
        return next((cause.category for cause in self.causes if cause.category), "unknown")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern, compiled when it is first needed: few of them are, in one run."""
    return re.compile(pattern, re.DOTALL | re.MULTILINE)


@cache
def compiled_parts(pattern: str) -> tuple[re.Pattern[str], ...]:
    """The alternatives of a pattern, each by itself: `re` searches for a literal beginning many times faster.

    Groups are numbered within their alternative.
    """
    return tuple(compiled(part) for part in _alternatives(pattern))


def _alternatives(pattern: str) -> list[str]:
    """The parts between the `|` that stand in no bracket."""
    parts, depth, in_class, at = [""], 0, False, 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            parts[-1] += pattern[at : at + 2]
            at += 2
            continue
        if in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        if char == "|" and not depth and not in_class:
            parts.append("")
        else:
            parts[-1] += char
        at += 1
    return parts


@cache
def load_signatures() -> tuple[Signature, ...]:
    """All signatures, in the order of their groups."""
    folder = resources.files("ilora_diag.knowledge") / "data"
    return tuple(
        _signature(entry, group)
        for group in GROUPS
        for entry in json.loads((folder / f"{group}.json").read_text(encoding="utf-8"))
    )


@cache
def named_rules() -> dict[str, str]:
    """The rules that several signatures share, by name."""
    folder = resources.files("ilora_diag.knowledge") / "data"
    rules: dict[str, str] = json.loads((folder / "rules.json").read_text(encoding="utf-8"))
    return rules


def find_signature(name: str) -> Signature | None:
    """A signature by its name."""
    return next((one for one in load_signatures() if one.id == name), None)


def _pair(entry: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return (("en", entry["en"]), ("ja", entry["ja"]))


def _signature(entry: dict[str, Any], group: str) -> Signature:
    return Signature(
        id=entry["id"],
        group=group,
        layer=entry["layer"],
        titles=_pair(entry["title"]),
        pattern=entry["pattern"],
        anchors=tuple(entry["anchors"]),
        samples=tuple(entry["samples"]),
        sticky=entry["sticky"],
        rank=entry["rank"],
        since=entry["since"],
        refines=tuple(entry["refines"]),
        unverified=entry["unverified"],
        source=entry["source"],
        causes=tuple(
            Cause(
                category=cause["category"],
                texts=_pair(cause),
                confirm=cause.get("confirm", ""),
                suggest=cause.get("suggest", ""),
                refute=cause.get("refute", ""),
                decide=cause.get("decide", ""),
            )
            for cause in entry["causes"]
        ),
        fixes=_pair(entry["fix"]),
    )
