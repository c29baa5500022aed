"""Processes that a watched script starts: the recorder sees none of what they do, and a model of a card is not there.

Python tells of every program that is started (`sys.addaudithook`), and `multiprocessing` starts its own. Told are those
that may train: Python programs and launchers of them, and functions run in another process. Other programs (`git`,
`nvidia-smi`) and the workers of a DataLoader, which prepare batches on the host, have no business with a card.
"""

from __future__ import annotations

import multiprocessing.process
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from probes.virtual.patches import Patches

_LAUNCHER = re.compile(r"(python|pypy)[\d.]*t?|torchrun|accelerate|deepspeed|horovodrun|mpirun|ray")
_SHELL = re.compile(r"(ba|da|z|k)?sh")
_HOST_SIDE = ("torch.utils.data", "multiprocessing.resource")
_MAX_TOLD, _MAX_LENGTH = 20, 120
_watching: list[Started] = []


class Started:
    """What a script started.

    Attributes:
        told: each once, as one would type it, or by the function that it ran; the first of them where there are many.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self._in_multiprocessing = False

    @contextmanager
    def watching(self, patches: Patches) -> Iterator[None]:
        """Listen inside the block."""
        plain = multiprocessing.process.BaseProcess.start

        def start(process: Any) -> None:
            target = getattr(process, "_target", None)
            module = str(getattr(target, "__module__", ""))
            self._in_multiprocessing = True
            try:
                plain(process)
            finally:
                self._in_multiprocessing = False
            if not module.startswith(_HOST_SIDE):
                self.note(f"multiprocessing: {module}.{getattr(target, '__qualname__', type(process).__qualname__)}")

        patches.replace(multiprocessing.process.BaseProcess, "start", start)
        _listen_for_good()
        _watching.append(self)
        try:
            yield
        finally:
            _watching.remove(self)

    def note(self, command: str) -> None:
        """Tell of one."""
        text = " ".join(command.split())[:_MAX_LENGTH]
        if text not in self.told and len(self.told) < _MAX_TOLD:
            self.told.append(text)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """One audit event (Python's documentation, "Audit events table")."""
        if event == "subprocess.Popen":
            self._program(args[1] if isinstance(args[1], (list, tuple)) else [args[1]])
        elif event == "os.system":
            self._program(["sh", "-c", args[0]])
        elif event in ("os.posix_spawn", "os.exec"):
            self._program(args[1])
        elif event in ("os.fork", "os.forkpty") and not self._in_multiprocessing:
            self.note(f"{event}()")

    def _program(self, argv: Any) -> None:
        words = [os.fsdecode(word) if isinstance(word, (str, bytes, os.PathLike)) else str(word) for word in argv]
        command = words
        if len(words) > 2 and words[1] == "-c" and _SHELL.fullmatch(os.path.basename(words[0])):
            command = words[2].split()
        elif len(words) == 1:
            command = words[0].split()
        if command and _LAUNCHER.fullmatch(os.path.basename(command[0])):
            self.note(" ".join([os.path.basename(command[0]), *command[1:]]))


@cache
def _listen_for_good() -> None:
    """Once: hooks cannot be taken away."""
    sys.addaudithook(_listen)


def _listen(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(("subprocess.", "os.")) and _watching:
        _watching[-1].hear(event, args)
