"""From the rows of a title file to a catalogue in which every item has a title of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ilora.data.readers.base import Report, dense_ids
from ilora.data.records import Catalogue
from ilora.data.titles import movie_title, one_line, reference_movie_title, unique_titles


@dataclass(frozen=True, slots=True)
class TitleRows:
    """Which item is called what.

    Attributes:
        file: where it is written, without folder.
        lines: (M,) line of each row.
        names: (M,) the source's names of the items.
        titles: (M,) as written; blank where missing.
    """

    file: str
    lines: Sequence[int]
    names: Sequence[str]
    titles: Sequence[str]


def name_items(rows: TitleRows, report: Report, *, movies: bool, compat: str) -> tuple[Catalogue, dict[str, int]]:
    """Number the items and clean their titles.

    A name that stands twice keeps its first title, and the second row is reported. An item without a title stays
    in the catalogue as "item <name>", so that ids and recommender checkpoints keep matching, and is reported.

    Args:
        rows: the title file.
        report: receives the rows that are not used as they stand.
        movies: titles are in MovieLens form, "Postman, The (1994)".
        compat: reference: the release's clean-up, mistakes included.

    Returns:
        The catalogue, and the id of each name.
    """
    row_of: dict[str, int] = {}
    for row, name in enumerate(rows.names):
        if name in row_of:
            first = rows.lines[row_of[name]]
            report.bad(rows.file, rows.lines[row], f"item {name!r} has been named before, in line {first}")
        else:
            row_of[name] = row
    _, names = dense_ids(list(row_of))
    titles = [rows.titles[row_of[name]] for name in names]
    for name in names:
        if not rows.titles[row_of[name]].strip():
            report.bad(rows.file, rows.lines[row_of[name]], untitled_reason(name))
    catalogue = make_catalogue(names, titles, report, movies=movies, compat=compat)
    return catalogue, {name: item for item, name in enumerate(names)}


def untitled_reason(name: str) -> str:
    """What the report says of an item without a title."""
    return f"item {name!r} has no title: it is called 'item {name}'"


def make_catalogue(
    names: Sequence[str], titles: Sequence[str], report: Report, *, movies: bool, compat: str
) -> Catalogue:
    """Clean titles given in item order; a blank one becomes "item <name>"."""
    given = [title if title.strip() else f"item {name}" for name, title in zip(names, titles, strict=True)]
    if compat == "reference":
        return Catalogue(tuple(map(reference_movie_title, given)) if movies else tuple(map(str.strip, given)))
    cleaned = [movie_title(title) if movies else (one_line(title), "") for title in given]
    unique, num_changed = unique_titles([title for title, _ in cleaned], [year for _, year in cleaned])
    if num_changed:
        report.note(f"{num_changed} titles were not unique: they got their year or a number")
    return Catalogue(unique)
