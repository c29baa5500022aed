"""Release folders: .df files with id2name.txt or u.item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ilora.data import BadRow, DataError, RowCounts, SequenceData

Load = Callable[..., SequenceData]


def test_rows_with_enough_history_are_used_as_they_come(release: Path, load: Load) -> None:
    data = load("ilora", release, max_history=4)

    assert data.manifest.num_rows == RowCounts(train=2, val=1, test=1)
    assert data.train.history.tolist() == [[0, 1, 2, 6], [0, 1, 2, 3]]
    assert data.train.lengths.tolist() == [3, 4]
    assert data.train.targets.tolist() == [3, 4]
    assert data.catalogue.titles[2] == "Artist 2"
    assert data.catalogue.pad_id == 6


def test_users_are_told_apart_by_where_a_history_stops_growing(release: Path, load: Load) -> None:
    data = load("ilora", release, min_history=1)

    # two users in train, one in val, two in test; their rows show 5 + 2, 4, 4 + 3 interactions
    assert data.train.users.tolist() == [0, 0, 0, 0, 1]
    assert data.val.users.tolist() == [2]
    assert data.test.users.tolist() == [3, 4]
    assert data.manifest.num_users == 5
    assert data.manifest.num_interactions == 18


def test_short_and_empty_histories_are_counted(release: Path, load: Load) -> None:
    notes = load("ilora", release).manifest.notes

    assert "train: 5 rows with a history shorter than data.min_history=3 are left out, 2 of them with none" in notes
    assert "test: 1 rows with a history shorter than data.min_history=3 are left out, 0 of them with none" in notes


def test_a_longer_history_keeps_its_newest_items(release: Path, load: Load) -> None:
    data = load("ilora", release, max_history=3)

    assert data.train.history.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert data.train.max_history == 3


def test_a_missing_split_is_empty_and_noted(release: Path, load: Load) -> None:
    (release / "Val_data.df").unlink()

    data = load("ilora", release)

    assert len(data.val) == 0
    assert data.val.max_history == 10
    assert "Val_data.df is not there: the val split is empty" in data.manifest.notes


def test_entries_with_ratings_are_read_by_their_item(tmp_path: Path, pickles: SimpleNamespace, load: Load) -> None:
    rows = [[(pickles.scalar(0), pickles.scalar(5)), (1, 3), (2, 4), (4, 0)]]
    (tmp_path / "Test_data.df").write_bytes(pickles.frame_bytes(rows, [3], [(pickles.scalar(3), pickles.scalar(4))]))
    lines = ["Toy Story (1995)", "Postman, The (1994)", "unknown", "An (1990)"]
    item_file = "".join(f"{number}|{title}|x||\n" for number, title in enumerate(lines, start=1))
    (tmp_path / "u.item").write_bytes(item_file.encode("latin-1"))

    data = load("ilora", tmp_path, max_history=4)

    assert data.test.history.tolist() == [[0, 1, 2, 4]]
    assert data.test.targets.tolist() == [3]
    assert data.catalogue.titles == ("Toy Story", "The Postman", "unknown", "An")
    assert load("ilora", tmp_path, compat="reference").catalogue.titles[2] == ""
    assert "GroupLens" in data.manifest.licence


def test_a_name_may_hold_the_separator_which_the_reference_cuts_off(release: Path, load: Load) -> None:
    names = (release / "id2name.txt").read_text().replace("Artist 3", "Depths :: Knossos")
    (release / "id2name.txt").write_text(names)

    assert load("ilora", release).catalogue.titles[3] == "Depths :: Knossos"
    assert load("ilora", release, compat="reference").catalogue.titles[3] == "Depths"


def test_an_item_without_title_is_reported_and_keeps_its_id(release: Path, load: Load) -> None:
    (release / "id2name.txt").write_text("0::A\n1::\n\n2::C\nx::D\n2::E\n4::F\n")

    data = load("ilora", release)

    assert data.catalogue.titles == ("A", "item 1", "C", "item 3", "F", "item 5")
    assert data.manifest.num_bad_rows == 5
    assert set(data.manifest.bad_rows) == {
        BadRow("id2name.txt", 2, "item '1' has no title: it is called 'item 1'"),
        BadRow("id2name.txt", 5, "item id 'x' is not a number from 0 to 1012"),
        BadRow("id2name.txt", 6, "item '2' has been named before, in line 4"),
        BadRow("id2name.txt", 0, "item '3' has no title: it is called 'item 3'"),
        BadRow("id2name.txt", 0, "item '5' has no title: it is called 'item 5'"),
    }


def test_a_line_without_separator_is_reported(release: Path, load: Load) -> None:
    (release / "id2name.txt").write_text("0::A\nno separator\n2::C\n")

    bad = load("ilora", release).manifest.bad_rows[0]

    assert bad == BadRow("id2name.txt", 2, "1 fields instead of 2 (item, title)")


def test_rows_that_name_no_item_are_reported_by_number(release: Path, pickles: SimpleNamespace, load: Load) -> None:
    good = [[0, 1, 2, 6]]
    rows = good * 3 + [[0, 77, 2, 6], [0, None, 2, 6], [0, 1, 2], 5]
    content = pickles.frame_bytes(rows, [3, 9, 3, 3, 3, 3, 3], [3, 3, 6, 3, 3, 3, 3])
    (release / "Test_data.df").write_bytes(content)

    data = load("ilora", release)

    assert len(data.test) == 2  # the first row, and the shorter one whose three items are all there
    reasons = {row.line: row.reason for row in data.manifest.bad_rows}
    assert reasons == {
        2: "len_seq is not a number from 0 to 4",
        3: "next holds something that is not one of the 6 items",
        4: "seq holds something that is not one of the 6 items",
        5: "seq holds something that is not one of the 6 items",
        7: "seq holds something that is not one of the 6 items",
    }


def test_a_target_inside_its_history_is_left_out_and_counted(
    release: Path, pickles: SimpleNamespace, load: Load
) -> None:
    (release / "Test_data.df").write_bytes(pickles.frame_bytes([[0, 1, 2, 6], [0, 1, 2, 6]], [3, 3], [1, 4]))

    data = load("ilora", release)

    assert data.test.targets.tolist() == [4]
    assert "test: 1 rows are left out because the target stands in its own history" in data.manifest.notes


def test_keys_that_cannot_act_on_ready_splits_are_noted(release: Path, load: Load) -> None:
    notes = load("ilora", release, holdout=2, min_rating=3).manifest.notes

    assert "the source comes split: data.holdout=2 has no effect" in notes
    assert "the source comes as sequences: data.min_rating=3 has no effect" in notes


def test_a_frame_without_a_column_names_it(release: Path, pickles: SimpleNamespace, load: Load) -> None:
    (release / "Test_data.df").write_bytes(pickles.assemble(pickles.frame({"seq": [[0]], "next": np.array([1])})))

    with pytest.raises(DataError, match=r"Test_data\.df: has no column len_seq\. Required: seq, len_seq, next"):
        load("ilora", release)


@pytest.mark.parametrize(("removed", "missing"), [("id2name.txt", "no title file"), ("*.df", "no .df file")])
def test_a_folder_that_is_no_release_says_what_is_missing(
    release: Path, load: Load, removed: str, missing: str
) -> None:
    for path in release.glob(removed):
        path.unlink()

    with pytest.raises(DataError, match=missing):
        load("ilora", release)


def test_no_path_and_no_such_path_say_what_to_type(tmp_path: Path, load: Load) -> None:
    with pytest.raises(DataError, match=r"data\.source=ilora needs a folder .* Type data\.path="):
        load("ilora")
    with pytest.raises(DataError, match=r"data\.path=.*nowhere: there is no such file or folder"):
        load("ilora", tmp_path / "nowhere")


def test_nothing_usable_is_an_error_that_says_why(release: Path, load: Load) -> None:
    with pytest.raises(DataError, match=r"no usable row .*shorter than data\.min_history=9"):
        load("ilora", release, min_history=9)
