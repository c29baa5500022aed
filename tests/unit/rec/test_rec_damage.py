"""Whatever happens to a file's bytes, loading gives a recommender or a CheckpointError."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ilora.rec import GRU, CheckpointError, load_recommender, save_recommender

patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
changes = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=3)


def altered(raw: bytes, edits: list[tuple[int, int]]) -> bytes:
    copy = bytearray(raw)
    for position, value in edits:
        copy[position % len(copy)] = value
    return bytes(copy)


@pytest.fixture
def module_file(release_files: Any) -> tuple[Any, bytes, dict[str, bytes]]:
    path = release_files.module(GRU(5, hidden_size=2, max_history=3))
    with zipfile.ZipFile(path) as archive:
        contents = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    storages = {name.removeprefix("data/"): raw for name, raw in contents.items() if name.startswith("data/")}
    path.unlink()
    return release_files, contents["data.pkl"], storages


@patient
@given(changes)
def test_a_changed_program_in_an_intact_archive(
    module_file: tuple[Any, bytes, dict[str, bytes]], edits: list[tuple[int, int]]
) -> None:
    files, program, storages = module_file
    path = files.write(altered(program, edits), storages)

    with suppress(CheckpointError):
        load_recommender(path)

    path.unlink()


@patient
@given(changes)
def test_a_changed_archive(module_file: tuple[Any, bytes, dict[str, bytes]], edits: list[tuple[int, int]]) -> None:
    files, program, storages = module_file
    path = files.write(program, storages)
    path.write_bytes(altered(path.read_bytes(), edits))

    with suppress(CheckpointError):
        load_recommender(path)

    path.unlink()


@patient
@given(changes)
def test_a_changed_safetensors_file(tmp_path: Path, edits: list[tuple[int, int]]) -> None:
    path = tmp_path / "rec.safetensors"
    save_recommender(GRU(5, hidden_size=2, max_history=3), path)
    path.write_bytes(altered(path.read_bytes(), edits))

    with suppress(CheckpointError):
        load_recommender(path)
