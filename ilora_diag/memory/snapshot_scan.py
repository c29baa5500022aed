"""Looking through a pickle before anything of it runs: plain data, or something that wants more.

A pickle is a program. A recorded snapshot needs none of the instructions that name, call or build anything, so those
are refused here, before the unpickler starts, together with what would exhaust memory without calling anything
(memo slots far beyond the file's length, lengths beyond its end). The bytes pass through in chunks and are not kept.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from ilora_diag.memory.snapshot_errors import DamageError
from ilora_diag.memory.snapshot_patterns import EVERYTHING_COUNTED

CODES = {op.name: op.code.encode("latin-1") for op in pickletools.opcodes}
_NAMES = {op.code.encode("latin-1"): op.name for op in pickletools.opcodes}

# By the number of bytes that follow them. Everything a protocol 2..5 pickle of dicts, lists, tuples, strings and
# numbers is made of (Lib/pickletools.py describes each); strings and long numbers carry their own length, see below.
FIXED = {
    4: "LONG_BINGET BININT",
    1: "BINGET BININT1 BINPUT PROTO",
    0: "MEMOIZE MARK EMPTY_LIST EMPTY_DICT EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS NONE "
    "NEWTRUE NEWFALSE",
    2: "BININT2",
    8: "BINFLOAT",
}
COUNTED = {"SHORT_BINUNICODE": 1, "BINUNICODE": 4, "BINUNICODE8": 8, "LONG1": 1}
_LOOKED_AT = {"LONG_BINPUT": 4, "FRAME": 8}
_NAMING = {"GLOBAL", "STACK_GLOBAL"}
MAX_LONG_BYTES = 16
CHUNK_BYTES = 1 << 20


COUNT_WIDTH = {CODES[name]: width for name, width in COUNTED.items()}
_LOOKED_AT_WIDTH = {CODES[name]: width for name, width in _LOOKED_AT.items()}
_UNFINISHED = {CODES[name] for names in FIXED.values() for name in names.split()} | {b""}


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the look through a pickle found.

    Attributes:
        num_bytes: length of the stream, or up to where looking ended.
        names_global: whether it names a global (the unpickler then says which one); looking ended there.
    """

    num_bytes: int
    names_global: bool = False


def scan(stream: BinaryIO, max_bytes: int, *, chunk_bytes: int = CHUNK_BYTES) -> Scanned:
    """Whether a stream is a pickle of plain data alone.

    Args:
        stream: from the pickle's first byte on.
        max_bytes: refuse a longer one.
        chunk_bytes: how much is held at a time.

    Raises:
        DamageError: not a pickle, cut short, too long, or an instruction that no snapshot needs.
    """
    return _Scan(stream, max_bytes, chunk_bytes).run()


class _Scan:
    def __init__(self, stream: BinaryIO, max_bytes: int, chunk_bytes: int) -> None:
        self._stream, self._max_bytes, self._chunk_bytes = stream, max_bytes, chunk_bytes
        self._data, self._position, self._dropped = b"", 0, 0
        self._frames_end = 0

    def run(self) -> Scanned:
        while len(self._data) < 40 and self._more():
            pass
        self._check_start(self._data)
        while True:
            match = EVERYTHING_COUNTED.match(self._data, self._position)
            self._position = match.end() if match else self._position
            code = self._data[self._position : self._position + 1]
            if code in COUNT_WIDTH:
                self._counted(code)
            elif code in _LOOKED_AT_WIDTH:
                self._looked_at(code)
            elif code in _UNFINISHED:
                self._need_more()
            elif _NAMES.get(code) in _NAMING:
                return Scanned(self._at(), names_global=True)
            elif code == CODES["STOP"]:
                return Scanned(self._to_the_end())
            else:
                self._refuse(code)

    @staticmethod
    def _check_start(data: bytes) -> None:
        if data[:1] != CODES["PROTO"] or len(data) < 2:
            raise DamageError(_foreign(data))
        if not 2 <= data[1] <= 5:
            raise DamageError(f"is written in pickle protocol {data[1]}; accepted: 2 to 5 (torch writes 4)")

    def _at(self) -> int:
        return self._dropped + self._position

    def _more(self) -> bool:
        """Let go of what was looked at and read on; False at the end of the stream."""
        chunk = self._stream.read(self._chunk_bytes)
        self._dropped += self._position
        self._data, self._position = self._data[self._position :] + chunk, 0
        if self._dropped + len(self._data) > self._max_bytes:
            raise DamageError(f"holds more than {self._max_bytes} bytes once unpacked, the limit; --max-size raises it")
        return bool(chunk)

    def _need_more(self) -> None:
        if not self._more():
            size = self._dropped + len(self._data)
            raise DamageError(f"is cut short: the pickle does not end within its {size} bytes; copy the file again")

    def _number(self, width: int) -> int:
        """The number behind the instruction at the present place."""
        while len(self._data) < self._position + 1 + width:
            self._need_more()
        return int.from_bytes(self._data[self._position + 1 : self._position + 1 + width], "little")

    def _counted(self, code: bytes) -> None:
        width = COUNT_WIDTH[code]
        length = self._number(width)
        if code == CODES["LONG1"] and length > MAX_LONG_BYTES:
            raise DamageError(f"holds an integer of {length} bytes; accepted: up to {MAX_LONG_BYTES}")
        self._position += 1 + width + length
        while self._position > len(self._data):
            left = self._position - len(self._data)
            self._position = len(self._data)
            self._need_more()
            self._position += left

    def _looked_at(self, code: bytes) -> None:
        number = self._number(_LOOKED_AT_WIDTH[code])
        if code == CODES["FRAME"]:
            self._frames_end = max(self._frames_end, self._at() + 9 + number)
        elif number > self._at():
            # The unpickler makes room up to the slot named here; an honest one counts the instructions before it.
            raise DamageError(f"asks for {number} memo slots after {self._at()} bytes, which is refused")
        self._position += 1 + _LOOKED_AT_WIDTH[code]

    def _to_the_end(self) -> int:
        """The length of the stream; what a compressed one says of its own wholeness comes last."""
        self._position += 1
        while self._more():
            self._position = len(self._data)
        size = self._dropped + len(self._data)
        if self._frames_end > size:
            raise DamageError(f"is damaged: a frame ends at byte {self._frames_end} of {size}")
        return size

    def _refuse(self, code: bytes) -> NoReturn:
        name = _NAMES.get(code)
        if name is None:
            raise DamageError(f"is damaged: no pickle instruction is {code[0]:#04x} (byte {self._at()})")
        raise DamageError(
            f"uses the pickle instruction {name} (byte {self._at()}), which is refused; accepted: dicts, lists, "
            "tuples, strings and numbers, which is all that a snapshot needs"
        )


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
