"""Looking through a pickle before anything of it runs: plain data, or something that wants more.

A pickle is a program. A recorded snapshot needs none of the instructions that name, call or build anything, so those
are refused here, before the unpickler starts, together with what would exhaust memory without calling anything
(memo slots far beyond the file's length, lengths beyond its end).
"""

from __future__ import annotations

import pickletools
import re
from typing import NoReturn

from ilora_diag.memory.snapshot_errors import DamageError

_CODES = {op.name: op.code.encode("latin-1") for op in pickletools.opcodes}
_NAMES = {op.code.encode("latin-1"): op.name for op in pickletools.opcodes}

# By the number of bytes that follow them. Everything a protocol 2..5 pickle of dicts, lists, tuples, strings and
# numbers is made of (Lib/pickletools.py describes each); strings and long numbers carry their own length, see below.
# In the order of their frequency, which is the order in which they are tried.
_FIXED = {
    4: "LONG_BINGET BININT",
    1: "BINGET BININT1 BINPUT PROTO",
    0: "MEMOIZE MARK EMPTY_LIST EMPTY_DICT EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS NONE "
    "NEWTRUE NEWFALSE",
    2: "BININT2",
    8: "BINFLOAT FRAME",
}
_COUNTED = {"SHORT_BINUNICODE": 1, "BINUNICODE": 4, "BINUNICODE8": 8, "LONG1": 1}
_NAMING = {"GLOBAL", "STACK_GLOBAL"}
_MAX_LONG_BYTES = 16


def _plain_run() -> re.Pattern[bytes]:
    """Any number of instructions of known length, matched at the speed of the regular expression engine."""
    kinds = [
        b"["
        + re.escape(b"".join(_CODES[name] for name in names.split()))
        + b"]"
        + (b"" if not width else b".{%d}" % width)
        for width, names in _FIXED.items()
    ]
    # Addresses and times: a length byte, then so many bytes.
    kinds += [re.escape(_CODES["LONG1"] + bytes([width])) + b".{%d}" % width for width in range(_MAX_LONG_BYTES + 1)]
    return re.compile(b"(?:" + b"|".join(kinds) + b")*+", re.DOTALL)


_RUN = _plain_run()
_COUNT_WIDTH = {_CODES[name]: width for name, width in _COUNTED.items()}


def scan(data: bytes) -> bool:
    """Whether `data` is a pickle of plain data alone; False where it names a global (the unpickler then says which).

    Raises:
        DamageError: not a pickle, cut short, or an instruction that no snapshot needs.
    """
    if data[:1] != _CODES["PROTO"] or len(data) < 2:
        raise DamageError(_foreign(data))
    if not 2 <= data[1] <= 5:
        raise DamageError(f"is written in pickle protocol {data[1]}; accepted: 2 to 5 (torch writes 4)")
    position, size = 0, len(data)
    while True:
        match = _RUN.match(data, position)
        position = match.end() if match else position
        code = data[position : position + 1]
        if code == _CODES["STOP"]:
            return True
        width = _COUNT_WIDTH.get(code)
        start = position + 1 + (width or 0)
        if width is not None and start <= size:
            length = int.from_bytes(data[position + 1 : start], "little")
            if _NAMES[code] == "LONG1" and length > _MAX_LONG_BYTES:
                raise DamageError(f"holds an integer of {length} bytes; accepted: up to {_MAX_LONG_BYTES}")
            position = start + length
        elif code == _CODES["LONG_BINPUT"] and position + 5 <= size:
            # The unpickler makes room up to the slot named here; an honest one counts the instructions before it.
            slot = int.from_bytes(data[position + 1 : position + 5], "little")
            if slot > size:
                raise DamageError(f"asks for {slot} memo slots in a stream of {size} bytes, which is refused")
            position += 5
        elif _NAMES.get(code) in _NAMING:
            return False
        else:
            _refuse(data, position)
        if position > size:
            _cut(size)


def _refuse(data: bytes, position: int) -> NoReturn:
    code = data[position : position + 1]
    name = _NAMES.get(code)
    if name is None and code:
        raise DamageError(f"is damaged: no pickle instruction is {code[0]:#04x} (byte {position})")
    known = {n for names in _FIXED.values() for n in names.split()} | set(_COUNTED) | {"LONG_BINPUT"}
    if name is None or name in known:
        _cut(len(data))
    raise DamageError(
        f"uses the pickle instruction {name} (byte {position}), which is refused; accepted: dicts, lists, tuples, "
        "strings and numbers, which is all that a snapshot needs"
    )


def _cut(size: int) -> NoReturn:
    raise DamageError(f"is cut short: the pickle does not end within its {size} bytes; copy the file again")


def _foreign(data: bytes) -> str:
    for magic, kind in (
        (b"PK\x03\x04", "a zip archive (torch.save writes these)"),
        (b"{", "text that looks like JSON"),
        (b"<", "text that looks like HTML or SVG"),
        (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    ):
        if data.startswith(magic):
            return f"is {kind}; accepted: what torch.cuda.memory._dump_snapshot() writes"
    return (
        "is not a pickle of protocol 2 to 5; accepted: what torch.cuda.memory._dump_snapshot() writes, also "
        "compressed as .xz, .gz or .bz2"
    )
