"""What must not leave this machine, by value: taken from the machine itself, not from what a run happened to record."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ilora_diag.engine.redact import Identity, is_secret_name, tells_something

_SOUNDS_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CRED|AUTH|COOKIE|SESSION")
# Names that sound like a secret and hold none, in every shell or container.
_HARMLESS = frozenset({"TOKENIZERS_PARALLELISM", "SSH_AUTH_SOCK", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "GPG_KEY"})
_PLAIN_WORDS = frozenset({"true", "false", "none", "null", "default", "enabled", "disabled", "offline"})
_SHORTEST_SECRET, _SHORTEST_DOUBTFUL = 5, 8
_SHORTEST_HIDDEN = 2
_GIT_FIELD = re.compile(r"^\s*(name|email|user)\s*=\s*\"?([^\"\n]+?)\"?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value.

    Attributes:
        kind: `secret`, `user`, `host`, `home`, `name`, `mail`, `word`.
        text: the value.
        is_word: only as a word of its own, in any case: names are short, and stand inside other words by chance.
    """

    kind: str
    text: str
    is_word: bool

    def pattern(self) -> re.Pattern[str]:
        """What finds it in plain text."""
        if self.is_word:
            return re.compile(rf"(?i)(?<![^\W_]){re.escape(self.text)}(?![^\W_])")
        return re.compile(re.escape(self.text))


def known_values(
    identity: Identity, environ: Mapping[str, str], *, hidden: Iterable[str] = (), git: Iterable[Path] = ()
) -> tuple[Value, ...]:
    """Every value to be kept here, the longest first, so that one inside another does not spoil it.

    Args:
        identity: who runs this, and where.
        environ: variables, of which those that hold secrets are known by name or by form.
        hidden: further words, as typed.
        git: configuration files of git, for the names and addresses in them.

    Raises:
        ValueError: a hidden word too short to be looked for.
    """
    found = [*_owner(identity), *_of_environ(environ), *_of_git(git)]
    for word in hidden:
        if len(word.strip()) < _SHORTEST_HIDDEN:
            raise ValueError(f"{word!r} is too short to be hidden: at least {_SHORTEST_HIDDEN} characters")
        found.append(Value(kind="word", text=word.strip(), is_word=True))
    once = {(value.kind, value.text): value for value in found}
    return tuple(sorted(once.values(), key=lambda value: (-len(value.text), value.kind, value.text)))


def spellings(secret: str) -> tuple[str, ...]:
    """A secret as it may stand in other encodings: in URLs, in JSON, in base64, in hexadecimal."""
    raw = secret.encode()
    in_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    # Of base64 the part that does not depend on what stands behind it.
    whole = base64.b64encode(raw).decode().rstrip("=")
    stem = whole[: len(raw) * 8 // 6]
    forms = (secret, quote(secret), quote(secret, safe=""), *in_json, stem, raw.hex(), secret[::-1])
    return tuple(dict.fromkeys(form for form in forms if len(form) >= _SHORTEST_SECRET))


def _owner(identity: Identity) -> Iterator[Value]:
    if len(identity.home) > 1:
        yield Value(kind="home", text=identity.home, is_word=False)
    if tells_something(identity.user):
        yield Value(kind="user", text=identity.user, is_word=True)
    for host in dict.fromkeys((identity.host, identity.host.partition(".")[0])):
        if tells_something(host):
            yield Value(kind="host", text=host, is_word=True)


def _of_environ(environ: Mapping[str, str]) -> Iterator[Value]:
    for name, value in environ.items():
        if name in _HARMLESS or value.lower() in _PLAIN_WORDS:
            continue
        surely = is_secret_name(name)
        shortest = _SHORTEST_SECRET if surely else _SHORTEST_DOUBTFUL
        if (surely or _SOUNDS_SECRET.search(name.upper())) and len(value) >= shortest:
            yield Value(kind="secret", text=value, is_word=False)
        elif "://" in value:
            yield from _of_url(value)


def _of_url(text: str) -> Iterator[Value]:
    """The password of a URL, as proxies and remotes have one."""
    try:
        password = urlsplit(text).password
    except ValueError:
        return
    for form in dict.fromkeys((password or "", unquote(password or ""))):
        if len(form) >= _SHORTEST_SECRET:
            yield Value(kind="secret", text=form, is_word=False)


def _of_git(files: Iterable[Path]) -> Iterator[Value]:
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")[: 1 << 16]
        except OSError:
            continue
        for field, value in _GIT_FIELD.findall(text):
            kind = "mail" if field == "email" else "name"
            if tells_something(value):
                yield Value(kind=kind, text=value, is_word=True)
