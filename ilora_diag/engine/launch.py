"""Starting a child: a new process of a command, or whatever else gives a process that can be supervised."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from ilora_diag.engine.outcome import RESULT_FD_VARIABLE, ChildSpec
from ilora_diag.engine.processes import Family, Waiter

_FIRST_TO_GO = 500
"""Of 1000: the kernel, short of memory, ends a child before the one that observes it."""


def _nothing(code: int) -> None:
    """Nobody else keeps the exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A child that runs.

    Attributes:
        pid: it leads its own session and process group.
        pipes: read ends for its answer, its stdout and its stderr.
        waiter: still to be started; learns of its end.
        release: told the exit code, as subprocess has it, when it has ended.
    """

    pid: int
    pipes: tuple[IO[bytes], IO[bytes], IO[bytes]]
    waiter: Waiter
    release: Callable[[int], None] = _nothing


Launch = Callable[[ChildSpec, Family], Started]
"""Starts what a spec asks for, marked as a member of the family; raises OSError, ValueError or SubprocessError."""


def spawn(spec: ChildSpec, family: Family) -> Started:
    """A new process of the spec's command."""
    read_end, write_end = os.pipe()
    answer = os.fdopen(read_end, "rb", buffering=0)
    changes = dict(chain(spec.env, (family.variable, (RESULT_FD_VARIABLE, str(write_end)))))
    environment = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
    try:
        process = subprocess.Popen(
            spec.argv,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(write_end,),
            env=environment,
            cwd=spec.cwd,
            start_new_session=True,
        )
    except BaseException:
        answer.close()
        raise
    finally:
        os.close(write_end)
    assert process.stdout is not None
    assert process.stderr is not None
    protect(spec, process.pid)

    def release(code: int) -> None:
        process.returncode = code  # reaped by the waiter; keeps subprocess from waiting too

    return Started(
        pid=process.pid,
        pipes=(answer, process.stdout, process.stderr),
        waiter=Waiter(process.pid),
        release=release,
    )


def protect(spec: ChildSpec, pid: int) -> None:
    """Keep a child that eats memory from taking the machine with it, as far as the system lets us."""
    if spec.memory_limit_bytes is None:
        return
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_FIRST_TO_GO), encoding="ascii")
    if sys.platform == "linux":
        with suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (spec.memory_limit_bytes, spec.memory_limit_bytes))
