"""Item titles."""

from __future__ import annotations

import pytest

from ilora.data.titles import movie_title, one_line, reference_movie_title, unique_titles


@pytest.mark.parametrize(
    ("raw", "title", "year"),
    [
        ("Toy Story (1995)", "Toy Story", "1995"),
        ("Shawshank Redemption, The (1994)", "The Shawshank Redemption", "1994"),
        ("Affair to Remember, An (1957)", "An Affair to Remember", "1957"),
        ("Postman, The (Postino, Il) (1994)", "The Postman (Il Postino)", "1994"),
        ("Enfer, L' (1994)", "L'Enfer", "1994"),
        ("Paris, Texas (1984)", "Paris, Texas", "1984"),
        ("Corrina, Corrina (1994)", "Corrina, Corrina", "1994"),
        ("Seven (Se7en) (1995)", "Seven (Se7en)", "1995"),
        ("Land Before Time III (1995) (V)", "Land Before Time III", "1995"),
        ("Some Series (2005-2007)", "Some Series", "2005"),
        ("unknown", "unknown", ""),
        ("(1999)", "(1999)", ""),
        ("Two\nLines  (1990)", "Two Lines", "1990"),
    ],
)
def test_a_movie_title_reads_naturally_and_is_never_emptied(raw: str, title: str, year: str) -> None:
    assert movie_title(raw) == (title, year)


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("Affair to Remember, An (1957)", "A Affair to Remembern"),
        ("Shawshank Redemption, The (1994)", "The Shawshank Redemption"),
        ("unknown", ""),
        ("Toy Story (1995)", "Toy Story"),
    ],
)
def test_the_reference_clean_up_repeats_quirk_16(raw: str, title: str) -> None:
    assert reference_movie_title(raw) == title


def test_equal_titles_get_their_year_and_then_a_number() -> None:
    titles, num_changed = unique_titles(["Heat", "Alone", "heat", "Solo", "Solo"], ["1986", "", "1995", "", ""])

    assert titles == ("Heat (1986)", "Alone", "heat (1995)", "Solo", "Solo #2")
    assert num_changed == 3


def test_a_number_or_a_year_never_makes_a_title_that_is_taken() -> None:
    titles, _ = unique_titles(["Solo", "Solo #2", "Solo", "Heat", "Heat (1995)", "Heat"], ["", "", "", "1995", "", ""])

    assert len({title.casefold() for title in titles}) == 6
    assert titles[1] == "Solo #2"


def test_titles_stay_on_one_line() -> None:
    assert one_line(" a\tb\r\n c ") == "a b c"
