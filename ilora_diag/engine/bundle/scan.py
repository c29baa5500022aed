"""Whether anything that must not leave the machine is in a text, also where it is written in another way."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from ilora_diag.engine.bundle.known import Value, spellings
from ilora_diag.engine.redact import find_identifying

_UNICODE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"\\([^A-Za-z0-9\s])")
_DEPTH = 3  # a message in JSON that quotes a URL in JSON
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")


def survivors(text: str, values: Iterable[Value]) -> Iterator[tuple[str, int]]:
    """Kind and line of everything in a text that should not be there.

    Args:
        text: of one file of an archive, or a name in it.
        values: what is known.
    """
    known = tuple(values)
    seen: set[tuple[str, int]] = set()
    for reading in readings(text):
        for kind, place in (*_known(reading, known), *find_identifying(reading)):
            found = (kind, reading.count("\n", 0, place) + 1)
            if found not in seen:
                seen.add(found)
                yield found


def _known(text: str, values: tuple[Value, ...]) -> Iterator[tuple[str, int]]:
    folded = text.casefold()
    for value in values:
        if value.is_word:
            yield from ((value.kind, match.start()) for match in value.pattern().finditer(text))
            continue
        forms = spellings(value.text) if value.kind == "secret" else (value.text,)
        for form in forms:
            place = folded.find(form.casefold())
            if place >= 0:
                yield value.kind, place


def readings(text: str) -> tuple[str, ...]:
    """The text as it stands, and as JSON, HTML, URLs, Markdown and Unicode have it read; lines keep their number."""
    found = {text: None}
    newest = [text]
    for _ in range(_DEPTH):
        forms = (form for one in newest for form in (_unescaped(one), html.unescape(one), unquote(one), _joined(one)))
        newest = [form for form in dict.fromkeys(forms) if form not in found]
        found.update(dict.fromkeys(newest))
    return tuple(found)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", _UNICODE.sub(lambda match: chr(int(match[1] or match[2], 16)), text))


def _joined(text: str) -> str:
    return _INVISIBLE.sub("", text if text.isascii() else unicodedata.normalize("NFKC", text))
