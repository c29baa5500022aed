"""The observer's end of a fork server (`probes.fork_server`): starting it, and having children forked, one at a time.

A child of the server is supervised as any other child; what differs is who forks it and who tells of its end. A server
that dies takes its child with it, and can be replaced.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from ilora_diag.engine.launch import Started, protect
from ilora_diag.engine.outcome import ChildSpec
from ilora_diag.engine.processes import Family, Waiter

_MAX_PACKET = 1 << 16
_START_S = 180.0
"""Importing torch and transformers from a cold disk takes long."""
_FORK_S = 30.0
_CLOSE_S = 2.0
_POLL_S = 0.2
_LAST_BYTES = 500
_RSS_UNIT = 1024  # Linux counts in KiB, and elsewhere there is no such server

Environment = tuple[tuple[str, str | None], ...]
"""Changes to our environment; None removes a variable."""


class ServerError(OSError):
    """The server cannot be started, has died, or refuses to fork; the text says which."""


def is_supported() -> bool:
    """Whether this system has what a fork server needs."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


class ForkServer:
    """One server process.

    Args:
        argv: its command line; `--socket NUMBER` is added to it.
        env: changes to the environment it is started with.

    Attributes:
        ready: what it said when it was ready.
    """

    def __init__(self, argv: Sequence[str], env: Environment = ()) -> None:
        self._argv, self._env = tuple(argv), env
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._family = Family()
        self._words = -1  # descriptor of what it prints on stderr
        self._lock = threading.Lock()
        self._is_busy = False
        self.ready: Mapping[str, Any] = {}

    def start(self, poll: Callable[[], bool] | None = None) -> None:
        """Start the process and wait until it is ready.

        Args:
            poll: asked about every 0.2 s; True gives up.

        Raises:
            ServerError: it did not start, or ended before it was ready.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._words = words = os.memfd_create("words")
        changes = dict((*self._env, self._family.variable))
        environment = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
        try:
            self._process = subprocess.Popen(
                (*self._argv, "--socket", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                pass_fds=(theirs.fileno(),),
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            ours.close()
            self.close()
            raise ServerError(f"cannot start {self._argv[0]}: {error}") from error
        finally:
            theirs.close()
        self._family.leader = self._process.pid
        self._connection = ours
        self.ready = self._receive(time.monotonic() + _START_S, poll)

    @property
    def pid(self) -> int:
        """Of the server; 0 where none runs."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_alive(self) -> bool:
        """Whether children can be asked of it."""
        return self._connection is not None and self._process is not None and self._process.poll() is None

    def launcher(self, request: Mapping[str, object]) -> ServedLauncher:
        """What `run_child` takes to have a child forked for a request."""
        return ServedLauncher(self, request)

    def fork(self, request: Mapping[str, object], fds: Sequence[int]) -> int:
        """Have a child forked. Returns its process id.

        Raises:
            ServerError: the server has died, or refuses.
        """
        connection = self._connection
        if connection is None:
            raise ServerError("the server does not run")
        if self._is_busy:  # somebody still waits for that child, and would hear what is meant for us
            self.close()
            raise ServerError("the server's last child has not ended")
        try:
            socket.send_fds(connection, [json.dumps(request).encode()], list(fds))
        except OSError as error:
            self.close()
            raise ServerError(f"the server has died: {error}") from error
        answer = self._receive(time.monotonic() + _FORK_S, None)
        if "started" not in answer:
            raise ServerError(f"the server refuses: {answer.get('refused', answer)}")
        self._is_busy = True
        return int(answer["started"])

    def wait(self, pid: int) -> tuple[int, int] | None:
        """Wait for a child's end: its wait status and peak of resident bytes. None if the server died over it."""
        while True:
            try:
                message = self._receive(None, None)
            except ServerError:
                return None
            if message.get("ended") == pid:
                self._is_busy = False
                return int(message["status"]), int(message["max_rss"]) * _RSS_UNIT

    def close(self) -> None:
        """End the server, and what it may have left running."""
        with self._lock:
            connection, process, words = self._connection, self._process, self._words
            self._connection, self._process, self._words = None, None, -1
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in another thread
            connection.close()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLOSE_S)
            if process.returncode is None:
                self._family.signal(signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_CLOSE_S)
        if words >= 0:
            os.close(words)

    def _receive(self, until: float | None, poll: Callable[[], bool] | None) -> Mapping[str, Any]:
        """The next message. Raises ServerError; the server is ended then, since nothing it says later has a meaning."""
        connection = self._connection
        if connection is None:
            raise ServerError("the server does not run")
        try:
            while not select.select([connection], [], [], _POLL_S)[0]:
                if until is not None and time.monotonic() > until:
                    raise ServerError("the server does not answer")
                if poll is not None and poll():
                    raise ServerError("stopped on request")
            packet = connection.recv(_MAX_PACKET)
            message = json.loads(packet) if packet else None
        except (OSError, ValueError) as error:
            self.close()
            raise error if isinstance(error, ServerError) else ServerError(f"the server has died: {error}") from error
        if not isinstance(message, dict):
            last = self._last_words()
            self.close()
            raise ServerError(f"the server has died{last}")
        return message

    def _last_words(self) -> str:
        """The end of what it printed on stderr."""
        words = self._words
        with suppress(OSError, ValueError):
            if words >= 0 and (size := os.fstat(words).st_size):
                text = os.pread(words, _LAST_BYTES, max(0, size - _LAST_BYTES))
                return f": {text.decode(errors='replace').strip()}"
        return ""


class ServedLauncher:
    """Starts a child through a server.

    Attributes:
        lost: the server died while the child ran, and took it along.
    """

    def __init__(self, server: ForkServer, request: Mapping[str, object]) -> None:
        self._server, self._request = server, request
        self.lost = False

    def __call__(self, spec: ChildSpec, family: Family) -> Started:
        """As `Launch`."""
        pipes = [os.pipe() for _ in range(3)]
        reads = tuple(os.fdopen(read_end, "rb", buffering=0) for read_end, _ in pipes)
        request = {
            **self._request,
            "mark": family.variable[1],
            "cwd": spec.cwd or os.getcwd(),
            "memory_limit_bytes": spec.memory_limit_bytes,
        }
        try:
            pid = self._server.fork(request, [write_end for _, write_end in pipes])
        except BaseException:
            for read in reads:
                read.close()
            raise
        finally:
            for _, write_end in pipes:
                os.close(write_end)
        protect(spec, pid)
        answer, stdout, stderr = reads
        pipe: tuple[IO[bytes], IO[bytes], IO[bytes]] = (answer, stdout, stderr)
        return Started(pid=pid, pipes=pipe, waiter=_ServedWaiter(pid, self._server, self))


class _ServedWaiter(Waiter):
    """Hears of a child's end from the server, whose child it is."""

    def __init__(self, pid: int, server: ForkServer, launcher: ServedLauncher) -> None:
        super().__init__(pid)
        self._served_pid, self._server, self._launcher = pid, server, launcher

    def run(self) -> None:
        """Wait for the child, or for the end of the server, which the child does not outlive."""
        found = self._server.wait(self._served_pid)
        if found is None:
            self._launcher.lost = True
            self.return_code = -signal.SIGKILL
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._served_pid, signal.SIGKILL)
        else:
            status, self.peak_rss_bytes = found
            self.return_code = os.waitstatus_to_exitcode(status)
        self.ended.set()
