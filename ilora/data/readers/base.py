"""What every reader is given and returns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ilora.config import DataConfig
from ilora.data.errors import DataError
from ilora.data.records import MAX_REPORTED_BAD_ROWS, BadRow, Catalogue, IntArray, RowCounts, Sequences, SourceFile

Times: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
_HASH_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Who chose what, when. Rows stand in the order of the file, which decides between equal timestamps.

    Attributes:
        users: (M,) dense ids, 0 .. num_users - 1, each used.
        items: (M,) ids of the catalogue.
        timestamps: (M,) in any unit; only their order counts.
    """

    users: IntArray
    items: IntArray
    timestamps: Times


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Sequences of a source that comes split.

    Attributes:
        train: rows to train on.
        val: rows to choose a checkpoint with.
        test: rows to report on.
        num_users: users in all of them together.
        num_interactions: interactions the rows show.
    """

    train: Sequences
    val: Sequences
    test: Sequences
    num_users: int
    num_interactions: int

    @property
    def row_counts(self) -> RowCounts:
        """Rows per split."""
        return RowCounts(len(self.train), len(self.val), len(self.test))


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a reader found.

    Attributes:
        catalogue: the items.
        body: raw interactions, still to be split, or ready splits.
        licence: terms of use; None: the reader's own.
    """

    catalogue: Catalogue
    body: Interactions | Splits
    licence: str | None = None


@dataclass(slots=True)
class Report:
    """Collects what a manifest tells about a source: rows that could not be used, and what was left out on purpose."""

    num_bad_rows: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def bad(self, file: str, line: int, reason: str) -> None:
        """Count a row that cannot be used as it stands; the first ones are kept."""
        self.num_bad_rows += 1
        if len(self.bad_rows) < MAX_REPORTED_BAD_ROWS:
            self.bad_rows.append(BadRow(file, int(line), reason))

    def note(self, text: str) -> None:
        """Tell what was left out on purpose, or what the source lacks."""
        self.notes.append(text)

    def first_reasons(self, limit: int = 3) -> str:
        """The first bad rows in words, to stand in an error message."""
        return "; ".join(f"{row.file}:{row.line}: {row.reason}" for row in self.bad_rows[:limit])


@dataclass(frozen=True, slots=True)
class Reader:
    """One source.

    Attributes:
        licence: terms of use as far as the reader can know them.
        find_files: which files it will read; raises DataError where one is missing.
        read: reads them.
    """

    licence: str
    find_files: Callable[[DataConfig], tuple[Path, ...]]
    read: Callable[[tuple[Path, ...], DataConfig, str, Report], Reading]


def required_path(cfg: DataConfig, expected: str) -> Path:
    """The path the user gave.

    Raises:
        DataError: none was given, or nothing is there.
    """
    if cfg.path is None:
        raise DataError(f"data.source={cfg.source} needs {expected}. Type data.path=...")
    path = Path(cfg.path).expanduser()
    if not path.exists():
        raise DataError(f"data.path={cfg.path}: there is no such file or folder. Expected: {expected}")
    return path


def describe(path: Path) -> SourceFile:
    """Name, size and hash of a file.

    Raises:
        DataError: it cannot be read.
    """
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
                num_bytes += len(chunk)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check data.path and its permissions") from error
    return SourceFile(path.name, num_bytes, digest.hexdigest())


def dense_ids(names: Sequence[Any] | npt.NDArray[Any]) -> tuple[IntArray, list[str]]:
    """Number names 0, 1, ... in sorted order, so that the order of a file's rows does not change anybody's number.

    Whole numbers sort as numbers if every name is one, else all names sort as text.

    Returns:
        The number of each name, and the distinct names as text in the order of their numbers.
    """
    if isinstance(names, np.ndarray) and names.dtype.kind in "iu":
        distinct, numbers = np.unique(names, return_inverse=True)
        return numbers.astype(np.int64), [str(name) for name in distinct]
    texts = [str(name) for name in names]
    known = set(texts)
    # "7" and "07" are two names: numeric order is for names that are written as numbers are.
    numeric = all(text.isascii() and text.isdigit() and str(int(text)) == text for text in known)
    ordered = sorted(known, key=int) if numeric else sorted(known)
    number = {text: index for index, text in enumerate(ordered)}
    return np.fromiter((number[text] for text in texts), dtype=np.int64, count=len(texts)), ordered
