"""Draining a child's pipes: always read, boundedly kept, never in the way of the child or of the runner."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from ilora_diag.engine.outcome import Captured

_CHUNK_BYTES = 1 << 16
_STDERR_FD = 2
_TICK_S = 0.05  # how soon the drain notices that it is to finish


@dataclass(slots=True)
class BoundedBuffer:
    """Keeps the first and the last bytes of a stream and counts all of them."""

    keep_head_bytes: int
    keep_tail_bytes: int
    num_bytes: int = 0
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        self.num_bytes += len(chunk)
        room = self.keep_head_bytes - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * self.keep_tail_bytes + _CHUNK_BYTES:  # seldom, so that trimming stays cheap
            self._trim()

    @property
    def num_dropped_bytes(self) -> int:
        """Bytes between head and tail that were not kept."""
        self._trim()
        return self.num_bytes - len(self._head) - len(self._tail)

    def content(self) -> bytes:
        """The bytes kept, head and tail in one."""
        self._trim()
        return bytes(self._head + self._tail)

    def captured(self) -> Captured:
        """The stream as text; bytes that are not UTF-8 become replacement characters."""
        dropped = self.num_dropped_bytes
        if not dropped:  # decoded in one, so that a character across the border survives
            return Captured(head=self.content().decode(errors="replace"), num_bytes=self.num_bytes)
        head, tail = self._head.decode(errors="replace"), self._tail.decode(errors="replace")
        return Captured(head=head, tail=tail, num_bytes=self.num_bytes, num_dropped_bytes=dropped)

    def _trim(self) -> None:
        excess = len(self._tail) - self.keep_tail_bytes
        if excess > 0:
            del self._tail[:excess]


class EchoBuffer(BoundedBuffer):
    """Keeps a stream likewise, and passes every byte on to our own stderr at once."""

    def add(self, chunk: bytes) -> None:
        """Take in the next bytes. A stderr that nobody reads any more is no reason to stop."""
        BoundedBuffer.add(self, chunk)
        with suppress(OSError):
            while chunk:
                chunk = chunk[os.write(_STDERR_FD, chunk) :]


class Drain(threading.Thread):
    """Reads several pipes into buffers until each is at its end, or until told to finish; then closes them.

    A thread of its own, so that neither a slow callback of the runner nor a Ctrl-C in it can leave a pipe full.
    """

    def __init__(self, pipes: Iterable[tuple[IO[bytes], BoundedBuffer]]) -> None:
        super().__init__(name="drain", daemon=True)
        self._selector = selectors.DefaultSelector()
        self._finish_by: float | None = None
        for pipe, buffer in pipes:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, (pipe, buffer))

    def run(self) -> None:
        """Read; ends when nothing is open any more, or soon after `finish`."""
        while self._selector.get_map():
            finish_by = self._finish_by
            ready = self._selector.select(_TICK_S if finish_by is None else 0)
            if finish_by is not None and (not ready or time.monotonic() > finish_by):
                break
            for key, _ in ready:
                self._read(*key.data)
        for key in list(self._selector.get_map().values()):
            self._close(key.data[0])
        self._selector.close()

    def finish(self, timeout_s: float) -> None:
        """Take what is in the pipes, then close them, even while somebody still holds or fills their other ends."""
        self._finish_by = time.monotonic() + timeout_s
        self.join()

    def _read(self, pipe: IO[bytes], buffer: BoundedBuffer) -> None:
        try:
            chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # nothing more will come; what was read stays
            chunk = b""
        if chunk:
            buffer.add(chunk)
        else:
            self._close(pipe)

    def _close(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        pipe.close()
