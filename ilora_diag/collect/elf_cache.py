"""Reading of the loader's cache, /etc/ld.so.cache, and of ELF headers.

Format: glibc, sysdeps/generic/dl-cache.h. The file is, or ends in, a block that begins with the magic
`glibc-ld.so.cache1.1`: u32 number of entries, u32 length of the strings, flags and padding up to byte 48, then entries
of 24 bytes (i32 flags, u32 key, u32 value, u32 osversion, u64 hwcap). Key and value are offsets of strings from the
start of that block.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ilora_diag.collect.sheet import ABSENT, FAILED, reason_of
from ilora_diag.schema import Known, Unavailable

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER_BYTES, _ENTRY = 48, struct.Struct("=iIIIQ")


def read_cache(path: Path) -> Known[tuple[tuple[str, str], ...]]:
    """Pairs of library name and file, in the cache's order, which is the loader's."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Unavailable(reason=reason_of(error), source=str(path))
    start = content.find(_MAGIC)
    if start < 0:
        return Unavailable(reason=f"{ABSENT} the cache is of the format before glibc 2.2, or damaged", source=str(path))
    block = content[start:]
    try:
        (count,) = struct.unpack_from("=I", block, len(_MAGIC))
        offsets = range(_HEADER_BYTES, _HEADER_BYTES + count * _ENTRY.size, _ENTRY.size)
        entries = [_ENTRY.unpack_from(block, offset) for offset in offsets]  # ends at the first beyond the block
        return tuple((_string(block, key), _string(block, value)) for _, key, value, _, _ in entries)
    except (struct.error, ValueError) as error:
        return Unavailable(reason=f"{FAILED} the cache is damaged: {error}", source=str(path))


def _string(block: bytes, offset: int) -> str:
    end = block.find(b"\0", offset)
    if not 0 <= offset < len(block) or end < 0:
        raise ValueError(f"a string at {offset} of {len(block)} bytes")
    return block[offset:end].decode("utf-8", "backslashreplace")


def elf_machine(path: Path) -> tuple[int, int] | None:
    """Class (1: 32 bit, 2: 64 bit) and e_machine of an ELF file; None for anything else or an unreadable file."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return None
    (machine,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)
    return head[4], machine
