"""Running somebody's script as Python would have, and telling how it ended."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from probes.run_stop import Enough

_OURS = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to run.

    Attributes:
        script: path of a file, or dotted name of a module.
        is_module: as after `-m`.
        args: what it finds in `sys.argv[1:]`.
    """

    script: str
    is_module: bool
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a script came to its end.

    Attributes:
        exit_code: as Python would have ended with.
        error: the exception, unless it was SystemExit, `Enough` or KeyboardInterrupt.
        is_interrupted: by a signal.
        stood: what `stand` of `launch` said at the end, while everything the script held was still there.
    """

    exit_code: int
    stood: Any = None
    error: BaseException | None = None
    is_interrupted: bool = False


def launch(what: Launch, stand: Callable[[], Any]) -> Ended:
    """Run it to its end; nothing it raises comes out."""
    sys.argv = [what.script, *what.args]
    folder = os.getcwd() if what.is_module else os.path.dirname(os.path.abspath(what.script))
    sys.path.insert(0, folder)
    try:
        with _terminable():
            if what.is_module:
                kept = runpy.run_module(what.script, run_name="__main__", alter_sys=True)
            else:
                kept = runpy.run_path(what.script, run_name="__main__")
            ended = Ended(exit_code=0, stood=stand())
            del kept
    except SystemExit as end:
        return Ended(exit_code=_exit_code(end.code), stood=stand())
    except Enough:
        return Ended(exit_code=0, stood=stand())
    except KeyboardInterrupt:
        return Ended(exit_code=130, is_interrupted=True, stood=stand())
    except BaseException as error:  # noqa: BLE001  (whatever a script raises is its end, and is told)
        return Ended(exit_code=1, error=error, stood=stand())
    return ended


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the script as Ctrl-C does, so that there is time for an answer."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_code(code: object) -> int:
    """As Python itself takes what `sys.exit` was given."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def shown(error: BaseException) -> str:
    """The traceback as Python prints it, from the script's own frame on."""
    beheaded = error.with_traceback(_from_script(error.__traceback__))
    return "".join(traceback.format_exception(beheaded)).rstrip()


def _from_script(trace: TracebackType | None) -> TracebackType | None:
    place = trace
    while place is not None:
        file = place.tb_frame.f_code.co_filename
        if not (file.startswith((_OURS, "<frozen runpy")) or file == runpy.__file__):
            return place
        place = place.tb_next
    return trace
