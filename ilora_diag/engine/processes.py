"""Ending a child together with everything it started."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_POLL_S = 0.02
_MARK = "ILORA_DIAG_CHILD"


class Family:
    """A child that leads its own session and process group, and its descendants.

    A descendant may leave the group (torchrun gives its workers sessions of their own) and outlive its parent, so
    every process of the family carries a mark in its environment by which Linux lets us find it.
    """

    def __init__(self) -> None:
        # Always of the same length, so that a forked child can write it over its server's (`probes.fork_server`).
        self._mark = f"{os.getpid():010d}-{time.monotonic_ns():020d}-{threading.get_ident():020d}"
        self.leader = 0

    @property
    def variable(self) -> tuple[str, str]:
        """The environment variable that marks the family."""
        return _MARK, self._mark

    def signal(self, number: signal.Signals) -> None:
        """Signal the leader's group and, unless it is SIGINT, those who left it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.leader, number)
        if number is signal.SIGINT:  # as a terminal would: who left the group is told by who started it
            return
        for pid in self.members():
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != self.leader:
                    os.kill(pid, number)

    def members(self) -> list[int]:
        """Ids of the running processes that carry the mark; empty where there is no /proc."""
        entry = f"{_MARK}={self._mark}".encode()
        return [pid for pid in _all_processes() if entry in _environment(pid).split(b"\0")]

    def end_leftovers(self, patience_s: float, terminate_s: float, kill_s: float) -> int:
        """After the leader's end: wait for the others to end by themselves, then TERM, then KILL them.

        Returns:
            How many did not end by themselves. 0 where there is no /proc; there the group is killed unseen.
        """
        if not _has_proc():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.leader, signal.SIGKILL)
            return 0
        leftovers = self._wait(patience_s)
        for number, seconds in ((signal.SIGTERM, terminate_s), (signal.SIGKILL, kill_s)):
            for pid in self.members():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            if not self._wait(seconds):
                break
        return len(leftovers)

    def _wait(self, seconds: float) -> list[int]:
        """Those who still run after at most so many seconds."""
        until = time.monotonic() + seconds
        while (running := self.members()) and time.monotonic() < until:
            time.sleep(_POLL_S)
        return running


class Waiter(threading.Thread):
    """Reaps one child and sets `ended`. A thread, because a child stuck in a driver call may never be reaped."""

    def __init__(self, pid: int) -> None:
        super().__init__(name=f"wait-{pid}", daemon=True)
        self._pid = pid
        self.ended = threading.Event()
        self.return_code = 0  # as subprocess has it: the exit code, or minus the signal's number
        self.peak_rss_bytes = 0

    def run(self) -> None:
        """Wait for the child."""
        _, status, usage = os.wait4(self._pid, 0)
        self.return_code = os.waitstatus_to_exitcode(status)
        self.peak_rss_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # Linux counts in KiB
        self.ended.set()


def _has_proc() -> bool:
    return Path("/proc/self/environ").exists()


def _all_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _environment(pid: int) -> bytes:
    """As the process was started with; empty for one that is gone, a zombie, or not ours."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
