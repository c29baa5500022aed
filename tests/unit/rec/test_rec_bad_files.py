"""Files that are damaged or no recommender's: what is refused, and what the refusal says."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora.rec import ARCHITECTURES, Recommender, save_recommender


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_compressed_members_are_refused(release_files: Any, compression: int, refuse: Any) -> None:
    bomb = {"0": b"\0" * 10_000_000}

    path = release_files.write({"a": 1}, bomb, compression=compression)

    assert path.stat().st_size < 100_000
    refuse(path, "is compressed")


def test_members_that_overlap_are_refused(release_files: Any, refuse: Any) -> None:
    path = release_files.write({"a": 1}, {"0": b"\0" * 4096})
    raw = bytearray(path.read_bytes())
    # Twenty directory entries that all point at the same member's bytes.
    directory = raw.index(b"PK\x01\x02")
    end = raw.index(b"PK\x05\x06")
    entries = bytes(raw[directory:end]) * 20
    count = struct.unpack_from("<H", raw, end + 8)[0] * 20
    struct.pack_into("<HHI", raw, end + 8, count, count, len(entries))
    path.write_bytes(raw[:directory] + entries + raw[end:])

    refuse(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_refused(sasrec: Recommender, release_files: Any, share: float, refuse: Any) -> None:
    path = release_files.module(sasrec)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    refuse(path)


def test_a_flipped_bit_is_found(sasrec: Recommender, release_files: Any, refuse: Any) -> None:
    path = release_files.module(sasrec)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"data/0") + 100] ^= 1
    path.write_bytes(raw)

    refuse(path, "CRC")


def save_text(path: Path) -> None:
    path.write_text("hello")


def save_nothing(path: Path) -> None:
    path.write_bytes(b"")


def save_folder(path: Path) -> None:
    path.mkdir()


def save_legacy(path: Path) -> None:
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)


def save_other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def save_two_programs(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
        archive.writestr("b/data.pkl", pickle.dumps(1))


def save_big_endian(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(1))
        archive.writestr("a/byteorder", "big")


def save_tensor(path: Path) -> None:
    torch.save(torch.ones(2), path)


def save_other_model(path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)


def save_mixed_dict(path: Path) -> None:
    torch.save({"item_embeddings.weight": torch.ones(2, 2), "epoch": 3}, path)


def save_unknown_recommender(path: Path) -> None:
    torch.save({"item_embeddings.weight": torch.ones(2, 2), "tower.weight": torch.ones(2)}, path)


def save_broken_safetensors(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 16) + b'{"a": 1, "b": 2}' + b"\0" * 8)


@pytest.mark.parametrize(
    ("save", "reason"),
    [
        (lambda path: None, "No such file"),
        (save_folder, "Is a directory"),
        (save_nothing, "empty file"),
        (save_text, "neither a torch zip file nor a safetensors file"),
        (save_legacy, "before 1.6"),
        (save_other_zip, "0 members named data.pkl"),
        (save_two_programs, "2 members named data.pkl"),
        (save_big_endian, "big-endian"),
        (save_tensor, "neither a module nor a state dict"),
        (save_other_model, "no item_embeddings.weight"),
        (save_mixed_dict, "entry 'epoch' of the state dict is no tensor"),
        (save_unknown_recommender, "not those of sasrec, gru, caser"),
        (save_broken_safetensors, "damaged safetensors file"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_other_files_are_refused_with_the_reason(
    tmp_path: Path, save: Callable[[Path], None], reason: str, refuse: Any
) -> None:
    path = tmp_path / "rec.pt"
    save(path)

    refuse(path, reason)


def test_metadata_of_our_own_format_must_agree_with_the_weights(tmp_path: Path, refuse: Any) -> None:
    rec = ARCHITECTURES["gru"](23, 8, 6, 0.0)
    rec.num_items = 24
    save_recommender(rec, tmp_path / "rec.safetensors")

    refuse(tmp_path / "rec.safetensors", "num_items is said to be 24, but its weights are for 23")


def test_a_checkpoint_with_foreign_hyper_parameters_says_which_class_is_in_the_way(tmp_path: Path, refuse: Any) -> None:
    from fractions import Fraction

    rec = ARCHITECTURES["sasrec"](23, 8, 6, 0.0)
    content = io.BytesIO()
    torch.save({"state_dict": rec.state_dict(), "hyper_parameters": {"ratio": Fraction(1, 2)}}, content)
    (tmp_path / "last.ckpt").write_bytes(content.getvalue())

    refuse(tmp_path / "last.ckpt", "fractions.Fraction")
