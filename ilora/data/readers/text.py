"""Text tables with honest line numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ilora.data.errors import DataError
from ilora.data.readers.base import Mask, Report, Times

Record = tuple[int, list[str]]
"""Line the record begins at, counted from 1, and its fields."""

_UNCLOSED_QUOTE = "unexpected end of data"  # csv's wording under strict=True


@dataclass(frozen=True, slots=True)
class TextTable:
    """Named columns of text.

    Attributes:
        file: name of the file, without its folder.
        lines: (M,) line each row begins at.
        columns: name -> M texts.
    """

    file: str
    lines: list[int]
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.lines)


def read_text(path: Path, encoding: str, expected: str) -> str:
    """The whole text of a file.

    Raises:
        DataError: missing, empty, or not in this encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Expected: {expected}") from error
    if not content.strip():
        raise DataError(f"{path}: is empty. Expected: {expected}")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: is not {error.encoding} text (byte {content[error.start]:#04x}). "
            f"Convert it: iconv -f latin1 -t utf-8 {path.name}"
        ) from error


def split_lines(text: str, separator: str, max_split: int = -1) -> Iterator[Record]:
    """Records of a file whose fields are never quoted; blank lines are passed over.

    Lines end at a line feed only: `str.splitlines` would also end them at U+0085, a letter-like byte in latin-1 files.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if line.strip():
            yield number, line.split(separator, max_split)


def split_csv(text: str, path: Path, separator: str, report: Report) -> Iterator[Record]:
    """Records of a CSV file; a quoted field may hold line breaks, and blank lines are passed over.

    Raises:
        DataError: a quote is never closed, which makes the rest of the file one field.
    """
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if str(error) == _UNCLOSED_QUOTE:
                raise DataError(f"{path}:{begin}: a quote is opened and never closed. Close or double it") from error
            report.bad(path.name, begin, f"not CSV: {error}")
            continue
        if fields:
            yield begin, fields


def tabulate(records: Iterator[Record], path: Path, names: Sequence[str], report: Report) -> TextTable:
    """Columns of the records that have one field per name; the others are reported."""
    width = len(names)
    lines: list[int] = []
    flat: list[str] = []  # not a list of rows: a million small lists keep the garbage collector busy
    for line, fields in records:
        if len(fields) == width:
            lines.append(line)
            flat.extend(fields)
        else:
            report.bad(path.name, line, f"{len(fields)} fields instead of {width} ({', '.join(names)})")
    return TextTable(path.name, lines, {name: flat[place::width] for place, name in enumerate(names)})


def header_of(records: Iterator[Record], path: Path, required: Sequence[str]) -> list[str]:
    """Column names from the first record: lower case, without a type behind a colon (RecBole writes `rating:float`).

    Raises:
        DataError: no record, a required column is missing, or a name stands twice.
    """
    _, fields = next(records, (0, []))
    names = [name.strip().lower().partition(":")[0] for name in fields]
    check_columns(path, names, required)
    return names


def check_columns(path: Path, names: Sequence[str], required: Sequence[str]) -> None:
    """Require column names.

    Raises:
        DataError: one is missing or stands twice.
    """
    missing = [name for name in required if name not in names]
    if missing:
        raise DataError(
            f"{path}: has no column {', '.join(missing)}. Required: {', '.join(required)}; found: {', '.join(names)}. "
            "Rename the columns in the file's header"
        )
    twice = [name for name in required if list(names).count(name) > 1]
    if twice:
        raise DataError(f"{path}: column {', '.join(twice)} stands twice. Rename one of them in the file's header")


def parse_numbers(values: Sequence[str] | npt.NDArray[Any]) -> tuple[Times, Mask]:
    """Numbers from text: int64 if all are whole numbers (nanoseconds do not fit a float), else float64.

    Returns:
        (M,) values, and (M,) whether each is a finite number; where it is not, the value means nothing.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return values.astype(np.int64), np.ones(len(values), dtype=np.bool_)
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return values.astype(np.float64), np.isfinite(values)
    try:
        whole = np.fromiter(map(int, values), dtype=np.int64, count=len(values))
    except (ValueError, OverflowError, TypeError):
        pass
    else:
        return whole, np.ones(len(whole), dtype=np.bool_)
    return _parse_each(values)


def _parse_each(values: Sequence[Any] | npt.NDArray[Any]) -> tuple[Times, Mask]:
    numbers = [_number(value) for value in values]
    good = np.fromiter((number is not None for number in numbers), dtype=np.bool_, count=len(numbers))
    filled = [0 if number is None else number for number in numbers]
    if any(isinstance(number, float) for number in filled):
        return np.array(filled, dtype=np.float64), good
    return np.array(filled, dtype=np.int64), good


def _number(value: Any) -> int | float | None:
    try:
        whole = int(value) if isinstance(value, str | int) else None
    except ValueError:
        whole = None
    if whole is not None:
        return whole if -(2**63) <= whole < 2**63 else None
    try:
        number = float(value)
    except (ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None
