"""A plain table of choices: CSV, TSV or Parquet with columns user, item, timestamp, title and, optionally, rating."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ilora.config import DataConfig
from ilora.data.errors import DataError
from ilora.data.readers.base import Reader, Reading, Report, required_path
from ilora.data.readers.catalogue import TitleRows, name_items
from ilora.data.readers.log import Column, InteractionLog, interactions_from
from ilora.data.readers.text import check_columns, header_of, read_text, split_csv, tabulate

_REQUIRED = ("user", "item", "timestamp", "title")
_RATING = "rating"
_PARQUET_SUFFIXES = (".parquet", ".pq")
_EXPECTED = f"a CSV or Parquet file with columns {', '.join(_REQUIRED)} (and {_RATING}, if there is one)"


def _find_files(cfg: DataConfig) -> tuple[Path, ...]:
    path = required_path(cfg, _EXPECTED)
    if not path.is_file():
        raise DataError(f"{path}: is a folder. Expected: {_EXPECTED}")
    return (path,)


def _read(files: tuple[Path, ...], cfg: DataConfig, compat: str, report: Report) -> Reading:
    (path,) = files
    parquet = path.suffix.lower() in _PARQUET_SUFFIXES
    columns, lines = _read_parquet(path) if parquet else _read_csv(path, report)
    rows = _title_rows(path.name, columns, lines, report)
    catalogue, item_ids = name_items(rows, report, movies=False, compat=compat)
    log = InteractionLog(path.name, lines, columns["user"], columns["item"], columns["timestamp"], columns.get(_RATING))
    return Reading(catalogue, interactions_from(log, item_ids, path.name, cfg, report))


def _read_csv(path: Path, report: Report) -> tuple[dict[str, Column], Sequence[int]]:
    text = read_text(path, "utf-8-sig", _EXPECTED)
    records = split_csv(text, path, "\t" if path.suffix.lower() == ".tsv" else ",", report)
    table = tabulate(records, path, header_of(records, path, _REQUIRED), report)
    if not len(table):
        raise DataError(f"{path}: has no usable row below its header ({report.first_reasons()}). Expected: {_EXPECTED}")
    return dict(table.columns), table.lines


def _read_parquet(path: Path) -> tuple[dict[str, Column], Sequence[int]]:
    """Columns by name; a row's "line" is its number, counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            written = {name.lower(): name for name in file.schema_arrow.names}
            check_columns(path, [name.lower() for name in file.schema_arrow.names], _REQUIRED)
            wanted = [name for name in (*_REQUIRED, _RATING) if name in written]
            table = file.read(columns=[written[name] for name in wanted])
    except (pa.ArrowException, OSError) as error:
        detail = str(error).partition("\n")[0]
        raise DataError(
            f"{path}: is no complete Parquet file ({detail}). Expected: {_EXPECTED}; write it again"
        ) from error
    if not table.num_rows:
        raise DataError(f"{path}: has no row. Expected: {_EXPECTED}")
    return {name: _to_column(table.column(written[name])) for name in wanted}, range(1, table.num_rows + 1)


def _to_column(column: Any) -> Column:
    """An Arrow column as numbers where it holds only numbers, else as a list with empty text where a value is missing.

    Points in time become integers in their own unit: only their order counts.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    if column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return np.asarray(column.to_numpy())
    return ["" if value is None else value for value in column.to_pylist()]


def _title_rows(file: str, columns: dict[str, Column], lines: Sequence[int], report: Report) -> TitleRows:
    """One row per item: the first title given for it, or the item's first line where none is."""
    first: dict[str, int] = {}
    titles: dict[str, str] = {}
    num_others = 0
    for row, (name, title) in enumerate(zip(map(str, columns["item"]), map(str, columns["title"]), strict=True)):
        if not name.strip():
            continue
        first.setdefault(name, row)
        if title.strip():
            num_others += titles.setdefault(name, title) != title
    if num_others:
        report.note(f"{num_others} rows give another title for their item than an earlier row: the first one stands")
    names = list(first)
    return TitleRows(file, [lines[first[name]] for name in names], names, [titles.get(name, "") for name in names])


READER = Reader("not stated: a table of your own", _find_files, _read)
