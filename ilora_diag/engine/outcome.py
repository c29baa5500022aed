"""What the runner is asked for, and what it answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum

from ilora_diag.schema.known import Known

RESULT_FD_VARIABLE = "ILORA_DIAG_RESULT_FD"
"""Name of the environment variable that tells a child on which descriptor to write its document."""


class ChildStatus(StrEnum):
    """How a child ended. The first that applies, from the top, is the status."""

    NOT_STARTED = "not_started"  # no process: the executable is missing, not executable, or there was no memory to fork
    UNKILLABLE = "unkillable"  # outlived SIGKILL, as a process stuck in a driver call does; it was left behind
    STOPPED = "stopped"  # ended because a stop was asked for
    TIMED_OUT = "timed_out"  # ended because its deadline had passed
    KILLED = "killed"  # died of a signal that the runner did not send
    FAILED = "failed"  # exit code other than 0
    GARBLED = "garbled"  # what it wrote on the descriptor is not exactly one JSON object
    SILENT = "silent"  # wrote no document although one was expected
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """Seconds a child is given to end after each signal to its group, mildest signal first.

    Attributes:
        interrupt_s: after SIGINT, sent only when a stop was asked for: time to save a checkpoint.
        terminate_s: after SIGTERM.
        kill_s: after SIGKILL, until the child is given up as unkillable.
        leftover_s: for what it left running after its own end, before the same TERM and KILL.
    """

    interrupt_s: float = 30.0
    terminate_s: float = 5.0
    kill_s: float = 5.0
    leftover_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child to run.

    Attributes:
        argv: executable and arguments.
        deadline_s: seconds from the start after which it is ended; None lets it run.
        env: additions to the inherited environment; a value of None removes the variable.
        cwd: working directory; None inherits ours.
        expects_document: whether a child without a document is SILENT. A trainer answers through its run log instead.
        grace: seconds between signals.
        max_document_bytes: a longer document is GARBLED; the rest of it is read and dropped.
        keep_head_bytes, keep_tail_bytes: of each of stdout and stderr; what lies between is counted and dropped.
        echo: also pass both streams on to our stderr as they come.
        memory_limit_bytes: of its data in host memory (RLIMIT_DATA), where the system has such a limit; with it the
            kernel, short of memory, ends the child before us. None sets neither.
    """

    argv: tuple[str, ...]
    deadline_s: float | None
    env: tuple[tuple[str, str | None], ...] = ()
    cwd: str | None = None
    expects_document: bool = True
    grace: Grace = Grace()
    max_document_bytes: int = 16 << 20
    keep_head_bytes: int = 16 << 10
    keep_tail_bytes: int = 64 << 10
    echo: bool = False
    memory_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        assert self.argv, "a child has a command"


def python_argv(module: str, *args: str) -> tuple[str, ...]:
    """The command line of one of our modules. `-P` keeps the working directory from shadowing installed packages."""
    return (sys.executable, "-P", "-m", module, *args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a child printed on one stream: the first and the last bytes, decoded, and how many lay between."""

    head: str = ""
    tail: str = ""
    num_bytes: int = 0
    num_dropped_bytes: int = 0

    @property
    def text(self) -> str:
        """Head and tail with the gap named between them."""
        gap = f"\n... {self.num_dropped_bytes} bytes dropped ...\n" if self.num_dropped_bytes else ""
        return self.head + gap + self.tail


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOutcome:
    """How a child ended and what it left.

    Attributes:
        status: how it ended.
        reason: the status in words, with its particulars.
        document: text of the one JSON object it wrote, whatever the status; None where there is none.
        exit_code: None where it ended by a signal or did not end.
        signal: name of the signal that ended it, ours included; None where it ended otherwise.
        stdout, stderr: what it printed.
        started_at: seconds since the epoch.
        seconds: wall time until it ended.
        peak_rss_bytes: largest resident memory of the child or of a descendant it waited for. An upper bound: a new
            process inherits the figure of the one that forked it, so it is never below the observer's own size.
        num_leftovers: descendants still running after its end, which the runner ended.
        pid: it had; 0 where nothing was started.
    """

    status: ChildStatus
    reason: str
    document: str | None
    exit_code: int | None
    signal: str | None
    stdout: Captured
    stderr: Captured
    started_at: float
    seconds: float
    peak_rss_bytes: Known[int]
    num_leftovers: int
    pid: int = 0
