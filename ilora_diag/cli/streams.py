"""Who gets what: results on stdout, progress and complaints on stderr, colour and width only where a terminal is."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO


class Lang(StrEnum):
    """Languages of reports and of what commands say about them."""

    EN = "en"
    JA = "ja"


def chosen_lang(asked: Lang | None, environ: Mapping[str, str]) -> Lang:
    """The language asked for, else that of the locale (POSIX order of precedence), else English."""
    if asked is not None:
        return asked
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return Lang.JA if locale.lower().startswith("ja") else Lang.EN


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour a stream: never in a pipe, a dumb terminal or under NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def emit(text: str) -> None:
    """Write a result to stdout. A reader that has gone away, as `head` does, is not a failure of ours."""
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit; give it somewhere to do so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnicodeEncodeError:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "ascii", "replace") + b"\n")


def note(text: str) -> None:
    """Write a line of progress to stderr; one that cannot be written is not worth dying for."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (BrokenPipeError, UnicodeEncodeError):
        return
