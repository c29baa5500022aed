"""From the columns of a log to interactions: parse, check every row, report those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ilora.config import DataConfig
from ilora.data.errors import DataError
from ilora.data.readers.base import Interactions, Mask, Report, Times, dense_ids
from ilora.data.readers.text import parse_numbers
from ilora.data.records import IntArray

Column: TypeAlias = Sequence[Any] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class InteractionLog:
    """The columns of a log as they stand in the file, text or numbers; empty text where a value is missing.

    Attributes:
        file: name of the file, without its folder.
        lines: (M,) line or row number each row is reported under.
        users: (M,) names.
        items: (M,) names.
        timestamps: (M,) numbers, possibly as text.
        ratings: (M,) likewise; None where the source has none.
    """

    file: str
    lines: Sequence[int] | IntArray
    users: Column
    items: Column
    timestamps: Column
    ratings: Column | None


@dataclass(frozen=True, slots=True)
class _Problem:
    rows: Mask
    reason: Callable[[int], str]


def interactions_from(
    log: InteractionLog, item_ids: Mapping[str, int], titles_file: str, cfg: DataConfig, report: Report
) -> Interactions:
    """The usable rows of a log, in file order.

    Args:
        log: the columns.
        item_ids: name of an item -> its id in the catalogue.
        titles_file: where the catalogue comes from, for the reports.
        cfg: `min_rating` is applied here.
        report: receives the rows that cannot be used.

    Raises:
        DataError: no row can be used.
    """
    items = np.fromiter((item_ids.get(str(name), -1) for name in log.items), dtype=np.int64, count=len(log.items))
    times, time_known = parse_numbers(log.timestamps)
    problems = [
        _Problem(_is_blank(log.users), lambda row: "no user"),
        _Problem(items < 0, lambda row: _unknown_item(str(log.items[row]), titles_file)),
        _Problem(~time_known, lambda row: f"timestamp {str(log.timestamps[row])!r} is not a number"),
        _Problem(time_known & (times < 0), lambda row: f"timestamp {log.timestamps[row]} is negative"),
    ]
    ratings = None
    if log.ratings is not None:
        column = log.ratings
        ratings, rating_known = parse_numbers(column)
        problems.append(_Problem(~rating_known, lambda row: f"rating {str(column[row])!r} is not a number"))
    good = ~_report_problems(problems, log, report)
    if not good.any():
        raise DataError(f"{log.file}: none of its {len(good)} rows can be used ({report.first_reasons()})")
    good = _apply_min_rating(good, ratings, log.file, cfg, report)
    kept = np.flatnonzero(good)
    names = log.users[kept] if isinstance(log.users, np.ndarray) else [log.users[row] for row in kept.tolist()]
    users, _ = dense_ids(names)
    return Interactions(users=users, items=items[kept], timestamps=times[kept])


def _is_blank(names: Column) -> Mask:
    if isinstance(names, np.ndarray):
        return np.zeros(len(names), dtype=np.bool_)
    blank = {name for name in set(names) if not str(name).strip()}
    return np.fromiter((name in blank for name in names), dtype=np.bool_, count=len(names))


def _unknown_item(name: str, titles_file: str) -> str:
    return f"item {name!r} is not in {titles_file}" if name.strip() else "no item"


def _report_problems(problems: Sequence[_Problem], log: InteractionLog, report: Report) -> Mask:
    """Report the first problem of each bad row, in the order of the file; returns which rows are bad."""
    first = np.full(len(log.lines), len(problems))
    for index in reversed(range(len(problems))):
        first[problems[index].rows] = index
    bad: Mask = first < len(problems)
    for row in np.flatnonzero(bad).tolist():
        report.bad(log.file, log.lines[row], problems[first[row]].reason(row))
    return bad


def _apply_min_rating(good: Mask, ratings: Times | None, file: str, cfg: DataConfig, report: Report) -> Mask:
    if cfg.min_rating <= 0:
        return good
    if ratings is None:
        report.note(f"{file} has no ratings: data.min_rating={cfg.min_rating:g} has no effect")
        return good
    low: Mask = good & (ratings < cfg.min_rating)
    report.note(f"{int(low.sum())} interactions rated below data.min_rating={cfg.min_rating:g} are left out")
    kept: Mask = good & ~low
    if not kept.any():
        raise DataError(f"{file}: no interaction is rated {cfg.min_rating:g} or better. Lower data.min_rating")
    return kept
