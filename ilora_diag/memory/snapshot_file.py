"""Reading what `torch.cuda.memory._dump_snapshot()` wrote, on a machine that trusts neither the file nor its sizes.

Layout of the file: `torch/cuda/memory.py`, docstring of `_snapshot`, and `torch/csrc/cuda/memory_snapshot.cpp`. Keys
are private to PyTorch and differ between versions; what the readers here rely on is checked and filled in by
`snapshot_layout`, so that every later module sees one layout.
"""

from __future__ import annotations

import bz2
import gc
import gzip
import lzma
import pickle
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ilora_diag.memory.snapshot_errors import DamageError, ReadWholeError, SnapshotFileError
from ilora_diag.memory.snapshot_events import Events
from ilora_diag.memory.snapshot_layout import SegmentDict, checked_layout
from ilora_diag.memory.snapshot_scan import scan
from ilora_diag.memory.snapshot_stream import PlainUnpickler, read_by_events
from ilora_diag.units import format_bytes

__all__ = ["MAX_SNAPSHOT_BYTES", "RawSnapshot", "SnapshotFileError", "read_snapshot"]

MAX_SNAPSHOT_BYTES = 2 << 30
"""Larger pickles (after decompression) are refused unless the caller raises the limit."""

_EVENT_BYTES = 120
_TIMES_AS_OBJECTS = 5
"""Memory that an event takes until it is analysed (100 and 104 bytes were measured), and that what is held as Python
objects takes by its length in the file (benchmarks/RESULTS.md)."""

_GZIP, _XZ, _BZIP2, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd"
_NOT_READABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSnapshot:
    """The content of one file, in PyTorch's own words, with every key that the readers need filled in.

    Attributes:
        path: where it was read.
        segments: what the allocator held when the snapshot was taken, in the file's order. Each block has `address`,
            `size`, `requested_size`, `state` and `frames`.
        device_traces: per device index, the recorded events from oldest to newest. Each has `action`, `size`,
            `stream` and `frames`; all but `oom` have `addr`, `oom` has `device_free`.
        allocator_settings: as recorded; empty where the writing version recorded none (torch 2.0).
        external_annotations: markers of the profiler (`stage`, `name`, `device`, `time_us`), oldest first.
        unread_keys: top-level keys that no version known here writes.
    """

    path: Path
    segments: list[SegmentDict]
    device_traces: list[Events]
    allocator_settings: dict[str, Any]
    external_annotations: list[dict[str, Any]]
    unread_keys: tuple[str, ...] = ()


def read_snapshot(
    path: Path | str,
    *,
    max_bytes: int = MAX_SNAPSHOT_BYTES,
    free_bytes: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> RawSnapshot:
    """The snapshot in a .pickle file, also one compressed with xz, gzip or bzip2 (told by content, not by name).

    Nothing the file says is executed: it may hold dicts, lists, tuples, strings and numbers, and nothing else.

    Args:
        path: the file.
        max_bytes: refuse a pickle that is longer than this once decompressed.
        free_bytes: memory that may be taken; a file that would take more to read and analyse is refused before it
            does. None: not known.
        progress: told now and then how many bytes of the pickle were read, and how many there are.

    Raises:
        SnapshotFileError: not a file, not a snapshot, hostile, damaged, too large, or of a layout not known here.
    """
    file = Path(path)
    try:
        with _no_cycle_search():
            with _opened(file) as stream:
                scanned = scan(stream, max_bytes)
            room = _Room(scanned.num_bytes, free_bytes, progress)
            if not scanned.names_global:
                with suppress(ReadWholeError):
                    return RawSnapshot(
                        path=file, **_unpickled(file, lambda stream: read_by_events(stream, watch=room.watch))
                    )
            room.watch(scanned.num_bytes, scanned.num_bytes, 0)
            return RawSnapshot(
                path=file, **_unpickled(file, lambda stream: checked_layout(PlainUnpickler(stream).load()))
            )
    except DamageError as damage:
        raise SnapshotFileError(file, str(damage)) from damage.__cause__
    except FileNotFoundError as error:
        raise SnapshotFileError(file, "does not exist") from error
    except MemoryError as error:
        raise SnapshotFileError(file, "does not fit into this machine's memory once unpacked") from error
    except _NOT_READABLE as error:
        raise SnapshotFileError(file, f"cannot be read: {error}") from error


@contextmanager
def _no_cycle_search() -> Iterator[None]:
    """Millions of new containers make the collector look for cycles again and again; plain data has none to find."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Room:
    """The memory that reading may take."""

    def __init__(self, num_bytes: int, free_bytes: int | None, progress: Callable[[int, int], None]) -> None:
        self._num_bytes, self._free_bytes, self._progress = num_bytes, free_bytes, progress

    def watch(self, num_read: int, num_as_objects: int, num_events: int) -> None:
        """Refuse the file before it takes more than there is.

        Args:
            num_read: bytes so far.
            num_as_objects: of them, those that are held as Python objects.
            num_events: made of the others; as many are expected of the same length to come.
        """
        self._progress(num_read, self._num_bytes)
        to_come = self._num_bytes - num_read
        num_expected = num_events + num_events * to_come // max(num_read - num_as_objects, 1)
        needed = num_expected * _EVENT_BYTES + num_as_objects * _TIMES_AS_OBJECTS
        if self._free_bytes is not None and needed > self._free_bytes:
            raise DamageError(
                f"holds {self._num_bytes} bytes, and reading it takes about {format_bytes(needed)} of memory, "
                f"of which {format_bytes(self._free_bytes)} are free here: read it on a larger machine, or record "
                "fewer events (torch.cuda.memory._record_memory_history(max_entries=100000))"
            )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The pickle as a stream, unpacked."""
    with path.open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        if not magic:
            raise DamageError("is empty")
        opener = _opener(magic)
        if opener is None:
            yield raw
            return
        try:
            with opener(raw) as unpacked:
                yield unpacked
        except _NOT_READABLE as error:
            raise DamageError(f"is damaged or cut short: {error}") from error


def _opener(magic: bytes) -> Callable[[BinaryIO], BinaryIO] | None:
    if magic.startswith(_XZ):
        return lambda raw: lzma.open(raw)  # type: ignore[return-value]
    if magic.startswith(_GZIP):
        return lambda raw: gzip.open(raw)  # type: ignore[return-value]
    if magic.startswith(_BZIP2):
        return lambda raw: bz2.open(raw)  # type: ignore[return-value]
    if magic.startswith(_ZSTD):
        return _zstd_opener()
    return None


def _zstd_opener() -> Callable[[BinaryIO], BinaryIO]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14 and later
    except ImportError:
        raise DamageError("is compressed with zstd, which this Python cannot read: unpack it with `zstd -d`") from None
    return lambda raw: zstd.open(raw)  # type: ignore[no-any-return, unused-ignore]


def _unpickled(path: Path, read: Callable[[BinaryIO], dict[str, Any]]) -> dict[str, Any]:
    try:
        with _opened(path) as stream:
            return read(stream)
    except RecursionError as error:
        raise DamageError("is nested deeper than any snapshot") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise DamageError(f"is damaged: {type(error).__name__}: {error}") from error
