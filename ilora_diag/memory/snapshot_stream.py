"""Unpickling a snapshot whose events are taken apart one by one while it is read."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from ilora_diag.memory.snapshot_errors import DamageError, ReadWholeError
from ilora_diag.memory.snapshot_events import EventRun
from ilora_diag.memory.snapshot_frames import Stacks
from ilora_diag.memory.snapshot_layout import checked_layout
from ilora_diag.memory.snapshot_rewrite import MARGIN_BYTES, Rewritten
from ilora_diag.memory.snapshot_scan import CHUNK_BYTES


class PlainUnpickler(pickle.Unpickler):
    """An unpickler whose allow-list of globals is empty: no version of PyTorch seen needs one in a snapshot."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse."""
        raise DamageError(
            f"asks for {module}.{name}, which is refused and was not run; accepted: dicts, lists, tuples, strings and "
            "numbers, which is all that a snapshot needs. Do not unpickle this file with other tools"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Refuse."""
        raise DamageError("refers to objects outside the file (as torch.save does); a snapshot does not")


class _EventUnpickler(PlainUnpickler):
    """One for rewritten instructions."""

    def __init__(self, file: Rewritten, stacks: Stacks) -> None:
        super().__init__(file)
        self._file, self._stacks = file, stacks
        self._lists: list[Any] = []

    def persistent_load(self, pid: Any) -> EventRun | None:
        """A run of events by its number; or takes a list of frames."""
        if type(pid) is int:
            return self._file.runs[pid]
        self._lists.append(pid)
        try:
            self._file.stacks.append(self._stacks.number(pid, ""))
        except DamageError:  # what else is wrong is said with its place
            raise ReadWholeError from None
        return None

    def are_lists_unchanged(self) -> bool:
        """Whether the lists hold in the end what they held when they were taken, as in honest files."""
        return all(map(self._stacks.is_still, self._file.stacks[1:], self._lists))


def read_by_events(
    stream: BinaryIO,
    *,
    watch: Callable[[int, int, int], None] = lambda *_: None,
    chunk_bytes: int = CHUNK_BYTES,
    margin_bytes: int = MARGIN_BYTES,
) -> dict[str, Any]:
    """The fields of a `RawSnapshot` from a stream that passed the scan.

    Args:
        stream: from the pickle's first byte on.
        watch: told now and then how many bytes were read, how many of them are held as Python objects, and how many
            events the others made.
        chunk_bytes: how much of the stream is held at a time.
        margin_bytes: length that no event has.

    Raises:
        DamageError: as `checked_layout`; or what `watch` raises.
        ReadWholeError: unlike the files that can be read so.
    """
    stacks = Stacks()
    rewritten = Rewritten(stream, watch=watch, chunk_bytes=chunk_bytes, margin_bytes=margin_bytes)
    unpickler = _EventUnpickler(rewritten, stacks)
    content = unpickler.load()
    if not unpickler.are_lists_unchanged():
        raise ReadWholeError
    del unpickler
    return checked_layout(content, stacks)
