"""What a check sees: facts and an error text, with questions that tell "no" from "not known"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ilora_diag.schema import Evidence, Fact, Facts, Known, Unavailable, Value

if TYPE_CHECKING:
    from ilora_diag.knowledge.reading import ErrorReading

MAX_TEXT = 200_000
"""Characters of an error text that rules look at; the reading of the whole log is done before."""

_INDEX = re.compile(r"gpu\[(\d{1,4})\]\.")


@dataclass(frozen=True, slots=True)
class Ground:
    """A piece of evidence and what it is worth.

    Attributes:
        weight: "decides" (no other explanation is left), "suggests", "fits" (fits others as well), or "shown".
    """

    evidence: Evidence
    weight: str = "suggests"


@dataclass(frozen=True)
class Case:
    """Facts and an error, by path.

    Attributes:
        reading: what the error text says; None where there is none.
    """

    facts: Facts
    reading: ErrorReading | None = None
    _by_path: dict[str, Fact] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_path", {fact.path: fact for fact in self.facts.facts})

    def known(self, path: str) -> Known[Value]:
        """The value of a path, or why there is none."""
        fact = self._by_path.get(path)
        return fact.value if fact else Unavailable(reason="not collected", source=path)

    def has(self, path: str) -> bool:
        """Whether a value is known, None included."""
        return not isinstance(self.known(path), Unavailable)

    def is_none(self, path: str) -> bool:
        """Whether it is known that there is none: a variable that is unset, a package that is not installed."""
        return self.known(path) is None

    def reason(self, path: str) -> str:
        """Why a value is missing; empty where it is known."""
        value = self.known(path)
        return value.reason if isinstance(value, Unavailable) else ""

    def text(self, path: str) -> str | None:
        """A text, or None where it is not known or not a text."""
        value = self.known(path)
        return value if isinstance(value, str) else None

    def flag(self, path: str) -> bool | None:
        """A flag, or None where it is not known."""
        value = self.known(path)
        return value if isinstance(value, bool) else None

    def integer(self, path: str) -> int | None:
        """A whole number, or None where it is not known."""
        value = self.known(path)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def texts(self, path: str) -> tuple[str, ...]:
        """The texts of a list; empty where it is not known."""
        value = self.known(path)
        return tuple(one for one in value if isinstance(one, str)) if isinstance(value, tuple) else ()

    def integers(self, path: str) -> tuple[int, ...]:
        """The numbers of a list; empty where it is not known."""
        value = self.known(path)
        return tuple(one for one in value if isinstance(one, int)) if isinstance(value, tuple) else ()

    def paths(self, prefix: str) -> tuple[str, ...]:
        """The paths that begin so, in the order of the facts."""
        return tuple(path for path in self._by_path if path.startswith(prefix))

    @cached_property
    def gpus(self) -> tuple[int, ...]:
        """Indices of the devices any fact is about."""
        found = {int(match[1]) for path in self._by_path if (match := _INDEX.match(path))}
        return tuple(sorted(found))

    @cached_property
    def notes(self) -> str:
        """Lines of a report that state facts without a path of their own."""
        return "\n".join(self.texts("import.notes"))[:MAX_TEXT]

    @cached_property
    def error(self) -> str:
        """The error text as far as it is known: from the facts, and what the reading kept of it."""
        parts = [self.text("error.text") or ""]
        if self.reading is not None:
            parts += [self.reading.context, *(match.excerpt for match in self.reading.matches)]
        parts += [self.text("torch.import_error") or "", self.text("driver.nvidia_smi") or ""]
        return "\n".join(part for part in parts if part)[:MAX_TEXT]

    @property
    def has_error(self) -> bool:
        """Whether something is complained about."""
        return bool(self.error.strip()) or (self.reading is not None and self.reading.num_bytes > 0)

    def error_says(self, pattern: str, *signatures: str) -> Evidence | None:
        """The place of the error text that a pattern or a signature describes; case does not matter."""
        found = re.search(pattern, self.error, re.IGNORECASE) if pattern else None
        if found:
            return self._quoted("error", self.error, found)
        if self.reading is None:
            return None
        match = next((one for one in self.reading.matches if one.id in signatures), None)
        return None if match is None else quote(f"error:line {match.first_line}", match.excerpt)

    def says(self, pattern: str, *signatures: str) -> Evidence | None:
        """As `error_says`, and lines of the report that stand for themselves."""
        if said := self.error_says(pattern, *signatures):
            return said
        found = re.search(pattern, self.notes, re.IGNORECASE) if pattern else None
        if found:
            return self._quoted("facts:import.notes", self.notes, found)
        # People write into the name of the card what they want to say of it.
        names = (f"gpu[{index}].name" for index in self.gpus) if pattern else ()
        named = (path for path in names if re.search(pattern, self.text(path) or "", re.IGNORECASE))
        return next((self.seen(path) for path in named), None)

    def _quoted(self, path: str, text: str, found: re.Match[str]) -> Evidence:
        start = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.end())
        line = text[start : end if end >= 0 else len(text)]
        where = f"error:line {text.count(chr(10), 0, found.start()) + 1}" if path == "error" else path
        return quote(where, line if len(line) <= _LONGEST else found[0])

    def seen(self, path: str, expected: str = "") -> Evidence:
        """A fact as evidence."""
        fact = self._by_path.get(path)
        source = fact.source if fact else path
        return Evidence(path=f"facts:{path}", observed=self.known(path), expected=expected, source=source)


_LONGEST = 300


def quote(path: str, text: str) -> Evidence:
    """A place of a text as evidence."""
    short = " ".join(text.split())
    return Evidence(
        path=path,
        observed=short if len(short) <= _LONGEST else f"{short[:_LONGEST]} ...",
        expected="",
        source="error text",
    )
