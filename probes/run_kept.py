"""Files of a virtual card's run that hold no values: what was saved stays in this process, the file holds its number.

The file is one sentence, for scripts that look whether it is there, copy it or rename it. A file that was there before
is never touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probes.virtual import values
from probes.virtual.errors import NotCarriedError
from probes.virtual.machine import Machine

SAVE = "files with tensors of the card hold none of their values: nobody computed them"
_TOKEN = "ilora-diag picture {number} of process {process}: saved on a virtual card, where no values are computed\n"
_PATTERN = re.compile(rb"ilora-diag picture (\d+) of process (\d+): ")


class Kept:
    """Pictures by number: that in the file, or of the path where the file may not be touched."""

    def __init__(self) -> None:
        self._pictures: list[Any] = []
        self._untouched: dict[Path, int] = {}  # a file was there before, and still is
        self._written: set[Path] = set()

    def keep(self, picture: Any, f: Any) -> None:
        """Let a path or an open file stand for a picture."""
        number = len(self._pictures)
        self._pictures.append(picture)
        token = _TOKEN.format(number=number, process=os.getpid()).encode()
        path = _path_of(f)
        if path is None:
            f.write(token)
        elif not path.exists() or path in self._written:
            path.write_bytes(token)
            self._written.add(path)
        else:
            self._untouched[path] = number

    def written_for_real(self, f: Any) -> None:
        """A path gets a file with values: whatever it stood for, it does no more."""
        path = _path_of(f)
        if path is not None:
            self._untouched.pop(path, None)

    def picture_of(self, f: Any) -> Any:
        """What a path or an open file stands for; None for files with values.

        Raises:
            NotCarriedError: another process wrote it.
        """
        path = _path_of(f)
        if path is not None:
            known = self._untouched.get(path)
            if known is not None:
                return self._pictures[known]
            with suppress(OSError), path.open("rb") as file:
                return self._numbered(file.read(128))
            return None
        if not (hasattr(f, "read") and hasattr(f, "seek") and hasattr(f, "tell")):
            return None
        begin = f.tell()
        head = f.read(128)
        f.seek(begin)
        return self._numbered(head) if isinstance(head, bytes) else None

    def clean(self) -> None:
        """Remove the files that were written, unless the script put something else there."""
        for path in self._written:
            with suppress(OSError):
                if _PATTERN.match(path.read_bytes()[:128]):
                    path.unlink()

    def _numbered(self, head: bytes) -> Any:
        found = _PATTERN.match(head)
        if found is None:
            return None
        number, process = int(found[1]), int(found[2])
        if process != os.getpid() or number >= len(self._pictures):
            raise NotCarriedError("loading this file", "another run on a virtual card saved it, without values")
        return self._pictures[number]


def _path_of(f: Any) -> Path | None:
    """Where a file is that a script names; None of one that is open."""
    return Path(f).absolute() if isinstance(f, (str, os.PathLike)) else None


def carried_value(machine: Machine, tensor: Tensor) -> Tensor | None:
    """The values that a picture of a tensor has, too: small ones that are known."""
    value = values.known(machine, tensor) if values.is_small(tensor) else None
    return None if value is None else value.clone()


def uncomputed(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """What a picture is loaded as: on the host there must be values, and they are zeros."""
    make = torch.zeros if device.type == "cpu" else torch.empty
    return make(shape, dtype=dtype, device=device)
