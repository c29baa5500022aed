"""Reading what torch.save wrote, without torch.load: the zip by zipfile, the pickle through the allow-list.

Storage locations ("cuda:0") are ignored, so a file loads the same on a machine without the device it was saved from.
"""

from __future__ import annotations

import reprlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from ilora.rec.checkpoint.tensors import ALLOWED, Storage
from ilora.safe_pickle import Bag, bag_type, restricted_load

MAX_MEMBERS = 20_000
MAX_PROGRAM_BYTES = 64 << 20
MODULE_CLASSES = frozenset({"SASRec", "GRU", "Caser", "MultiHeadAttention", "PositionwiseFeedForward"})
"""Classes that become bags whatever module they were pickled from: `__main__` in most released files."""


def read_torch_zip(path: Path) -> Any:
    """The object a torch zip file holds: classes as bags, tensors as `StoredTensor`.

    Raises:
        ValueError: not such a file, damaged, or asking for more than the allow-list (`PickleRefusedError`).
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except (zipfile.BadZipFile, RuntimeError, EOFError, LookupError, struct.error) as error:
        # RuntimeError: zipfile's word for an encrypted member or an unknown compression.
        raise ValueError(f"damaged zip file ({error})") from error


def _read(archive: zipfile.ZipFile, num_bytes: int) -> Any:
    members = archive.infolist()
    _check_sizes(members, num_bytes)
    programs = [member.filename for member in members if member.filename.endswith("/data.pkl")]
    if len(programs) != 1:
        raise ValueError(f"a zip file with {len(programs)} members named data.pkl; torch.save writes one")
    root = programs[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("saved on a big-endian machine")
    storages = _Storages(archive, root)
    with archive.open(programs[0]) as file:
        return restricted_load(
            file,  # type: ignore[arg-type]  # a ZipExtFile reads bytes, though it is typed IO[bytes]
            allowed=ALLOWED,
            stand_in=_module_bag,
            persistent_load=storages.load,
            max_bytes=MAX_PROGRAM_BYTES,
            source="data.pkl",
        )


def _check_sizes(members: list[zipfile.ZipInfo], num_bytes: int) -> None:
    """torch.save stores its members as they are; whatever claims to grow when unpacked was not written by it."""
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"a zip file of {len(members)} members; at most {MAX_MEMBERS} are read")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"member {member.filename} is compressed; torch.save does not compress")
    total = sum(member.file_size for member in members)
    if total > num_bytes:
        raise ValueError(f"the members claim {total} bytes, the file has {num_bytes}")


def _module_bag(module: str, name: str) -> type[Bag] | None:
    known = name in MODULE_CLASSES or module.startswith("torch.nn.modules.")
    return bag_type(module, name) if known and "." not in name else None


class _Storages:
    """Resolves the pickle's references to members `data/N`, each read once."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._read: dict[tuple[str, torch.dtype], Storage] = {}

    def load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise ValueError(f"a reference that is no storage: {reprlib.repr(pid)}")
        _, dtype, key, _location, num_elements = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or type(num_elements) is not int:
            raise ValueError(f"a malformed storage reference: {reprlib.repr(pid)}")
        if (key, dtype) not in self._read:
            content = bytearray(self._archive.read(f"{self._root}data/{key}"))
            flat = (
                torch.frombuffer(content, dtype=dtype)
                if len(content) >= dtype.itemsize
                else torch.empty(0, dtype=dtype)
            )
            self._read[key, dtype] = Storage(flat)
        storage = self._read[key, dtype]
        if storage.flat.numel() != num_elements:
            raise ValueError(f"storage {key} has {storage.flat.numel()} elements, the pickle claims {num_elements}")
        return storage
