"""ml-100k as the RecBole wheel ships it: read from site-packages, never imported, never copied.

RecBole is not imported because its import pulls in a training stack; `find_spec` finds the folder without running
anything of the package. The data stays where pip put it, since its licence forbids passing it on.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from ilora.config import DataConfig
from ilora.data.errors import DataError
from ilora.data.readers.base import Reader, Reading, Report, required_path
from ilora.data.readers.movielens import LICENCE, read_movies
from ilora.data.readers.text import TextTable, header_of, read_text, split_lines, tabulate

INSTALL_COMMAND = "pip install --no-deps recbole==1.2.1"
_YEAR = re.compile(r"\d{4}")
_RENAMED = {"user_id": "user", "item_id": "item", "movie_title": "title", "release_year": "year"}


def _find_files(cfg: DataConfig) -> tuple[Path, ...]:
    folder = _packaged_folder() if cfg.path is None else required_path(cfg, "a folder with ml-100k.inter, ml-100k.item")
    files = folder / "ml-100k.inter", folder / "ml-100k.item"
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: there is no such file. It comes with {INSTALL_COMMAND}")
    return files


def _packaged_folder() -> Path:
    spec = importlib.util.find_spec("recbole")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "data.source=ml-100k reads the copy inside the RecBole wheel, which is not installed. "
            f"Type: {INSTALL_COMMAND}"
        )
    return Path(spec.submodule_search_locations[0]) / "dataset_example" / "ml-100k"


def _read(files: tuple[Path, ...], cfg: DataConfig, compat: str, report: Report) -> Reading:
    ratings = _read_atomic(files[0], ("user_id", "item_id", "rating", "timestamp"), report)
    titles = _read_atomic(files[1], ("item_id", "movie_title", "release_year"), report)
    titles.columns["title"] = [
        _with_year(title, year) for title, year in zip(titles.columns["title"], titles.columns["year"], strict=True)
    ]
    return read_movies(ratings, titles, cfg, compat, report)


def _read_atomic(path: Path, required: Sequence[str], report: Report) -> TextTable:
    """A RecBole "atomic file": tabs, a typed header (`rating:float`), quotes that mean nothing."""
    text = read_text(path, "utf-8", f"a header line with {', '.join(required)}, tabs between")
    records = split_lines(text, "\t")
    names = [_RENAMED.get(name, name) for name in header_of(records, path, required)]
    return tabulate(records, path, names, report)


def _with_year(title: str, year: str) -> str:
    """The title as MovieLens writes it. RecBole cut titles at their last parentheses; one year is a left-over "V"."""
    return f"{title} ({year})" if title.strip() and _YEAR.fullmatch(year) else title


READER = Reader(LICENCE, _find_files, _read)
