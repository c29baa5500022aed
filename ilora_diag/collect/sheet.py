"""What a collector writes on: leaves with their sources, and reading of files that tells absent from denied.

The first words of a reason are fixed, so that a judgement can tell them apart:

* `absent:` there is no such thing here;
* `denied:` there is, or there may be, but we are not allowed to look;
* `timed out:` whoever was asked gave no answer in time;
* `failed:` it was asked and answered with an error, which follows;
* `not collected` nobody asked.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ilora_diag.schema import Fact, Known, Unavailable, Value, to_data
from ilora_diag.schema.facts import Facts

ABSENT, DENIED, TIMED_OUT, FAILED, NOT_COLLECTED = "absent:", "denied:", "timed out:", "failed:", "not collected"
MAX_TEXT_BYTES = 1 << 20
_ABSENT_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV})
_DENIED_ERRNOS = frozenset({errno.EACCES, errno.EPERM})


@dataclass(slots=True)
class Sheet:
    """Leaves in the order in which they were found; the first one under a path stays.

    Attributes:
        journal: descriptor of a file that gets every leaf at once, as a line of JSON; None keeps none. What a
            process had found before it hung or crashed is read from there.
    """

    journal: int | None = None
    _facts: dict[str, Fact] = field(default_factory=dict)

    def put(self, path: str, value: Known[Value], source: str) -> None:
        """Add a leaf; a path that is already there is left alone."""
        if path in self._facts:
            return
        if isinstance(value, Unavailable) and not value.source:
            value = Unavailable(reason=value.reason, source=source)
        fact = Fact(path=path, value=value, source=source)
        self._facts[path] = fact
        if self.journal is not None:
            one = Facts(captured_at=Unavailable(reason="in the making"), facts=(fact,))
            self._write({"fact": to_data(one)["facts"][0]})

    def no(self, path: str, reason: str, source: str) -> None:
        """Add a leaf that has no value."""
        self.put(path, Unavailable(reason=reason, source=source), source)

    def step(self, name: str) -> None:
        """Note what is tried next: the last one noted is what a process hung or died in."""
        if self.journal is not None:
            self._write({"step": name})

    def get(self, path: str) -> Known[Value]:
        """The value of a leaf written before; Unavailable where there is none."""
        fact = self._facts.get(path)
        return Unavailable(reason=f"{NOT_COLLECTED}: {path}") if fact is None else fact.value

    def facts(self) -> tuple[Fact, ...]:
        """All leaves so far."""
        return tuple(self._facts.values())

    def _write(self, line: dict[str, object]) -> None:
        assert self.journal is not None
        try:
            os.write(self.journal, json.dumps(line).encode() + b"\n")
        except OSError:  # a full disk costs the journal, not the answer
            self.journal = None


def read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> Known[str]:
    """The text of a file, at most its first `limit` bytes, without trailing white space and NUL bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return _no(error, path)
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(limit)
    except OSError as error:
        return _no(error, path)
    return (content or b"").decode("utf-8", "backslashreplace").rstrip("\0 \t\r\n")


def read_int(path: Path) -> Known[int]:
    """The integer that a file holds, decimal or with 0x in front."""
    text = read_text(path, 4096)
    if isinstance(text, Unavailable):
        return text
    try:
        return int(text, 0)
    except ValueError:
        return Unavailable(reason=f"{FAILED} {text[:40]!r} is no integer", source=str(path))


def list_folder(path: Path) -> Known[tuple[str, ...]]:
    """The names in a folder, sorted."""
    try:
        return tuple(sorted(os.listdir(path)))
    except OSError as error:
        return _no(error, path)


def exists(path: Path) -> Known[bool]:
    """Whether there is a file, folder or node; unknown where a folder on the way may not be searched."""
    try:
        os.stat(path)
    except OSError as error:
        return _no(error, path) if error.errno in _DENIED_ERRNOS else False
    return True


def reason_of(error: OSError) -> str:
    """An error of the operating system as a reason: absent, denied or failed, with its name."""
    number = error.errno or 0
    name = errno.errorcode.get(number, "error")
    kind = ABSENT if number in _ABSENT_ERRNOS else DENIED if number in _DENIED_ERRNOS else FAILED
    return f"{kind} {name} {os.strerror(number) if number else error}"


def attempt(sheet: Sheet, name: str, collect: Callable[[], None]) -> None:
    """Run one collector; what it cannot cope with becomes a leaf of its own and costs only its own leaves."""
    sheet.step(name)
    try:
        collect()
    except Exception as error:  # noqa: BLE001 (one broken file must not cost the rest of the machine)
        sheet.no(f"collect.{name}", f"{FAILED} {type(error).__name__}: {error}", name)


def _no(error: OSError, path: Path) -> Unavailable:
    return Unavailable(reason=reason_of(error), source=str(path))
