"""Nothing half written, whatever happens in between."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ilora.files import atomic_dir, atomic_write


def test_a_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail_halfway() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail_halfway()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "step"
    for content in ("one", "two"):
        with atomic_dir(path) as fresh:
            (fresh / "a.txt").write_text(content)
    assert (path / "a.txt").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["step"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "step"
    with atomic_dir(path) as fresh:
        (fresh / "a.txt").write_text("one")

    def fail_halfway() -> None:
        with atomic_dir(path) as fresh:
            (fresh / "a.txt").write_text("two")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert (path / "a.txt").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["step"]
