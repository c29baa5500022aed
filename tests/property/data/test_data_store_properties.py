"""The canonical folder gives back what it was given, or refuses."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.data import BadRow, Catalogue, DataError, Manifest, RowCounts, SequenceData, Sequences, SourceFile
from ilora.data.store import content_sha256, read_canonical, write_canonical

# any text that UTF-8 can carry, so no lone surrogates
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def sequences(draw: st.DrawFn, num_items: int, width: int) -> Sequences:
    num_rows = draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = rng.integers(1, width, size=num_rows, endpoint=True)
    history = rng.integers(num_items, size=(num_rows, width))
    history[np.arange(width) >= lengths[:, None]] = num_items
    return Sequences(history, lengths, rng.integers(num_items, size=num_rows), rng.integers(2**40, size=num_rows))


@st.composite
def data_sets(draw: st.DrawFn) -> SequenceData:
    titles = tuple(draw(st.lists(texts, min_size=1, max_size=5)))
    width = draw(st.integers(1, 4))
    train, val, test = (draw(sequences(len(titles), width)) for _ in range(3))
    manifest = Manifest(
        source=draw(texts),
        licence=draw(texts),
        files=tuple(draw(st.lists(st.builds(SourceFile, texts, st.integers(0, 2**62), texts), max_size=2))),
        num_users=draw(st.integers(0, 2**40)),
        num_items=len(titles),
        num_interactions=draw(st.integers(0, 2**40)),
        num_rows=RowCounts(len(train), len(val), len(test)),
        num_bad_rows=draw(st.integers(0, 99)),
        bad_rows=tuple(draw(st.lists(st.builds(BadRow, texts, st.integers(0, 2**40), texts), max_size=2))),
        notes=tuple(draw(st.lists(texts, max_size=2))),
    )
    return SequenceData(Catalogue(titles), train, val, test, manifest)


@settings(max_examples=40, deadline=None)
@given(data_sets())
def test_what_is_written_is_read_back_equal(data: SequenceData) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_canonical(data, Path(name) / "data")

        again = read_canonical(Path(name) / "data")

    assert again == data
    assert content_sha256(again) == content_sha256(data)


@settings(max_examples=60, deadline=None)
@given(data_sets(), st.sampled_from(["items", "train", "val", "test", "manifest"]), st.data())
def test_a_damaged_folder_is_refused_or_harmless(data: SequenceData, part: str, choice: st.DataObject) -> None:
    """Any byte may be cut off or changed: what comes back is a DataError, or the data as it was."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        write_canonical(data, folder)
        path = folder / (f"{part}.parquet" if part != "manifest" else "manifest.json")
        content = bytearray(path.read_bytes())
        place = choice.draw(st.integers(0, len(content) - 1))
        if choice.draw(st.booleans()):
            del content[place:]
        else:
            content[place] ^= choice.draw(st.integers(1, 255))
        path.write_bytes(content)

        try:
            again = read_canonical(folder)
        except DataError:
            return

    assert again.catalogue == data.catalogue
    assert (again.train, again.val, again.test) == (data.train, data.val, data.test)


def test_equal_values_have_equal_hashes_and_other_values_other_ones() -> None:
    one = np.array([1], dtype=np.int64)

    def data(target: int, title: str = "b") -> SequenceData:
        rows = Sequences(np.array([[0]]), one, np.array([target]), one)
        manifest = Manifest(
            source="x", licence="x", files=(), num_users=1, num_items=2, num_interactions=2,
            num_rows=RowCounts(1, 1, 1), num_bad_rows=0, bad_rows=(), notes=(),
        )  # fmt: skip
        return SequenceData(Catalogue(("a", title)), rows, rows, rows, manifest)

    assert content_sha256(data(1)) == content_sha256(data(1))
    assert len({content_sha256(data(1)), content_sha256(data(0)), content_sha256(data(1, "c"))}) == 3


def test_reading_a_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/manifest\.json: cannot be read .* written by write_canonical"):
        read_canonical(tmp_path / "nowhere")
