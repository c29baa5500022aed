"""A process that forks a child for each request: what it has imported is there at once. Knows nothing of trials.

Requests come over a socket of packets, one JSON object each with the write ends of three pipes: for the child's answer,
stdout and stderr. The server tells the child's process id when it has forked, and its exit status when it has ended.
A child leads its own session, and dies with the server.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MARK = "ILORA_DIAG_CHILD"
"""Environment variable by which the observer finds a child's descendants."""

_MAX_PACKET, _NUM_FDS = 1 << 16, 3
_PR_SET_PDEATHSIG = 1
Message = dict[str, Any]
Handle = Callable[[Message, int], None]
"""Called in the child with the request and the descriptor for its answer."""


class ForkServer:
    """Serves until the socket is closed at the other end.

    Args:
        connection: of packets.
        handle: the child's work.
        refuse: asked before every fork for a reason not to.
        prepare: given every request before the fork, for work that later children are spared.
    """

    def __init__(
        self,
        connection: socket.socket,
        handle: Handle,
        refuse: Callable[[], str],
        prepare: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self._connection, self._handle, self._refuse, self._prepare = connection, handle, refuse, prepare
        self._marked = _place_of_mark()
        self._children: dict[int, int] = {}  # pidfd -> pid

    def serve(self, **ready: object) -> None:
        """Say that it is ready, then fork for every request."""
        gc.collect()
        gc.freeze()  # what was imported need not be looked at again, here or in a fork
        self._send(ready=True, **ready)
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is not self._connection:
                        selector.unregister(key.fileobj)
                        self._ended(key.fd)
                    elif not self._accept(selector):
                        self._kill_all()
                        return

    def _accept(self, selector: selectors.BaseSelector) -> bool:
        """Fork for a request; False when the other end is closed."""
        packet, fds, _, _ = socket.recv_fds(self._connection, _MAX_PACKET, _NUM_FDS)
        if not packet:
            return False
        try:
            request = json.loads(packet)
            self._prepare(request)
            why = self._refuse()
            if why or len(fds) != _NUM_FDS:
                self._send(refused=why or f"{len(fds)} descriptors came with the request, {_NUM_FDS} are needed")
                return True
            pid = os.fork()
            if pid == 0:
                selector.close()
                self._be_child(request, fds)
        except OSError as error:
            self._send(refused=f"cannot fork: {error}")
            return True
        finally:
            for fd in fds:
                os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = pid
        selector.register(pidfd, selectors.EVENT_READ)
        self._send(started=pid)
        return True

    def _ended(self, pidfd: int) -> None:
        pid = self._children.pop(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        self._send(ended=pid, status=status, max_rss=usage.ru_maxrss)

    def _send(self, **message: object) -> None:
        with suppress(OSError):  # nobody listens any more; the next read says so
            self._connection.send(json.dumps(message).encode())

    def _kill_all(self) -> None:
        for pid in self._children.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _be_child(self, request: Message, fds: list[int]) -> None:
        """Do the work and end; never returns."""
        code = 1
        try:
            answer = self._settle(request, fds)
            self._handle(request, answer)
            atexit._run_exitfuncs()
            code = 0
        except SystemExit as end:
            code = _exit_code(end.code)
        except BaseException:  # noqa: BLE001 - the outermost wrapper: said on stderr, as Python would
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            os._exit(code & 0xFF)

    def _settle(self, request: Message, fds: list[int]) -> int:
        """Become a process of one's own. Returns the descriptor for the answer."""
        parent = os.getppid()
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
        self._connection.close()
        for pidfd in self._children:
            os.close(pidfd)
        answer, stdout, stderr = fds
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (stdout, 1), (stderr, 2)):
            os.dup2(source, target)
        for fd in (nothing, stdout, stderr):
            os.close(fd)
        _mark(self._marked, str(request["mark"]))
        if request.get("cwd"):
            os.chdir(str(request["cwd"]))
        limit = request.get("memory_limit_bytes")
        if isinstance(limit, int):
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        return answer


def _exit_code(code: object) -> int:
    """As Python itself takes what `sys.exit` was given."""
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1


def _place_of_mark() -> tuple[int, int]:
    """Address and length of the mark's value in the memory that /proc/PID/environ shows; length 0: not there.

    To be asked before anything changes the environment, which moves a changed variable elsewhere.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address = getenv(MARK.encode())
    return (address, len(os.environ[MARK])) if address and MARK in os.environ else (0, 0)


def _mark(place: tuple[int, int], mark: str) -> None:
    """Carry another mark than the server: for what is started from here, and in what /proc shows of this process."""
    os.environ[MARK] = mark
    address, length = place
    if length and length == len(mark):
        ctypes.memmove(address, mark.encode(), length)


def connect(number: str) -> socket.socket:
    """The socket of packets that was inherited under a descriptor's number."""
    connection = socket.socket(fileno=int(number))
    connection.set_inheritable(False)
    return connection


def seconds_since(begin: float) -> float:
    """Wall time, rounded for a message."""
    return round(time.perf_counter() - begin, 3)
