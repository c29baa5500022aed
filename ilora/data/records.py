"""The records that data travels in. Numpy only: nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]

MAX_REPORTED_BAD_ROWS = 20
"""Bad rows a manifest spells out; it counts all of them."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items one can recommend. Item ids are positions: 0 .. num_items - 1.

    Attributes:
        titles: one per item; empty only where compat=reference repeats quirk Q16.
    """

    titles: tuple[str, ...]

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.titles)

    @property
    def pad_id(self) -> int:
        """The id that fills unused places of a history: one past the last item."""
        return len(self.titles)


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """One split: a row is what a user had chosen so far, and what came next.

    Attributes:
        history: (N, L) item ids, oldest first, right-padded with the catalogue's `pad_id`.
        lengths: (N,) how many of the L places are real, 1 .. L; 0 only between a reader and the split.
        targets: (N,) the item chosen next; never one of the row's history.
        users: (N,) whose row it is; dense ids over all splits.
    """

    history: IntArray
    lengths: IntArray
    targets: IntArray
    users: IntArray

    def __post_init__(self) -> None:
        num_rows = len(self.targets)
        assert self.history.ndim == 2, f"history is (N, L), got {self.history.shape}"
        for name, shape in (
            ("lengths", self.lengths.shape),
            ("targets", self.targets.shape),
            ("users", self.users.shape),
        ):
            assert shape == (num_rows,), f"{name} is ({num_rows},), got {shape}"
        assert len(self.history) == num_rows, f"history has {len(self.history)} rows, targets {num_rows}"
        for array in (self.history, self.lengths, self.targets, self.users):
            assert array.dtype == np.int64, f"ids and lengths are int64, got {array.dtype}"

    def __len__(self) -> int:
        return len(self.targets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequences):
            return NotImplemented
        return all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.history, other.history),
                (self.lengths, other.lengths),
                (self.targets, other.targets),
                (self.users, other.users),
            )
        )

    __hash__ = None  # type: ignore[assignment]  # arrays can be written to

    @property
    def max_history(self) -> int:
        """L, the width of `history`."""
        return int(self.history.shape[1])

    def rows(self, index: IntArray | npt.NDArray[np.bool_]) -> Sequences:
        """The rows `index` picks, in its order."""
        return Sequences(self.history[index], self.lengths[index], self.targets[index], self.users[index])

    @classmethod
    def empty(cls, max_history: int) -> Sequences:
        """No rows: the split is missing from the source."""
        none = np.empty(0, dtype=np.int64)
        return cls(np.empty((0, max_history), dtype=np.int64), none, none, none)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a source file that could not be used as it stands.

    Attributes:
        file: name of the file, without its folder.
        line: its line, counted from 1 (files without lines: its row, counted from 1); 0: the file as a whole.
        reason: what is wrong with it, and what became of it where it was not left out.
    """

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file the data was read from.

    Attributes:
        name: name without folder, so that a manifest names no machine.
        num_bytes: its size.
        sha256: of its content, hexadecimal.
    """

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows per split."""

    train: int
    val: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where data came from and what became of it.

    Attributes:
        source: name of the reader.
        licence: under which terms the source may be used, as far as known.
        files: what was read; empty for generated data.
        num_users: users with at least one usable interaction.
        num_items: size of the catalogue.
        num_interactions: usable interactions (of ready-made sequences: as many as their rows show).
        num_rows: rows per split.
        num_bad_rows: rows of the source that could not be used as they stand.
        bad_rows: the first of them.
        notes: what was left out on purpose, and why, with counts; what the source lacks.
    """

    source: str
    licence: str
    files: tuple[SourceFile, ...]
    num_users: int
    num_items: int
    num_interactions: int
    num_rows: RowCounts
    num_bad_rows: int
    bad_rows: tuple[BadRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SequenceData:
    """A data set, ready to train and evaluate on."""

    catalogue: Catalogue
    train: Sequences
    val: Sequences
    test: Sequences
    manifest: Manifest
