"""MovieLens raw files: ratings.dat + movies.dat, ratings.csv + movies.csv, or u.data + u.item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ilora.config import DataConfig
from ilora.data.errors import DataError
from ilora.data.readers.base import Reader, Reading, Report, required_path
from ilora.data.readers.catalogue import TitleRows, name_items
from ilora.data.readers.log import InteractionLog, interactions_from
from ilora.data.readers.text import Record, TextTable, header_of, read_text, split_csv, split_lines, tabulate

LICENCE = (
    "GroupLens MovieLens: research use, not commercial, no redistribution without permission; cite Harper and "
    "Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015"
)
_RATING_COLUMNS = ("user", "item", "rating", "timestamp")
_U_ITEM_COLUMNS = ("item", "title", "rest")


@dataclass(frozen=True, slots=True)
class _Layout:
    ratings: str
    titles: str
    read_ratings: Callable[[Path, Report], TextTable]
    read_titles: Callable[[Path, Report], TextTable]


def read_u_item(path: Path, report: Report) -> TextTable:
    """Columns item, title, rest of a u.item file: latin-1, fields between vertical bars, no header."""
    text = read_text(path, "latin-1", "lines id|title (year)|...")
    return tabulate(split_lines(text, "|", 2), path, _U_ITEM_COLUMNS, report)


def _read_ratings_dat(path: Path, report: Report) -> TextTable:
    text = read_text(path, "latin-1", "lines user::movie::rating::timestamp")
    return tabulate(split_lines(text, "::"), path, _RATING_COLUMNS, report)


def _read_movies_dat(path: Path, report: Report) -> TextTable:
    text = read_text(path, "latin-1", "lines movie::title (year)::genres")
    return tabulate(_title_between_ends(split_lines(text, "::")), path, ("item", "title", "genres"), report)


def _title_between_ends(records: Iterator[Record]) -> Iterator[Record]:
    """A title may hold the separator; the id before it and the genres behind it cannot."""
    for line, fields in records:
        yield line, [fields[0], "::".join(fields[1:-1]), fields[-1]] if len(fields) > 3 else fields


def _read_u_data(path: Path, report: Report) -> TextTable:
    text = read_text(path, "latin-1", "lines user, item, rating, timestamp with tabs between")
    return tabulate(split_lines(text, "\t"), path, _RATING_COLUMNS, report)


def _read_csv(required: tuple[str, ...], rename: dict[str, str]) -> Callable[[Path, Report], TextTable]:
    def read(path: Path, report: Report) -> TextTable:
        text = read_text(path, "utf-8-sig", f"a header line {','.join(required)}")
        records = split_csv(text, path, ",", report)
        names = [rename.get(name, name) for name in header_of(records, path, required)]
        return tabulate(records, path, names, report)

    return read


_LAYOUTS = (
    _Layout("ratings.dat", "movies.dat", _read_ratings_dat, _read_movies_dat),
    _Layout(
        "ratings.csv",
        "movies.csv",
        _read_csv(("userid", "movieid", "rating", "timestamp"), {"userid": "user", "movieid": "item"}),
        _read_csv(("movieid", "title"), {"movieid": "item"}),
    ),
    _Layout("u.data", "u.item", _read_u_data, read_u_item),
)


def _find_files(cfg: DataConfig) -> tuple[Path, ...]:
    pairs = ", ".join(f"{layout.ratings} + {layout.titles}" for layout in _LAYOUTS)
    folder = required_path(cfg, f"a MovieLens folder with {pairs}")
    for layout in _LAYOUTS:
        ratings, titles = folder / layout.ratings, folder / layout.titles
        if ratings.is_file() and titles.is_file():
            return ratings, titles
    raise DataError(f"{folder}: is no MovieLens folder. Expected one of: {pairs}. Type data.path=FOLDER")


def _read(files: tuple[Path, ...], cfg: DataConfig, compat: str, report: Report) -> Reading:
    ratings, titles = files
    layout = next(layout for layout in _LAYOUTS if layout.ratings == ratings.name)
    return read_movies(layout.read_ratings(ratings, report), layout.read_titles(titles, report), cfg, compat, report)


def read_movies(ratings: TextTable, titles: TextTable, cfg: DataConfig, compat: str, report: Report) -> Reading:
    """Join a table of ratings (user, item, rating, timestamp) with one of titles (item, title)."""
    rows = TitleRows(titles.file, titles.lines, titles.columns["item"], titles.columns["title"])
    catalogue, item_ids = name_items(rows, report, movies=True, compat=compat)
    columns = ratings.columns
    log = InteractionLog(
        ratings.file, ratings.lines, columns["user"], columns["item"], columns["timestamp"], columns["rating"]
    )
    return Reading(catalogue, interactions_from(log, item_ids, titles.file, cfg, report))


READER = Reader(LICENCE, _find_files, _read)
