"""Choosing a reader, the cache, and canonical folders."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ilora.config import ConfigError, DataConfig
from ilora.data import DataError, SequenceData, load_data
from ilora.data.load import cache_folder
from ilora.data.store import read_canonical, write_canonical

Load = Callable[..., SequenceData]


def cached_folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "data").iterdir())


def test_a_second_load_comes_from_the_cache_and_is_equal(release: Path, tmp_path: Path, load: Load) -> None:
    first = load("ilora", release)
    (folder,) = cached_folders(tmp_path)
    before = folder.stat()

    second = load("ilora", release)

    assert second == first == read_canonical(folder)
    assert (folder.stat().st_ino, folder.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [{"max_history": 3}, {"min_history": 2}, {"holdout": 2}, {"min_rating": 1.0}, {"compat": "reference"}],
)
def test_whatever_changes_the_data_has_its_own_cache(
    release: Path, tmp_path: Path, load: Load, change: dict[str, object]
) -> None:
    load("ilora", release)
    load("ilora", release, **change)

    assert len(cached_folders(tmp_path)) == 2


def test_what_does_not_change_the_data_shares_a_cache(release: Path, tmp_path: Path, load: Load) -> None:
    load("ilora", release)
    load("ilora", release, seed=7, num_candidates=5, prompt="artist", num_workers=3)

    assert len(cached_folders(tmp_path)) == 1


def test_a_changed_file_is_read_again(release: Path, load: Load) -> None:
    load("ilora", release)
    (release / "id2name.txt").write_text((release / "id2name.txt").read_text().replace("Artist 0", "Other"))

    assert load("ilora", release).catalogue.titles[0] == "Other"


def test_a_damaged_cache_is_rebuilt_with_a_warning(
    release: Path, tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    first = load("ilora", release)
    (folder,) = cached_folders(tmp_path)
    (folder / "train.parquet").write_bytes(b"PAR1")

    with caplog.at_level(logging.WARNING):
        assert load("ilora", release) == first

    assert "The data cache is rebuilt: " in caplog.text
    assert read_canonical(folder) == first


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(
    release: Path, tmp_path: Path, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")

    with caplog.at_level(logging.WARNING):
        data = load("ilora", release, cache_dir=str(tmp_path / "file"))

    assert len(data.train) > 0
    assert "The data is not cached: " in caplog.text


def _load_at_once(release: str, cache: str, ready: object, results: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    cfg = DataConfig(source="ilora", path=release, cache_dir=cache)
    results.put(load_data(cfg, compat="fixed").manifest.num_rows)  # type: ignore[attr-defined]


def test_ranks_that_load_at_once_all_get_the_data(release: Path, tmp_path: Path, load: Load) -> None:
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(4), context.Queue()
    arguments = (str(release), str(tmp_path / "cache"), ready, results)
    ranks = [context.Process(target=_load_at_once, args=arguments) for _ in range(4)]
    for rank in ranks:
        rank.start()

    found = [results.get(timeout=30) for _ in ranks]

    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * 4
    assert len(set(found)) == 1
    # one folder, whole, and nothing half-made left beside it
    (folder,) = cached_folders(tmp_path)
    assert read_canonical(folder) == load("ilora", release)


def test_the_cache_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(DataConfig()) == tmp_path / "xdg" / "ilora-diag" / "data"

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert cache_folder(DataConfig()) == tmp_path / ".cache" / "ilora-diag" / "data"
    assert cache_folder(DataConfig(cache_dir="~/mine")) == tmp_path / "mine" / "data"


def test_an_unknown_source_lists_the_known_ones(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"data\.source=netflix: allowed is one of canonical, ilora, ml-100k"):
        load("netflix")


@pytest.fixture
def canonical(release: Path, tmp_path: Path, load: Load) -> Path:
    folder = tmp_path / "canonical"
    write_canonical(load("ilora", release, max_history=4, min_history=1), folder)
    return folder


def test_a_canonical_folder_loads_and_names_its_original_source(canonical: Path, load: Load) -> None:
    data = load("canonical", canonical, max_history=4, min_history=1)

    assert data == read_canonical(canonical)
    assert data.manifest.source == "ilora"


def test_a_canonical_folder_is_brought_to_the_history_asked_for(canonical: Path, load: Load) -> None:
    data = load("canonical", canonical, max_history=3, min_history=3)

    assert data.train.history.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert data.manifest.num_rows.train == 2
    assert any(note.startswith("train: 3 rows with a history shorter") for note in data.manifest.notes)


def test_writing_refuses_a_folder_with_other_files(canonical: Path, tmp_path: Path) -> None:
    precious = tmp_path / "home" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")

    with pytest.raises(DataError, match="holds other files, which writing data there would delete"):
        write_canonical(read_canonical(canonical), precious.parent)

    assert precious.read_text() == "years of work"


def test_writing_again_replaces_the_folder(canonical: Path) -> None:
    data = read_canonical(canonical)
    changed = replace(data, train=data.val)

    write_canonical(changed, canonical)

    assert read_canonical(canonical) == changed


def edit(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Exchange a file and record the hash of the new one, as another program might."""
    (folder / name).write_bytes(content)
    hashes = json.loads((folder / "manifest.json").read_text())["files_sha256"]
    edit(folder, files_sha256=hashes | {name: hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 2}, r"has version 2, this program reads 1"),
        ({"format": "other"}, r"does not say format 'ilora-diag sequences'"),
        ({"content_sha256": "0" * 64}, r"the content is not what manifest\.json says it is"),
        ({"files_sha256": {}}, r"items\.parquet: is not the file that manifest\.json was written for"),
        ({"files_sha256": None}, r"manifest\.json: lacks or garbles"),
        ({"max_history": 1}, r"holds ids or lengths outside"),
        ({"manifest": {"source": "x"}}, r"manifest\.json: lacks or garbles"),
        ({"manifest": 5}, r"manifest\.json: lacks or garbles"),
        ({"max_history": 10**12}, r"max_history is 1000000000000, allowed is 1\.\."),
        ({"max_history": None}, r"manifest\.json: lacks or garbles"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(canonical: Path, values: dict[str, object], message: str) -> None:
    edit(canonical, **values)

    with pytest.raises(DataError, match=message):
        read_canonical(canonical)


@pytest.mark.parametrize("name", ["items.parquet", "test.parquet", "manifest.json"])
def test_a_missing_or_truncated_file_is_named(canonical: Path, name: str) -> None:
    path = canonical / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{name}: is no"):
        read_canonical(canonical)

    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: cannot be read"):
        read_canonical(canonical)


@pytest.mark.parametrize("content", [b"PAR1", b""])
def test_a_file_that_is_no_parquet_is_refused_even_with_its_own_hash(canonical: Path, content: bytes) -> None:
    replace_file(canonical, "train.parquet", content)

    with pytest.raises(DataError, match=r"train\.parquet: is no Parquet file"):
        read_canonical(canonical)


def test_a_table_with_other_columns_is_refused_even_with_its_own_hash(canonical: Path) -> None:
    replace_file(canonical, "train.parquet", (canonical / "items.parquet").read_bytes())

    with pytest.raises(DataError, match=r"train\.parquet: has columns \['item', 'title'\], expected \['user'"):
        read_canonical(canonical)
