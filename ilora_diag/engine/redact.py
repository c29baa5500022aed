"""Records without what identifies a person: paths under a home folder begin with `~`, the host's name is left out.

`redact` is for reports of this machine. `Pseudonyms` is for facts that leave it, or that came from elsewhere: it also
replaces identifiers of devices, addresses and secrets, each by a name that stays the same for equal values.

Done where a report is built, so that the JSON beside the Markdown is as fit to be pasted as the Markdown. The run
log and the journal stay as they are: they do not leave the machine unless somebody sends them.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

T = TypeVar("T")
L = TypeVar("L")

# Words that are names of hosts or accounts so often that they identify nobody, and would mangle text.
_COMMON = frozenset(
    {"localhost", "root", "user", "ubuntu", "admin", "runner", "docker", "train", "trainer", "cuda", "gpu", "nvidia",
     "torch", "python", "model", "data", "test", "jovyan", "vscode", "nobody", "worker", "node", "localdomain"}
)  # fmt: skip
_ANY_HOME = re.compile(r"(?<![\w.~-])/(?:home|Users)/[\w.-]*[\w-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose machine this is. Empty strings stand for nothing to hide."""

    home: str
    user: str
    host: str


def this_identity() -> Identity:
    """Who runs this process, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have
        user = ""
    return Identity(home=str(Path("~").expanduser()), user=user, host=socket.gethostname())


def redact(record: T, identity: Identity) -> T:
    """The same record with every text in it redacted."""
    return map_leaves(record, str, lambda text: redact_text(text, identity))


def redact_text(text: str, identity: Identity) -> str:
    """A text without home folders, the user as a folder's name, and the host."""
    if len(identity.home) > 1 and identity.home in text:
        text = re.sub(rf"(?<![\w.~-]){re.escape(identity.home)}(?![\w-]|\.\w)", "~", text)
    text = _ANY_HOME.sub("~", text)
    if tells_something(identity.user):
        text = re.sub(rf"(?<=/){re.escape(identity.user)}(?=/|$)", "<user>", text)
    if tells_something(identity.host):
        text = re.sub(rf"(?<![\w.-]){re.escape(identity.host)}(?![\w-])", "<host>", text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether what is set under this name is nobody else's business: `HF_TOKEN`, `db.password`."""
    return _SECRET_NAME.search(name) is not None


def find_identifying(text: str) -> Iterator[tuple[str, int]]:
    """What `Pseudonyms` would still replace, told by its form alone: kind and place. Known values are not."""
    for kind, pattern in _BY_FORM:
        for match in pattern.finditer(text):
            if kind != "ip" or pattern is _IPV6 or _is_address(match):
                yield kind, match.start()


def map_leaves(record: T, kind: type[L], change: Callable[[L], L]) -> T:
    """A record with `change` applied to everything of exactly one kind that it holds."""

    def visit(value: object) -> object:
        if type(value) is kind:
            return change(value)
        if isinstance(value, tuple):
            return tuple(visit(item) for item in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{spec.name: visit(getattr(value, spec.name)) for spec in fields(value)})
        return value

    return cast(T, visit(record))


_HEX = "[0-9A-Fa-f]"
_UUID = re.compile(
    rf"(?<![\w-])((?:MIG-)?(?:GPU-|MIG-)?)({_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}})(?![\w-])"
    rf"|(?<![\w-])((?:MIG-)?(?:GPU-|MIG-))({_HEX}{{4,12}}(?:-{_HEX}{{1,12}}){{0,4}})(?![\w-])"
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
# Version numbers of four parts are told from addresses by what stands before them.
_BEFORE_VERSION = re.compile(
    r"(?:version|torch|driver|cudnn|cublas|nccl|cuda|release|==|~=|>=|<=|\bv|\.so\.?)[\s:=]*$", re.IGNORECASE
)
_MAC = re.compile(rf"(?<![\w:-]){_HEX}{{2}}(?:[:-]{_HEX}{{2}}){{5}}(?![\w:-])")
_IPV6 = re.compile(
    rf"(?<![\w:.])(?:(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}"
    rf"|(?:{_HEX}{{1,4}}:){{1,6}}(?::{_HEX}{{1,4}}){{1,6}}|::(?:{_HEX}{{1,4}}:){{0,5}}{_HEX}{{1,4}})(?![\w:])"
)
_BUS = re.compile(rf"(?<![\w:.]){_HEX}{{4,8}}:{_HEX}{{2}}:{_HEX}{{2}}(?:\.{_HEX})?(?![\w:])")
_SERIAL = re.compile(r"(?i)(\bserial(?: number)?\s*[:=]\s*)([\w-]{4,40})")
# `HR@10` and `precision@k` are metrics.
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z][\w-]{1,62}(?:\.[\w-]{1,63}){0,6}")
_WINDOWS_HOME = re.compile(r"(?i)\b[a-z]:[\\/]+users[\\/]+[\w.-]{1,64}")
_LOG_HOST = re.compile(r"(?m)^((?:<\d{1,3}>)?[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d )([\w.-]{1,253})(?= \w)")
_SECRET = re.compile(
    r"\b(?:hf_|ghp_|gho_|ghs_|ghu_|ghr_|github_pat_|glpat-|sk-|xox[abeprs]-|xapp-|AKIA|ASIA|AIza|nvapi-|npm_|pypi-|dop_v1_"
    r"|ya29\.)[A-Za-z0-9_-]{12,255}"
    r"|\beyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_.-]{10,4000}"
    r"|(?<=://)[^\s/:@]{1,100}:[^\s/@]{1,200}(?=@)"
    r"|(?<=://)(?=[A-Za-z0-9_-]{0,100}\d)[A-Za-z0-9_-]{16,100}(?=@)"
    r"|(?i:(?<=bearer ))[A-Za-z0-9._~+/-]{8,4000}"
    r"|(?i:(?<=authorization: basic ))[A-Za-z0-9+/=]{8,4000}"
    r"|(?i:(?<=[?&]sig=)|(?<=[?&]key=)|(?<=[?&]signature=)|(?<=amz-signature=)|(?<=amz-credential=))[^\s&\"'<]{8,2000}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^<]{0,20000}?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
)
# A tokenizer and counts of tokens are no secrets.
_SECRET_WORD = (
    r"(?:token(?!i[sz]|s(?![a-z])|_(?:type|id|ids|per|count|len))|secret|passw(?:or)?d|passphrase|credential|api_?key|access_?key"
    r"|private_?key)"
)
_SECRET_SET = re.compile(
    rf"(?i)\b(\w{{0,40}}{_SECRET_WORD}\w{{0,20}}[\"']?\s?[=:]\s?[\"']?)"
    r"([^\s\"',;<]{6,4000})"
)
_SECRET_NAME = re.compile(rf"(?i){_SECRET_WORD}")
_BY_FORM = (
    ("secret", _SECRET),
    ("secret", _SECRET_SET),
    ("uuid", _UUID),
    ("mac", _MAC),
    ("ip", _IPV6),
    ("ip", _IPV4),
    ("mail", _MAIL),
    ("home", _ANY_HOME),
    ("home", _WINDOWS_HOME),
)
_PLAIN_ADDRESSES = frozenset({"127.0.0.1", "0.0.0.0", "255.255.255.255"})


_NAMED_SECRET = re.compile(
    r"\b(?:[A-Z0-9]{1,30}_){0,5}(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY)[\"']?\s?[=:,]\s{0,12}[\"']?"
    r"[^\s\"',;<]{6,4000}"
)


def holds_secret(text: str) -> bool:
    """Whether a text holds what looks like a credential: one of a known form, or the value of a variable so named."""
    return _SECRET.search(text) is not None or _NAMED_SECRET.search(text) is not None


@dataclass(slots=True)
class Pseudonyms:
    """Replaces what identifies somebody, equal values by equal names.

    Attributes:
        identity: whose machine it is.
        bus_ids: whether PCI addresses are replaced too.
        kinds: what was replaced so far.
    """

    identity: Identity
    bus_ids: bool = False
    kinds: set[str] = field(default_factory=set)
    _names: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def pseudonyms(self) -> tuple[tuple[str, str], ...]:
        """Every value that got a pseudonym, with it: what must stay where the originals are."""
        return tuple((name, value) for known in self._names.values() for value, name in known.items())

    def name(self, kind: str, value: str) -> str:
        """The pseudonym of a value, as `serial-1`."""
        known = self._names.setdefault(kind, {})
        if value in known.values():  # already a pseudonym
            return value
        if re.fullmatch(rf"{kind}-\d{{1,6}}", value) is not None:
            return value
        self.kinds.add(kind)
        return known.setdefault(value.lower(), f"{kind}-{len(known) + 1}")

    def secret(self) -> str:
        """What stands for a secret: all of them look the same."""
        self.kinds.add("secret")
        return "<secret>"

    def text(self, text: str) -> str:
        """A text with every identifier in it replaced."""
        text = _SECRET.sub(lambda _match: self.secret(), text)
        text = _SECRET_SET.sub(lambda match: match[1] + self.secret(), text)
        text = _UUID.sub(self._uuid, text)
        text = _MAC.sub(lambda match: self.name("mac", match[0]), text)
        text = _IPV6.sub(lambda match: self.name("ip", match[0]), text)
        text = _IPV4.sub(self._ipv4, text)
        text = _MAIL.sub(lambda match: self.name("mail", match[0]), text)
        text = _SERIAL.sub(lambda match: match[1] + self.name("serial", match[2]), text)
        text = _LOG_HOST.sub(lambda match: match[1] + self.name("host", match[2]), text)
        if self.bus_ids:
            text = _BUS.sub(lambda match: self.name("bus", match[0]), text)
        return self._people(text)

    def _people(self, text: str) -> str:
        changed = redact_text(_WINDOWS_HOME.sub("~", text), self.identity)
        for kind in ("host", "user"):
            for value, name in self._names.get(kind, {}).items():
                if tells_something(value) and value in changed.lower():
                    changed = re.sub(rf"(?i)(?<![\w.-]){re.escape(value)}(?![\w-])", name, changed)
        if changed != text:
            self.kinds.add("people")
        return changed

    def _uuid(self, match: re.Match[str]) -> str:
        """An abbreviation, as CUDA_VISIBLE_DEVICES allows, gets the name of what it abbreviates."""
        prefix, value = (match[1] or "", match[2]) if match[2] else (match[3], match[4])
        known = self._names.get("uuid", {})
        whole = [full for full in known if full.startswith(value.lower())]
        return prefix + self.name("uuid", whole[0] if len(whole) == 1 else value)

    def _ipv4(self, match: re.Match[str]) -> str:
        return self.name("ip", match[0]) if _is_address(match) else match[0]


def _is_address(match: re.Match[str]) -> bool:
    """Whether four numbers are an address that leads somewhere, and no version."""
    if any(int(part) > 255 for part in match[0].split(".")) or match[0] in _PLAIN_ADDRESSES:
        return False
    return _BEFORE_VERSION.search(match.string[max(0, match.start() - 24) : match.start()]) is None


def tells_something(name: str) -> bool:
    """Whether a name of a host or an account says whose it is."""
    return len(name) >= 3 and name.lower() not in _COMMON
