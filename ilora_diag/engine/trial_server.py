"""Which fork server a trial is run by: one for each environment and kind of trial."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ilora_diag.engine.fork_server import Environment, ForkServer, ServerError, is_supported
from ilora_diag.engine.outcome import python_argv

MODULE = "probes.trial_server"
_MOST = 3
"""Servers at once, the last used ones: each holds some 400 MB. An allocator setting has three levels at the most."""
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Trials that one server can run.

    Attributes:
        env: changes to our environment that they are started with.
        virtual: they run on virtual cards.
        script: of somebody's script; empty for those of a configuration. What it imports is imported beforehand.
        is_spare: it waits for one trial alone, which then has an interpreter of its own.
    """

    env: Environment
    virtual: bool
    script: str = ""
    is_spare: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        """Command line of the server."""
        flags = ["--virtual"] if self.virtual else []
        if self.script:
            flags.append("--script")
            if Path(self.script).is_file():
                flags += ["--preload", self.script]
        return python_argv(MODULE, *flags)


class TrialServers:
    """Servers, started when they are first asked for. To be closed.

    A kind whose server could not be started, or died, gets no other one.
    """

    def __init__(self) -> None:
        self._running: dict[Kind, ForkServer] = {}
        self._given_up: dict[Kind, str] = {}
        self._early: dict[Kind, Future[ForkServer]] = {}
        self._is_closing = False
        self._two_at_a_time = threading.Semaphore(2)

    def start_early(self, kinds: Sequence[Kind]) -> None:
        """Start servers beside what is going on, the first ones first; `obtain` waits for them.

        As many as there may be at once are started, two at a time: imports keep a processor busy.
        """
        if not is_supported():
            return
        for kind in list(dict.fromkeys(kinds))[:_MOST]:
            if kind not in self._running and kind not in self._given_up and kind not in self._early:
                started: Future[ForkServer] = Future()
                self._early[kind] = started
                threading.Thread(target=self._start_beside, args=(kind, started), daemon=True).start()

    def obtain(self, kind: Kind, poll: Callable[[], bool] | None = None) -> ForkServer:
        """The server for a kind of trial.

        Args:
            kind: what it must be able to run.
            poll: asked while it starts; True gives up.

        Raises:
            ServerError: there is none, and why.
        """
        if kind in self._given_up:
            raise ServerError(self._given_up[kind])
        if kind in self._early:
            self._running[kind] = self._awaited(kind, poll)
        server = self._running.pop(kind, None)
        if server is None:
            return self._start(kind, poll)
        self._running[kind] = server  # the last one is the last used one
        if not server.is_alive:
            self.give_up(kind, "the server has died")
            raise ServerError("the server has died")
        return server

    def has(self, kind: Kind) -> bool:
        """Whether a server of this kind runs or is on its way."""
        return kind in self._running or kind in self._early

    def drop(self, kind: Kind) -> None:
        """Close a server that has done what it was for."""
        server = self._running.pop(kind, None)
        if server is not None:
            server.close()

    def give_up(self, kind: Kind, why: str) -> None:
        """Close a server for good."""
        self._given_up[kind] = why
        server = self._running.pop(kind, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """End all of them."""
        self._is_closing = True
        for early in self._early.values():
            with suppress(ServerError):
                early.result().close()
        self._early.clear()
        for server in self._running.values():
            with suppress(OSError):
                server.close()
        self._running.clear()

    def _start(self, kind: Kind, poll: Callable[[], bool] | None) -> ForkServer:
        if not is_supported():
            self._given_up[kind] = "this system has no fork server"
            raise ServerError(self._given_up[kind])
        while len(self._running) >= _MOST:
            self._running.pop(next(iter(self._running))).close()
        server = ForkServer(kind.argv, kind.env)
        try:
            server.start(poll)
        except ServerError as error:
            if not (poll is not None and poll()):
                self._given_up[kind] = str(error)
            raise
        finally:
            if not server.ready:
                server.close()
        self._running[kind] = server
        return server

    def _start_beside(self, kind: Kind, started: Future[ForkServer]) -> None:
        server = ForkServer(kind.argv, kind.env)
        try:
            with self._two_at_a_time:
                server.start(lambda: self._is_closing)
        except ServerError as error:
            server.close()
            started.set_exception(error)
        else:
            started.set_result(server)

    def _awaited(self, kind: Kind, poll: Callable[[], bool] | None) -> ForkServer:
        early = self._early[kind]
        while not early.done():
            if poll is not None and poll():
                raise ServerError("given up while it starts")
            wait([early], _POLL_S)
        del self._early[kind]
        try:
            return early.result()
        except ServerError as error:
            self._given_up[kind] = str(error)
            raise
