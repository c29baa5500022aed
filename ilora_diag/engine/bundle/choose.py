"""Which files of a run folder go into its archive: those on a list; everything else is left out, with its reason."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

MAP_NAME = "bundle-pseudonyms.json"
"""Where the pseudonyms are kept, in the run folder; never in an archive."""

MAX_FILE_BYTES = 8 << 20
MAX_FILES = 2_000


class Why(StrEnum):
    """Why a file is left out."""

    DATA = "data"  # prompts, answers, rows of the data
    OUTPUT = "output"  # what a script printed: it may print anything
    WEIGHTS = "weights"  # checkpoints, tensors
    PICKLE = "pickle"  # runs code when it is read, and holds paths
    LINK = "link"
    SPECIAL = "special"  # neither a file nor a folder
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    NOT_TEXT = "not_text"
    UNREADABLE = "unreadable"
    PSEUDONYMS = "pseudonyms"  # who is who
    NOT_LISTED = "not_listed"


class Form(StrEnum):
    """How a file is read for redaction."""

    JSON = "json"
    JSON_LINES = "jsonl"
    YAML = "yaml"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One file: its form if it goes in, else why not."""

    path: PurePosixPath
    size_bytes: int
    form: Form | None
    why: Why | None


_OUT = (
    (re.compile(r"(.*/)?checkpoints?/.*|.*\.(safetensors|npy|npz|gguf|bin)"), Why.WEIGHTS),
    (re.compile(r".*\.(pickle|pkl|pt|pth|ckpt)(\.\w+)?"), Why.PICKLE),
    (re.compile(r"(.*/)?(predictions|prompts?|samples|teacher_outputs)[^/]*|.*\.(csv|tsv|parquet|arrow)"), Why.DATA),
    (re.compile(r"(.*/)?stdout[^/]*"), Why.OUTPUT),
    (re.compile(rf"(.*/)?{re.escape(MAP_NAME)}"), Why.PSEUDONYMS),
)
_IN = (
    (
        re.compile(
            r"(report|estimate|run|bisect|isolate|device|compare|request|facts|findings)\.json"
            r"|(trials/[\w.-]+/)?(request|answer|effective|config|metrics)\.json"
        ),
        Form.JSON,
    ),
    (re.compile(r"(runlog|journal|trials|placement)\.jsonl|trials/[\w.-]+/[\w.-]+\.jsonl"), Form.JSON_LINES),
    (re.compile(r"config\.(requested|effective)\.yaml"), Form.YAML),
    (re.compile(r"report\.md|figures/[\w.-]+\.svg|(trials/[\w.-]+/)?(stderr|cmd)[\w.-]*\.(txt|log)"), Form.TEXT),
)


def choices(folder: Path) -> tuple[Choice, ...]:
    """Every file below a folder, in order of its path; links are not followed."""
    found = sorted(_walk(folder, PurePosixPath()), key=lambda choice: str(choice.path))
    chosen, num_in = [], 0
    for choice in found:
        num_in += choice.form is not None
        too_many = choice.form is not None and num_in > MAX_FILES
        chosen.append(_left_out(choice, Why.TOO_MANY) if too_many else choice)
    return tuple(chosen)


def read_choice(folder: Path, choice: Choice) -> str:
    """The text of a file that goes in.

    Raises:
        OSError: it cannot be read, or has become a link.
        UnicodeDecodeError: it is no text.
    """
    handle = os.open(folder / choice.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(MAX_FILE_BYTES).decode("utf-8")


def _walk(folder: Path, below: PurePosixPath) -> Iterator[Choice]:
    with os.scandir(folder / below) as entries:
        for entry in entries:
            path, status = below / entry.name, entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(folder, path)
            else:
                yield _choose(path, status)


def _choose(path: PurePosixPath, status: os.stat_result) -> Choice:
    choice = Choice(path=path, size_bytes=status.st_size, form=None, why=Why.NOT_LISTED)
    if stat.S_ISLNK(status.st_mode):
        return _left_out(choice, Why.LINK)
    if not stat.S_ISREG(status.st_mode):
        return _left_out(choice, Why.SPECIAL)
    why = next((why for pattern, why in _OUT if pattern.fullmatch(str(path))), None)
    if why is not None:
        return _left_out(choice, why)
    form = next((form for pattern, form in _IN if pattern.fullmatch(str(path))), None)
    if form is not None and status.st_size > MAX_FILE_BYTES:
        return _left_out(choice, Why.TOO_LARGE)
    return Choice(path=path, size_bytes=status.st_size, form=form, why=None) if form is not None else choice


def _left_out(choice: Choice, why: Why) -> Choice:
    return Choice(path=choice.path, size_bytes=choice.size_bytes, form=None, why=why)
