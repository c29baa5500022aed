"""The journal of a run: `journal.jsonl`, appended to and never rewritten.

Each line is one record with its schema. An Intent stands before a trial starts, the Trial after it ended, and either
is on disk before anything else happens, so an intent without a trial is one that was cut off. A line counts once its
newline is written: what stands after the last newline is the torn end of a write that never returned, and is cut off
before the next line is appended.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ilora_diag.schema.codec import from_data, parse, to_json
from ilora_diag.schema.errors import SchemaError
from ilora_diag.schema.trial import Intent, Trial

JOURNAL_NAME = "journal.jsonl"
_KINDS: dict[str, type[Intent | Trial]] = {f"ilora-diag/{kind.SCHEMA}": kind for kind in (Intent, Trial)}


class JournalError(ValueError):
    """A journal that cannot be used; names the file and, where there is one, the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContent:
    """What a journal holds.

    Attributes:
        intents: in the order they were announced.
        trials: in the order they ended, each announced before.
        num_torn_bytes: length of the unfinished last line, which is not part of the content.
    """

    intents: tuple[Intent, ...]
    trials: tuple[Trial, ...]
    num_torn_bytes: int

    @property
    def unfinished(self) -> tuple[Intent, ...]:
        """Announced trials without a result: they run now, or were cut off."""
        ended = {trial.id for trial in self.trials}
        return tuple(intent for intent in self.intents if intent.id not in ended)


def read_journal(path: Path) -> JournalContent:
    """Read a whole journal.

    Raises:
        JournalError: for a complete line that is no record, names a trial twice, or ends one that was not announced.
        OSError: if the file cannot be read.
    """
    content = path.read_bytes()
    *lines, torn = content.split(b"\n")
    intents: dict[str, Intent] = {}
    trials: dict[str, Trial] = {}
    for number, record in _records(path, lines):
        known = intents if isinstance(record, Intent) else trials
        if record.id in known:
            raise _refusal(path, number, f"{record.id} stands there for the second time")
        if isinstance(record, Intent):
            intents[record.id] = record
        elif record.id in intents:
            trials[record.id] = record
        else:
            raise _refusal(path, number, f"it ends {record.id}, which was never announced")
    return JournalContent(intents=tuple(intents.values()), trials=tuple(trials.values()), num_torn_bytes=len(torn))


class Journal:
    """The one writer of a journal. Use as a context manager.

    Args:
        path: the file; it is made, with its folder, if it does not exist.

    Raises:
        JournalError: if another process writes it, or if what it holds cannot be read.
        OSError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            content = read_journal(path)
            self._size = os.fstat(self._fd).st_size - content.num_torn_bytes
            os.ftruncate(self._fd, self._size)
            _sync_folder(path.parent)
        except BaseException:
            os.close(self._fd)
            raise
        self._announced = {intent.id for intent in content.intents}
        self._ended = {trial.id for trial in content.trials}

    def next_id(self) -> str:
        """An id no trial of this journal has: T-01, T-02, ..."""
        number = len(self._announced) + 1
        while f"T-{number:02d}" in self._announced:
            number += 1
        return f"T-{number:02d}"

    def announce(self, intent: Intent) -> None:
        """Write that a trial is about to start; returns when it is on disk."""
        assert intent.id not in self._announced, intent.id
        self._append(to_json(intent))
        self._announced.add(intent.id)

    def record(self, trial: Trial) -> None:
        """Write how an announced trial ended; returns when it is on disk."""
        assert trial.id in self._announced - self._ended, trial.id
        self._append(to_json(trial))
        self._ended.add(trial.id)

    def close(self) -> None:
        """Give the file, and the right to write it, back."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self._path} is being written by another process: choose another run folder") from None

    def _append(self, text: str) -> None:
        """One whole line or nothing: on a full disk the part that was written is taken back."""
        line = memoryview(text.encode() + b"\n")
        try:
            written = 0
            while written < len(line):
                written += os.write(self._fd, line[written:])
            os.fsync(self._fd)
        except OSError:
            with suppress(OSError):  # else the torn line is cut off by the next writer
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)


def _records(path: Path, lines: list[bytes]) -> Iterator[tuple[int, Intent | Trial]]:
    for number, line in enumerate(lines, start=1):
        try:
            yield number, _record(line)
        except SchemaError as error:
            raise _refusal(path, number, str(error)) from error


def _record(line: bytes) -> Intent | Trial:
    data = parse(line)
    name = data.get("schema") if isinstance(data, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise SchemaError("schema", name, " or ".join(_KINDS))
    return from_data(kind, data)


def _refusal(path: Path, number: int, what: str) -> JournalError:
    return JournalError(f"{path}, line {number}: {what}. Start a new run, or move this file away to keep it")


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable too, where the system allows folders to be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
