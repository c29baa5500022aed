"""Texts and documents without what identifies anybody, equal values by equal names across all files of an archive."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote

import yaml

from ilora_diag.engine.bundle.choose import Form
from ilora_diag.engine.bundle.known import Value, spellings
from ilora_diag.engine.bundle.scan import readings, survivors
from ilora_diag.engine.redact import Identity, Pseudonyms, find_identifying, is_secret_name

# Folders that are the same on every machine.
_SYSTEM = frozenset({"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr"})
_LIBRARY = re.compile(r"/((?:site|dist)-packages/.*|python3\.\d+/.*)$")
_STOP = r"\s\"'`<>|;,()\[\]{}"
_START = r"(?:(?<![\w.~/\\><#])|(?<=-[ILB])|(?<=\w\.))"
# A blank belongs to a path where another folder follows it.
_BLANKS = r"(?: [\w.@+-]+){1,4}(?=[/\\])"
_QUOTED = re.compile(r"([\"'])((?:~|/[\w.@+-])[^\"'\n]{0,1000})\1")
_REST = rf"(?:[^{_STOP}:]|:(?!/))*"  # `x.py:41` is of one path, `/a:/b` of two
_PATH = re.compile(rf"{_START}(?:~|/[\w.@+-]+)/{_REST}(?:{_BLANKS}{_REST})*|{_START}/[\w.@+-]+(?=/?(?:[{_STOP}:]|$))")
_WINDOWS = re.compile(rf"(?<![\w])(?:[A-Za-z]:[\\/]+|~\\+)[^\s\"'`<>|;,*?]+(?:{_BLANKS}[^\s\"'`<>|;,*?]+)*")
_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,20000}?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL
)
_URL = re.compile(rf"\b((?!file:)[a-z][a-z0-9+.-]{{1,20}})://((?:<[\w-]+>@)?[^{_STOP}]+)", re.IGNORECASE)
_REMOTE = re.compile(r"(?<![\w.-])[\w.-]{1,64}@[\w.-]{1,255}:[\w.~-]{1,100}/[\w./~-]{1,1000}")
_FILE_URL = re.compile(r"\bfile://(?=/)", re.IGNORECASE)
_PUBLIC = re.compile(
    r"(?:[\w-]+\.)*(?:pytorch\.org|nvidia\.com|python\.org|pypi\.org|w3\.org|purl\.org|creativecommons\.org|lightning\.ai)"
    r"(?:[/:?#].*)?|huggingface\.co/docs\b.*|github\.com/(?:pytorch|huggingface)/.*"
)
_SAID_BY_DATA = frozenset({"bad_rows"})
_SAID_BY_SCRIPT = frozenset({"stdout_tail"})
_ROW, _PRINTED, _TEXT = "<a row of the data>", "<what the script printed>", "<a text that could not be redacted>"


class Scrubber:
    """Replaces by known value, then by form.

    Args:
        identity: whose machine it is.
        values: what is known, the longest first.

    Attributes:
        counts: how often each kind was replaced since it was last emptied.
    """

    def __init__(self, identity: Identity, values: Iterable[Value]) -> None:
        self.counts: Counter[str] = Counter()
        self._hidden = Pseudonyms(identity, bus_ids=False)
        self._values = tuple(values)

    @property
    def pseudonyms(self) -> tuple[tuple[str, str], ...]:
        """Each pseudonym with what it stands for."""
        return self._hidden.pseudonyms

    def document(self, text: str, form: Form) -> str:
        """A file's text, read by its form so that no escape hides anything.

        Raises:
            ValueError: it is not of that form.
        """
        if form is Form.JSON:
            return json.dumps(self.value(json.loads(text)), ensure_ascii=False, indent=1) + "\n"
        if form is Form.JSON_LINES:
            lines = (line for line in text.splitlines() if line.strip())
            return "".join(self._line(line) for line in lines)
        if form is Form.YAML:
            try:
                loaded = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError(f"no YAML: {error}") from error
            return yaml.safe_dump(self.value(loaded), sort_keys=False, allow_unicode=True, width=100_000)
        whole = _KEY.sub(lambda _match: self._replaced("secret", self._hidden.secret()), text)
        return "".join(self.text(line) for line in whole.splitlines(keepends=True))

    def value(self, value: object, name: str = "") -> object:
        """A value of a document; what is set under a secret's name is one."""
        if isinstance(value, dict):
            of_row = name in _SAID_BY_DATA
            return {self.text(str(key)): self._field(one, str(key), of_row=of_row) for key, one in value.items()}
        if isinstance(value, list):
            pair = len(value) == 2 and isinstance(value[0], str)
            if pair and isinstance(value[1], (str, list)):  # a setting: key and value
                return [self.text(value[0]), self.value(value[1], value[0])]
            inner = name if name in _SAID_BY_DATA or is_secret_name(name) else ""
            return [self.value(one, inner) for one in value]
        if not isinstance(value, str):
            return value
        if name in _SAID_BY_SCRIPT and value:
            return self._replaced("output", _PRINTED)
        if is_secret_name(name) and value:
            return self._replaced("secret", self._hidden.secret())
        return self.text(value)

    def _field(self, value: object, name: str, *, of_row: bool) -> object:
        """A field; of a row of the data, what it quotes stays here."""
        if of_row and name == "reason" and isinstance(value, str):
            return self._replaced("row", _ROW)
        return self.value(value, name)

    def text(self, text: str) -> str:
        """A text with everything in it replaced, also what is only seen when it is read as a URL, as JSON, as HTML.

        Of a text that cannot be cleaned in any reading nothing stays.
        """
        plain = self._plain(text)
        for decode in (unquote, html.unescape):
            read = decode(text)
            told = read if read == text else self._plain(read)
            if read != text and told != decode(plain):  # what was replaced there was not seen here
                plain = told
        if self._is_clean(plain):
            return plain
        for reading in readings(text)[1:]:
            told = self._plain(reading)
            if self._is_clean(told):
                return told
        self.counts["text"] += 1
        return _TEXT + ("\n" if text.endswith("\n") else "")

    def _is_clean(self, text: str) -> bool:
        return next(survivors(text, self._values), None) is None

    def _plain(self, text: str) -> str:
        for value in self._values:
            text = self._known(text, value)
        text, num = _REMOTE.subn(lambda match: f"<{self._hidden.name('url', match[0])}>", text)
        self.counts["url"] += num
        self.counts.update(kind for kind, _ in find_identifying(text))
        text = self._hidden.text(_FILE_URL.sub("", text))
        text = _URL.sub(self._url, text)
        if text.startswith(("/", "~/")) and "\n" not in text and _PATH.match(text):
            return self._path(text)
        text = _QUOTED.sub(lambda match: match[1] + self._path(match[2]) + match[1], text)
        text = _WINDOWS.sub(lambda match: self._path(match[0].replace("\\", "/")), text)
        return _PATH.sub(lambda match: self._path(match[0]), text)

    def _line(self, line: str) -> str:
        """One line of JSON; one that was cut off is no document, and a text like any other."""
        try:
            loaded = json.loads(line)
        except ValueError:
            return self.text(line) + "\n"
        return json.dumps(self.value(loaded), ensure_ascii=False) + "\n"

    def _known(self, text: str, value: Value) -> str:
        if value.kind == "home":  # a path, for which there is a place below
            return text
        if value.kind == "secret":
            forms = "|".join(re.escape(form) for form in sorted(spellings(value.text), key=len, reverse=True))
            text, num = re.subn(f"(?i:{forms})", lambda _match: self._hidden.secret(), text)
            self.counts["secret"] += num
            return text
        text, num = value.pattern().subn(lambda _match: self._hidden.name(value.kind, value.text), text)
        self.counts[value.kind] += num
        return text

    def _replaced(self, kind: str, stands: str) -> str:
        self.counts[kind] += 1
        return stands

    def _url(self, match: re.Match[str]) -> str:
        if _PUBLIC.fullmatch(match[2]) is not None:
            return match[0]
        self.counts["url"] += 1
        return f"{match[1]}://<{self._hidden.name('url', match[2])}>"

    def _path(self, path: str) -> str:
        """A path by the pseudonym of its folder; of a library, the part that is the same everywhere stays."""
        parts = path.strip("/").split("/")
        if path.startswith("/") and parts[0] in _SYSTEM:
            return path
        library = _LIBRARY.search(path)
        folder, base = (path[: library.start()], library[1]) if library is not None else _split(path)
        if not folder:
            return path
        self.counts["path"] += 1
        return f"<{self._hidden.name('path', folder)}>" + (f"/{base}" if base else "")


def _split(path: str) -> tuple[str, str]:
    """Folder and name. A folder at the root is hidden as a whole."""
    folder, _, base = path.rstrip("/").rpartition("/")
    return (folder, base) if folder else (path, "")
