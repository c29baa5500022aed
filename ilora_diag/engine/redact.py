"""Records without what identifies a person: paths under a home folder begin with `~`, the host's name is left out.

Done where a report is built, so that the JSON beside the Markdown is as fit to be pasted as the Markdown. The run
log and the journal stay as they are: they do not leave the machine unless somebody sends them.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

T = TypeVar("T")
L = TypeVar("L")

# Words that are names of hosts or accounts so often that they identify nobody, and would mangle text.
_COMMON = frozenset({"localhost", "root", "user", "ubuntu", "admin", "runner", "docker", "train", "cuda"})
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
    if _tells(identity.user):
        text = re.sub(rf"(?<=/){re.escape(identity.user)}(?=/|$)", "<user>", text)
    if _tells(identity.host):
        text = re.sub(rf"(?<![\w.-]){re.escape(identity.host)}(?![\w-])", "<host>", text)
    return text


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


def _tells(name: str) -> bool:
    return len(name) >= 3 and name.lower() not in _COMMON
