"""The data sets of the papers and ml-100k itself, against counts known from elsewhere."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ilora.data import RowCounts, SequenceData
from ilora.data.readers.frame import read_frame

Load = Callable[..., SequenceData]


@pytest.mark.data
def test_lastfm_has_the_rows_of_the_release(shared_data: Path, load: Load) -> None:
    data = load("ilora", shared_data / "lastfm")

    assert data.manifest.num_rows == RowCounts(train=47_872, val=122, test=122)
    assert data.catalogue.num_items == data.catalogue.pad_id == 4606
    assert data.manifest.num_bad_rows == 0
    # 976 training users begin with a row of padding; val and test have a row a user
    assert data.manifest.num_users == 976 + 122 + 122
    assert len(read_frame(shared_data / "lastfm" / "train_data.df")["seq"]) == 50_800
    assert data.catalogue.titles[0] == "Morcheeba"


@pytest.mark.data
def test_movielens_has_the_rows_of_the_release(shared_data: Path, load: Load) -> None:
    data = load("ilora", shared_data / "movielens")
    reference = load("ilora", shared_data / "movielens", compat="reference")

    assert data.manifest.num_rows == RowCounts(train=0, val=94, test=95)
    assert data.catalogue.num_items == 1682
    assert (reference.val, reference.test) == (data.val, data.test)
    assert len(set(data.catalogue.titles)) == 1682
    assert data.catalogue.titles[266] == "unknown"
    assert "An Affair to Remember" in data.catalogue.titles
    # quirk Q16
    assert reference.catalogue.titles[266] == ""
    assert "A Affair to Remembern" in reference.catalogue.titles
    assert sum(count - 1 for count in Counter(reference.catalogue.titles).values()) == 23


@pytest.mark.data
def test_steam_has_the_rows_of_the_release(shared_data: Path, load: Load) -> None:
    data = load("ilora", shared_data / "steam")
    reference = load("ilora", shared_data / "steam", compat="reference")

    assert data.manifest.num_rows == RowCounts(train=0, val=0, test=1186)
    assert len(read_frame(shared_data / "steam" / "Test_data.df")["seq"]) == 1194
    assert data.catalogue.num_items == 3581
    assert data.catalogue.titles[354] == "Depths of Fear :: Knossos"
    assert reference.catalogue.titles[354] == "Depths of Fear"
    assert [note for note in data.manifest.notes if "is not there" in note] == [
        "train_data.df is not there: the train split is empty",
        "Val_data.df is not there: the val split is empty",
    ]


@pytest.mark.data
@pytest.mark.parametrize("name", ["lastfm", "movielens", "steam"])
def test_no_target_of_the_release_stands_in_its_history(shared_data: Path, load: Load, name: str) -> None:
    data = load("ilora", shared_data / name)

    assert not any("own history" in note for note in data.manifest.notes)
    for rows in (data.train, data.val, data.test):
        assert not (rows.history == rows.targets[:, None]).any()


@pytest.fixture
def ml100k(load: Load) -> SequenceData:
    if importlib.util.find_spec("recbole") is None:
        pytest.skip("the RecBole wheel is not installed: pip install --no-deps recbole==1.2.1")
    return load("ml-100k")


def test_ml_100k_has_the_counts_grouplens_states(ml100k: SequenceData) -> None:
    manifest = ml100k.manifest

    assert (manifest.num_users, manifest.num_items, manifest.num_interactions) == (943, 1682, 100_000)
    # each user's first three choices have too short a history
    assert manifest.num_rows == RowCounts(train=100_000 - 943 * (3 + 2), val=943, test=943)
    assert manifest.num_bad_rows == 0
    assert len(set(map(str.casefold, ml100k.catalogue.titles))) == 1682
    assert ml100k.catalogue.titles[63] == "The Shawshank Redemption"


def test_ml_100k_is_the_file_the_facts_describe(ml100k: SequenceData) -> None:
    files = {file.name: (file.num_bytes, file.sha256) for file in ml100k.manifest.files}

    assert files == {
        "ml-100k.inter": (1_979_230, "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"),
        "ml-100k.item": (66_632, "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"),
    }


@pytest.mark.data
def test_ml_100k_numbers_items_as_the_release_s_movielens_does(
    ml100k: SequenceData, shared_data: Path, load: Load
) -> None:
    """A recommender trained on one serves the other."""
    release = load("ilora", shared_data / "movielens").catalogue.titles

    same = np.mean([ours == theirs for ours, theirs in zip(ml100k.catalogue.titles, release, strict=True)])

    assert same > 0.99  # RecBole misspells one title and cuts a few
