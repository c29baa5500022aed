"""Plain tables: CSV, TSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ilora.data import BadRow, DataError, SequenceData

Load = Callable[..., SequenceData]

ITEMS = ("ape", "bee", "cat", "dog", "eel")
COLUMNS: dict[str, list[Any]] = {
    "user": ["zoe"] * 5 + ["amy"] * 5,
    "item": [*ITEMS, *reversed(ITEMS)],
    "timestamp": [*range(5), *range(5)],
    "title": [name.title() for name in (*ITEMS, *reversed(ITEMS))],
}


def write_csv(path: Path, columns: dict[str, list[Any]] = COLUMNS, separator: str = ",") -> Path:
    lines = [separator.join(columns)]
    lines += [separator.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_parquet(path: Path, columns: dict[str, Any] = COLUMNS) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_csv(folder / "log.csv"),
        lambda folder: write_csv(folder / "log.tsv", separator="\t"),
        lambda folder: write_parquet(folder / "log.parquet"),
    ],
)
def test_every_form_of_a_table_gives_the_same_data(tmp_path: Path, load: Load, write: Callable[[Path], Path]) -> None:
    data = load("table", write(tmp_path), max_history=4)

    # users and items are numbered in sorted order: amy 0, zoe 1
    assert data.catalogue.titles == ("Ape", "Bee", "Cat", "Dog", "Eel")
    assert data.test.history.tolist() == [[4, 3, 2, 1], [0, 1, 2, 3]]
    assert data.test.targets.tolist() == [0, 4]
    assert data.manifest.num_bad_rows == 0
    assert data.manifest.files[0].num_bytes > 0


def test_the_order_of_the_rows_changes_nobodys_number(tmp_path: Path, load: Load) -> None:
    backwards = {name: values[::-1] for name, values in COLUMNS.items()}

    first = load("table", write_csv(tmp_path / "a.csv"))
    second = load("table", write_csv(tmp_path / "b.csv", backwards))

    assert first.test == second.test
    assert first.catalogue == second.catalogue


def test_line_numbers_are_right_after_quoted_line_breaks(tmp_path: Path, load: Load) -> None:
    path = write_csv(tmp_path / "log.csv")
    with path.open("a", encoding="utf-8") as file:
        file.write('amy,"fox",9,"Fox\nin two lines"\n')  # lines 12 and 13
        file.write("amy,ape,later,Ape\n")  # 14
        file.write('amy,ape,1,"Ape"x\n')  # 15
        file.write("\n")
        file.write("amy,ape\n")  # 17

    data = load("table", path)

    assert data.catalogue.titles[5] == "Fox in two lines"
    assert {row.line: row.reason for row in data.manifest.bad_rows} == {
        14: "timestamp 'later' is not a number",
        15: "not CSV: ',' expected after '\"'",
        17: "2 fields instead of 4 (user, item, timestamp, title)",
    }


def test_a_quote_that_is_never_closed_is_an_error_at_its_line(tmp_path: Path, load: Load) -> None:
    path = write_csv(tmp_path / "log.csv")
    content = path.read_text().replace("Cat", '"Cat', 1)
    path.write_text(content)

    with pytest.raises(DataError, match=r"log\.csv:4: a quote is opened and never closed"):
        load("table", path)


def test_an_item_without_title_is_reported_and_named_by_its_id(tmp_path: Path, load: Load) -> None:
    columns = COLUMNS | {"title": ["Ape", " ", "Cat", "Dog", "Eel", "Eel", "Dog", "Cat", "", "Ape"]}

    data = load("table", write_csv(tmp_path / "log.csv", columns))

    assert data.catalogue.titles == ("Ape", "item bee", "Cat", "Dog", "Eel")
    assert data.manifest.bad_rows == (BadRow("log.csv", 3, "item 'bee' has no title: it is called 'item bee'"),)
    assert data.manifest.num_interactions == 10  # its interactions count


def test_a_title_given_once_is_enough_and_the_first_one_stands(tmp_path: Path, load: Load) -> None:
    columns = COLUMNS | {"title": ["", "Bee", "Cat", "Dog", "Eel", "Eel!", "Dog", "Cat", "Bee", "Ape"]}

    data = load("table", write_csv(tmp_path / "log.csv", columns))

    assert data.catalogue.titles == ("Ape", "Bee", "Cat", "Dog", "Eel")
    assert data.manifest.num_bad_rows == 0
    assert "1 rows give another title for their item than an earlier row: the first one stands" in data.manifest.notes


def test_ratings_are_optional_and_filter_where_they_are(tmp_path: Path, load: Load) -> None:
    without = load("table", write_csv(tmp_path / "a.csv"), min_rating=4)
    rated = COLUMNS | {"rating": [5] * 5 + [1.5] * 5}
    with_ratings = load("table", write_csv(tmp_path / "b.csv", rated), min_rating=4)

    assert "a.csv has no ratings: data.min_rating=4 has no effect" in without.manifest.notes
    assert with_ratings.manifest.num_users == 1


def test_columns_may_come_in_any_order_case_and_company(tmp_path: Path, load: Load) -> None:
    shuffled = {"Extra": [0] * 10, "Title": COLUMNS["title"], "TIMESTAMP": COLUMNS["timestamp"]}
    shuffled |= {"Item": COLUMNS["item"], "User": COLUMNS["user"]}

    csv_data = load("table", write_csv(tmp_path / "a.csv", shuffled))
    parquet_data = load("table", write_parquet(tmp_path / "a.parquet", shuffled))

    assert csv_data.test == parquet_data.test == load("table", write_csv(tmp_path / "b.csv")).test


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_missing_column_is_named_with_what_is_there(tmp_path: Path, load: Load, write: Callable[..., Path]) -> None:
    columns = {name: values for name, values in COLUMNS.items() if name != "title"}
    path = write(tmp_path / ("log.csv" if write is write_csv else "log.parquet"), columns)

    with pytest.raises(DataError, match=r"has no column title\. Required: .*; found: user, item, timestamp\. Rename"):
        load("table", path)


def test_a_column_that_stands_twice_is_refused(tmp_path: Path, load: Load) -> None:
    path = write_csv(tmp_path / "log.csv", COLUMNS | {"User": COLUMNS["user"]})

    with pytest.raises(DataError, match="column user stands twice"):
        load("table", path)


def test_parquet_types_of_ids_and_times_are_understood(tmp_path: Path, load: Load) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    columns = {
        "user": pa.array([2] * 5 + [10] * 5, pa.int32()),
        "item": pa.array(COLUMNS["item"]).dictionary_encode(),
        "timestamp": pa.array([start + timedelta(seconds=time) for time in COLUMNS["timestamp"]], pa.timestamp("ms")),
        "title": pa.array(COLUMNS["title"], pa.large_string()),
    }

    data = load("table", write_parquet(tmp_path / "log.parquet", columns), max_history=4)

    assert data.test.targets.tolist() == [4, 0]
    assert data.test.users.tolist() == [0, 1]


def test_missing_values_in_parquet_are_reported_by_row(tmp_path: Path, load: Load) -> None:
    columns = {name: list(values) for name, values in COLUMNS.items()}
    columns["timestamp"][1] = None
    columns["user"][2] = None
    columns["item"][3] = None

    data = load("table", write_parquet(tmp_path / "log.parquet", columns))

    assert {row.line: row.reason for row in data.manifest.bad_rows} == {
        2: "timestamp '' is not a number",
        3: "no user",
        4: "no item",
    }


@pytest.mark.parametrize("keep", [0, 3, 200])
def test_a_truncated_parquet_file_says_so(tmp_path: Path, load: Load, keep: int) -> None:
    path = write_parquet(tmp_path / "log.parquet")
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match=r"log\.parquet: is no complete Parquet file .* write it again"):
        load("table", path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", "", "is empty"),
        ("log.csv", "user,item,timestamp,title\n", "has no usable row below its header"),
        ("log.csv", "user,item,timestamp,title\n1,2\n", r"log\.csv:2: 2 fields instead of 4"),
    ],
)
def test_a_table_without_rows_says_what_was_expected(
    tmp_path: Path, load: Load, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)

    with pytest.raises(DataError, match=message):
        load("table", tmp_path / name)


def test_an_empty_parquet_table_says_so(tmp_path: Path, load: Load) -> None:
    path = write_parquet(tmp_path / "log.parquet", {name: values[:0] for name, values in COLUMNS.items()})

    with pytest.raises(DataError, match="has no row"):
        load("table", path)


def test_a_folder_is_no_table(tmp_path: Path, load: Load) -> None:
    with pytest.raises(DataError, match=r"is a folder\. Expected: a CSV or Parquet file"):
        load("table", tmp_path)


def test_numbers_too_large_for_64_bits_are_reported(tmp_path: Path, load: Load) -> None:
    columns = COLUMNS | {"timestamp": [*range(9), 10**30]}

    data = load("table", write_csv(tmp_path / "log.csv", columns))

    assert data.manifest.bad_rows[0].line == 11
    assert data.manifest.num_bad_rows == 1
