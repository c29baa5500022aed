"""From a configuration to data: choose the reader, split, and keep the result for the next time.

The cache needs no lock. A cached folder's name is a hash of everything its content depends on, so whoever finds one
finds what it would have built; it appears by a rename, whole; and a process that loses the race for the name, or
cannot read what it finds, uses what it built itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

from ilora.config import ConfigError, DataConfig
from ilora.data.errors import DataError
from ilora.data.readers import ml100k, movielens, release, synthetic, table
from ilora.data.readers.base import Interactions, Reader, Report, Splits, describe, required_path
from ilora.data.records import Catalogue, Manifest, SequenceData, SourceFile
from ilora.data.split import fit_splits, last_n_split
from ilora.data.store import VERSION, read_canonical, write_canonical

READERS: dict[str, Reader] = {
    "ilora": release.READER,
    "ml-100k": ml100k.READER,
    "movielens": movielens.READER,
    "synthetic": synthetic.READER,
    "table": table.READER,
}
"""Every source but `canonical`, which is this module's own."""

_READERS_VERSION = 1
"""Raise it when a reader or the split gives other data for the same files: older caches are then not found."""

_log = logging.getLogger(__name__)


def load_data(cfg: DataConfig, *, compat: str) -> SequenceData:
    """The data a configuration asks for, from its source or from the cache.

    Args:
        cfg: the `data` part of the configuration.
        compat: `fixed`, or `reference` for the release's title clean-up.

    Raises:
        DataError: a file is missing or broken, or nothing in it can be used.
        ConfigError: `data.source` is unknown.
    """
    if cfg.source == "canonical":
        return _fit_canonical(cfg)
    if cfg.source not in READERS:
        raise ConfigError("data.source", cfg.source, f"one of canonical, {', '.join(READERS)}")
    reader = READERS[cfg.source]
    paths = reader.find_files(cfg)
    files = tuple(describe(path) for path in paths)
    if not files:
        return _build(reader, paths, files, cfg, compat)
    folder = cache_folder(cfg) / f"{cfg.source}-{_cache_key(files, cfg, compat)}"
    if folder.exists():
        try:
            return read_canonical(folder)
        except DataError as error:
            _log.warning("The data cache is rebuilt: %s", error)
    data = _build(reader, paths, files, cfg, compat)
    try:
        write_canonical(data, folder)
    except (OSError, DataError) as error:
        _log.warning("The data is not cached: %s", error)
    return data


def cache_folder(cfg: DataConfig) -> Path:
    """Where canonical data is kept: `data.cache_dir`, or the user's cache folder (XDG base directory specification)."""
    if cfg.cache_dir is not None:
        return Path(cfg.cache_dir).expanduser() / "data"
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "ilora-diag" / "data"


def _cache_key(files: tuple[SourceFile, ...], cfg: DataConfig, compat: str) -> str:
    options = (cfg.min_rating, cfg.max_history, cfg.min_history, cfg.holdout, compat)
    content = [(file.name, file.sha256) for file in files]
    text = json.dumps([VERSION, _READERS_VERSION, cfg.source, options, content])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _build(
    reader: Reader, paths: tuple[Path, ...], files: tuple[SourceFile, ...], cfg: DataConfig, compat: str
) -> SequenceData:
    report = Report()
    reading = reader.read(paths, cfg, compat, report)
    body, catalogue = reading.body, reading.catalogue
    if isinstance(body, Interactions):
        splits = last_n_split(body, catalogue, cfg, report)
    else:
        splits = _fit(body, catalogue, cfg, report)
    _require_rows(splits, cfg, report)
    manifest = Manifest(
        source=cfg.source,
        licence=reading.licence or reader.licence,
        files=files,
        num_users=splits.num_users,
        num_items=catalogue.num_items,
        num_interactions=splits.num_interactions,
        num_rows=splits.row_counts,
        num_bad_rows=report.num_bad_rows,
        bad_rows=tuple(report.bad_rows),
        notes=tuple(report.notes),
    )
    return SequenceData(catalogue, splits.train, splits.val, splits.test, manifest)


def _fit_canonical(cfg: DataConfig) -> SequenceData:
    """A canonical folder, brought to this configuration's history; its manifest still names the original source."""
    data = read_canonical(required_path(cfg, "a folder written by ilora.data.store.write_canonical"))
    known, report = data.manifest, Report()
    given = Splits(data.train, data.val, data.test, known.num_users, known.num_interactions)
    splits = _fit(given, data.catalogue, cfg, report)
    _require_rows(splits, cfg, report)
    notes = (*known.notes, *report.notes)
    manifest = replace(known, num_rows=splits.row_counts, notes=notes)
    return SequenceData(data.catalogue, splits.train, splits.val, splits.test, manifest)


def _fit(splits: Splits, catalogue: Catalogue, cfg: DataConfig, report: Report) -> Splits:
    """Ready splits under this configuration; what it asks for in vain is noted."""
    if cfg.holdout != 1:
        report.note(f"the source comes split: data.holdout={cfg.holdout} has no effect")
    if cfg.min_rating > 0:
        report.note(f"the source comes as sequences: data.min_rating={cfg.min_rating:g} has no effect")
    return fit_splits(splits, catalogue, cfg, report)


def _require_rows(splits: Splits, cfg: DataConfig, report: Report) -> None:
    counts = splits.row_counts
    if counts.train + counts.val + counts.test == 0:
        reasons = "; ".join([*report.notes, report.first_reasons()]).strip("; ")
        raise DataError(
            f"data.source={cfg.source}, data.path={cfg.path}: no usable row ({reasons or 'the source is empty'}). "
            f"A user needs more than data.min_history={cfg.min_history} interactions"
        )
