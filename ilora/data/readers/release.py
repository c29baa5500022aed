"""A data folder of the iLoRA or LLaRA release: {train_data,Val_data,Test_data}.df with id2name.txt or u.item.

The rows are ready sequences: `seq` (item ids, oldest first, padded on the right), `len_seq`, `next`. They are used as
they come: `data.holdout` and `data.min_rating` have nothing to act on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ilora.config import DataConfig
from ilora.data.errors import DataError
from ilora.data.readers.base import Mask, Reader, Reading, Report, Splits, required_path
from ilora.data.readers.catalogue import make_catalogue, untitled_reason
from ilora.data.readers.frame import FrameColumn, read_frame
from ilora.data.readers.movielens import LICENCE as MOVIELENS_LICENCE
from ilora.data.readers.movielens import read_u_item
from ilora.data.readers.text import Record, TextTable, check_columns, read_text, split_lines, tabulate
from ilora.data.records import Catalogue, IntArray, Sequences

_SPLITS = {"train": "train_data.df", "val": "Val_data.df", "test": "Test_data.df"}
_TITLE_FILES = ("id2name.txt", "u.item")
_COLUMNS = ("seq", "len_seq", "next")
_EXPECTED = f"a folder with some of {', '.join(_SPLITS.values())}, and {' or '.join(_TITLE_FILES)}"


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """One .df file.

    Attributes:
        file: its name.
        history: (N, W) ids as written; -1 for what is no whole number, and beyond the end of a shorter row.
        lengths: (N,) len_seq.
        targets: (N,) next; -1 for what is no whole number.
    """

    file: str
    history: IntArray
    lengths: IntArray
    targets: IntArray

    def inside(self) -> Mask:
        """(N, W) whether a place counts as history."""
        inside: Mask = np.arange(self.history.shape[1]) < self.lengths[:, None]
        return inside


@dataclass(frozen=True, slots=True)
class _Titles:
    """A title file: (line, title) per item; line 0 and an empty title for an id the file skips."""

    file: str
    first_id: int
    rows: list[tuple[int, str]]

    @property
    def max_id(self) -> int:
        """Beyond this an id is taken for damage: a wild number must not make a catalogue of billions."""
        return _max_id(len(self.rows))


def _find_files(cfg: DataConfig) -> tuple[Path, ...]:
    folder = required_path(cfg, _EXPECTED)
    frames = [folder / name for name in _SPLITS.values() if (folder / name).is_file()]
    titles = next((folder / name for name in _TITLE_FILES if (folder / name).is_file()), None)
    if not frames or titles is None:
        missing = "no title file" if frames else "no .df file"
        raise DataError(f"{folder}: has {missing}. Expected: {_EXPECTED}. Type data.path=FOLDER")
    return (*frames, titles)


def _read(files: tuple[Path, ...], cfg: DataConfig, compat: str, report: Report) -> Reading:
    *frames, title_file = files
    titles = _read_titles(title_file, compat, report)
    parts = {path.name: _read_rows(path) for path in frames}
    num_items = max(len(titles.rows), *(_padding_id(rows, titles.max_id) for rows in parts.values()))
    catalogue = _make_catalogue(titles, num_items, compat, report)
    splits: dict[str, Sequences] = {}
    num_users = num_interactions = 0
    for split, name in _SPLITS.items():
        if name not in parts:
            report.note(f"{name} is not there: the {split} split is empty")
            splits[split] = Sequences.empty(cfg.max_history)
            continue
        rows = _usable_rows(parts[name], catalogue, report)
        users, num_seen = _users_of(rows)
        splits[split] = Sequences(rows.history, rows.lengths, rows.targets, users + num_users)
        num_users += int(users.max(initial=-1)) + 1
        num_interactions += num_seen
    body = Splits(**splits, num_users=num_users, num_interactions=num_interactions)
    return Reading(catalogue, body, MOVIELENS_LICENCE if title_file.name == "u.item" else None)


def _read_rows(path: Path) -> _Rows:
    columns = read_frame(path)
    check_columns(path, list(columns), _COLUMNS)
    history = _histories(columns["seq"])
    lengths = np.fromiter(map(_item, columns["len_seq"]), dtype=np.int64, count=len(history))
    targets = np.fromiter(map(_item, columns["next"]), dtype=np.int64, count=len(history))
    return _Rows(path.name, history, lengths, targets)


def _histories(rows: FrameColumn) -> IntArray:
    try:
        array = np.array(rows)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    if array.dtype.kind in "iu" and array.ndim == 2:
        return array.astype(np.int64)
    lists = [[_item(entry) for entry in row] if isinstance(row, list | tuple) else [] for row in rows]
    width = max(map(len, lists), default=0)
    padded = [row + [-1] * (width - len(row)) for row in lists]
    return np.array(padded, dtype=np.int64).reshape(len(lists), width)


def _item(entry: Any) -> int:
    """An item id; MovieLens entries are (item, rating). -1 for anything else, which no row may use."""
    if isinstance(entry, tuple) and entry:
        entry = entry[0]
    if isinstance(entry, int | np.integer) and 0 <= entry < 2**62:
        return int(entry)
    return -1


def _padding_id(rows: _Rows, max_id: int) -> int:
    """What fills the places behind the history: the release pads with the number of items. -1: cannot be told."""
    values, counts = np.unique(rows.history[~rows.inside()], return_counts=True)
    padding = int(values[counts.argmax()]) if len(values) else -1
    return padding if padding <= max_id else -1


def _max_id(num_named: int) -> int:
    return 2 * num_named + 1000


def _read_titles(path: Path, compat: str, report: Report) -> _Titles:
    named_from_zero = path.name == "id2name.txt"
    table = _read_id2name(path, compat, report) if named_from_zero else read_u_item(path, report)
    first_id = 0 if named_from_zero else 1
    found: dict[int, tuple[int, str]] = {}
    for line, name, title in zip(table.lines, table.columns["item"], table.columns["title"], strict=True):
        text = name.strip()
        item = int(text) - first_id if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if not 0 <= item <= _max_id(len(table)):
            report.bad(path.name, line, f"item id {name!r} is not a number from {first_id} to {_max_id(len(table))}")
        elif item in found:
            report.bad(path.name, line, f"item {name!r} has been named before, in line {found[item][0]}")
        else:
            found[item] = (line, title)
    if not found:
        raise DataError(f"{path}: names no item ({report.first_reasons()})")
    return _Titles(path.name, first_id, [found.get(item, (0, "")) for item in range(max(found) + 1)])


def _read_id2name(path: Path, compat: str, report: Report) -> TextTable:
    """Lines `id::name`. A name may hold the separator; the release cuts it off there, and so does compat=reference."""
    text = read_text(path, "utf-8", "lines id::name")
    records: Iterator[Record] = split_lines(text, "::", 1)
    if compat == "reference":
        records = ((line, fields[:2]) for line, fields in split_lines(text, "::"))
    return tabulate(records, path, ("item", "title"), report)


def _make_catalogue(titles: _Titles, num_items: int, compat: str, report: Report) -> Catalogue:
    """Titles for all ids below `num_items`: the named ones, and those that only the padding id shows to exist."""
    rows = titles.rows + [(0, "")] * (num_items - len(titles.rows))
    names = [str(item + titles.first_id) for item in range(num_items)]
    for name, (line, title) in zip(names, rows, strict=True):
        if not title.strip():
            report.bad(titles.file, line, untitled_reason(name))
    movies = titles.file == "u.item"
    return make_catalogue(names, [title for _, title in rows], report, movies=movies, compat=compat)


def _usable_rows(rows: _Rows, catalogue: Catalogue, report: Report) -> Sequences:
    """Rows whose entries are items, re-padded with the catalogue's padding id; the others are reported.

    The release writes a user's first choice as padding throughout with `len_seq` 1: such a row gets length 0.
    """
    width, num_items = rows.history.shape[1], catalogue.num_items
    all_padding = (rows.history[:, :1] == catalogue.pad_id).any(axis=1)
    empty = (rows.lengths == 0) | ((rows.lengths == 1) & all_padding)
    known = (rows.history >= 0) & (rows.history < num_items)
    bad_length = (rows.lengths < 0) | (rows.lengths > width)
    bad_history = (rows.inside() & ~known).any(axis=1) & ~empty
    bad_target = (rows.targets < 0) | (rows.targets >= num_items)
    bad = bad_length | bad_history | bad_target
    for row in np.flatnonzero(bad).tolist():
        if bad_length[row]:
            reason = f"len_seq is not a number from 0 to {width}"
        else:
            reason = f"{'seq' if bad_history[row] else 'next'} holds something that is not one of the {num_items} items"
        report.bad(rows.file, row + 1, reason)
    lengths = np.where(empty, 0, rows.lengths)
    history = np.where(np.arange(width) < lengths[:, None], rows.history, catalogue.pad_id)
    nobody = np.zeros(len(lengths), dtype=np.int64)
    return Sequences(history, lengths, rows.targets, nobody).rows(~bad)


def _users_of(rows: Sequences) -> tuple[IntArray, int]:
    """Whose rows they are, and how many interactions they show.

    The release names no users, but a user's rows follow each other: each history is the one before plus its target.
    """
    if not len(rows):
        return rows.users, 0
    width = rows.max_history
    full = rows.lengths == width
    moved = np.where(full[:, None], np.roll(rows.history, -1, axis=1), rows.history)
    newest = np.minimum(rows.lengths, width - 1)
    expected = np.where(np.arange(width) == newest[:, None], rows.targets[:, None], moved)
    begins = np.ones(len(rows), dtype=np.bool_)
    begins[1:] = (expected[:-1] != rows.history[1:]).any(axis=1)
    return np.cumsum(begins, dtype=np.int64) - 1, int(len(rows) + rows.lengths[begins].sum())


READER = Reader("not stated by the release", _find_files, _read)
