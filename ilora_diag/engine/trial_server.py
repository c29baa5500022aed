"""Which fork server a trial is run by: one for each environment and kind of trial."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ilora_diag.engine.fork_server import Environment, ForkServer, ServerError, is_supported
from ilora_diag.engine.outcome import python_argv

MODULE = "probes.trial_server"
_MOST = 2
"""Servers at once: each holds some 400 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Trials that one server can run.

    Attributes:
        env: changes to our environment that they are started with.
        virtual: they run on virtual cards.
        script: of somebody's script; empty for those of a configuration. What it imports is imported beforehand.
    """

    env: Environment
    virtual: bool
    script: str = ""

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
        server = self._running.get(kind)
        if server is None:
            return self._start(kind, poll)
        if not server.is_alive:
            self.give_up(kind, "the server has died")
            raise ServerError("the server has died")
        return server

    def give_up(self, kind: Kind, why: str) -> None:
        """Close a server for good."""
        self._given_up[kind] = why
        server = self._running.pop(kind, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """End all of them."""
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
