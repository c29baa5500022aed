"""The canonical folder: one form for data from every source.

    items.parquet                          item int64, title string
    train.parquet val.parquet test.parquet user int64, history list<int64> (without padding), target int64
    manifest.json                          format, version, content_sha256, files_sha256, max_history, manifest

`content_sha256` is over the values, so it is the same whatever Parquet writer made the files; `files_sha256` is over
their bytes, so that damage is found before a Parquet reader meets it. Both are checked on reading.

Format history: version 1, 2026: first.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ilora.data.errors import DataError
from ilora.data.records import (
    BadRow,
    Catalogue,
    IntArray,
    Manifest,
    RowCounts,
    SequenceData,
    Sequences,
    SourceFile,
)
from ilora.files import atomic_dir

FORMAT = "ilora-diag sequences"
VERSION = 1
MANIFEST_FILE = "manifest.json"

_MAX_HISTORY = 1 << 20
_ITEMS_FILE = "items.parquet"
_SPLITS = ("train", "val", "test")
_ITEM_SCHEMA = pa.schema([("item", pa.int64()), ("title", pa.string())])
_ROW_SCHEMA = pa.schema([("user", pa.int64()), ("history", pa.list_(pa.int64())), ("target", pa.int64())])
_REMEDY = "Write it again from its source, or delete it if it is a cache"


def write_canonical(data: SequenceData, folder: Path) -> None:
    """Write `data` to `folder`, whole or not at all; a canonical folder that is there already is replaced.

    Raises:
        DataError: `folder` holds something else.
        OSError: the disk is full, or the place cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST_FILE).is_file() and any(folder.iterdir()):
        raise DataError(f"{folder}: holds other files, which writing data there would delete. Choose a new folder")
    splits = _splits_of(data)
    with atomic_dir(folder) as fresh:
        pq.write_table(_item_table(data.catalogue), fresh / _ITEMS_FILE)
        for name, rows in splits.items():
            pq.write_table(_row_table(rows), fresh / f"{name}.parquet")
        document = {
            "format": FORMAT,
            "version": VERSION,
            "content_sha256": content_sha256(data),
            "files_sha256": {path.name: _sha256(path.read_bytes()) for path in sorted(fresh.iterdir())},
            "max_history": data.test.max_history,
            "manifest": asdict(data.manifest),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (fresh / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_canonical(folder: Path) -> SequenceData:
    """Read what `write_canonical` wrote.

    Raises:
        DataError: no such folder, another format or version, truncated or altered content.
    """
    folder = Path(folder)
    document = _read_document(folder / MANIFEST_FILE)
    try:
        manifest, width = _parse_manifest(document["manifest"]), int(document["max_history"])
        content, hashes = str(document["content_sha256"]), dict(document["files_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / MANIFEST_FILE}: lacks or garbles {error}. {_REMEDY}") from error
    if not 1 <= width <= _MAX_HISTORY:
        raise DataError(f"{folder / MANIFEST_FILE}: max_history is {width}, allowed is 1..{_MAX_HISTORY}. {_REMEDY}")
    items = _read_table(folder / _ITEMS_FILE, _ITEM_SCHEMA, hashes)
    catalogue = Catalogue(tuple(items.column("title").to_pylist()))
    tables = {name: _read_table(folder / f"{name}.parquet", _ROW_SCHEMA, hashes) for name in _SPLITS}
    splits = {name: _rows_of(table, folder / f"{name}.parquet", width, catalogue) for name, table in tables.items()}
    data = SequenceData(catalogue, **splits, manifest=manifest)
    if content_sha256(data) != content:
        raise DataError(f"{folder}: the content is not what {MANIFEST_FILE} says it is. {_REMEDY}")
    return data


def content_sha256(data: SequenceData) -> str:
    """Hash of titles and rows, whatever files they came from; the manifest is not part of it."""
    digest = hashlib.sha256(json.dumps(data.catalogue.titles, ensure_ascii=False).encode())
    for name, rows in _splits_of(data).items():
        digest.update(f"{name} {rows.history.shape}".encode())
        for array in (rows.history, rows.lengths, rows.targets, rows.users):
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _splits_of(data: SequenceData) -> dict[str, Sequences]:
    return {"train": data.train, "val": data.val, "test": data.test}


def _item_table(catalogue: Catalogue) -> Any:
    return pa.table([pa.array(np.arange(catalogue.num_items)), pa.array(catalogue.titles, pa.string())], _ITEM_SCHEMA)


def _row_table(rows: Sequences) -> Any:
    inside = np.arange(rows.max_history) < rows.lengths[:, None]
    ends = np.concatenate([[0], np.cumsum(rows.lengths)])
    history = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(rows.history[inside]))
    return pa.table([pa.array(rows.users), history, pa.array(rows.targets)], _ROW_SCHEMA)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        expected = "a folder written by write_canonical"
        raise DataError(f"{path}: cannot be read ({error.strerror}). Expected: {expected}") from error
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error}). {_REMEDY}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path}: does not say format {FORMAT!r}. Expected: a folder written by write_canonical")
    if document.get("version") != VERSION:
        raise DataError(f"{path}: has version {document.get('version')}, this program reads {VERSION}. {_REMEDY}")
    return document


def _parse_manifest(fields: dict[str, Any]) -> Manifest:
    return Manifest(
        **{
            **fields,
            "files": tuple(SourceFile(**file) for file in fields["files"]),
            "num_rows": RowCounts(**fields["num_rows"]),
            "bad_rows": tuple(BadRow(**row) for row in fields["bad_rows"]),
            "notes": tuple(fields["notes"]),
        }
    )


def _read_table(path: Path, schema: Any, hashes: dict[str, str]) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). {_REMEDY}") from error
    if _sha256(content) != hashes.get(path.name):
        raise DataError(f"{path}: is not the file that {MANIFEST_FILE} was written for: cut off or altered. {_REMEDY}")
    try:
        table = pq.read_table(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise DataError(f"{path}: is no Parquet file ({error}). {_REMEDY}") from error
    if not table.schema.equals(schema) or any(column.null_count for column in table.columns):
        raise DataError(f"{path}: has columns {table.schema.names}, expected {schema.names} without gaps. {_REMEDY}")
    return table.combine_chunks()


def _rows_of(table: Any, path: Path, width: int, catalogue: Catalogue) -> Sequences:
    histories = table.column("history").combine_chunks()
    lengths = histories.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    flat = histories.flatten().to_numpy(zero_copy_only=False)
    users, targets = (table.column(name).to_numpy().astype(np.int64) for name in ("user", "target"))
    if lengths.max(initial=0) > width or not _are_items(flat, catalogue) or not _are_items(targets, catalogue):
        raise DataError(f"{path}: holds ids or lengths outside the catalogue's {catalogue.num_items} items. {_REMEDY}")
    history = np.full((len(lengths), width), catalogue.pad_id, dtype=np.int64)
    history[np.arange(width) < lengths[:, None]] = flat
    return Sequences(history, lengths, targets, users)


def _are_items(ids: IntArray, catalogue: Catalogue) -> bool:
    return bool(((ids >= 0) & (ids < catalogue.num_items)).all())
