"""Regular expressions for the instructions that snapshots are made of; each matches whole instructions only.

What each byte means: `Lib/pickletools.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_LONG_BYTES = 16
LONGEST_STRING = 31  # of a field's value: the actions have up to 14 letters


def either(*patterns: bytes) -> bytes:
    """One of these."""
    return b"(?:" + b"|".join(patterns) + b")"


def compiled(pattern: bytes) -> re.Pattern[bytes]:
    """For matching any bytes, newlines among them."""
    return re.compile(pattern, re.DOTALL)


def _counted(code: bytes, lengths: Iterable[int]) -> bytes:
    return re.escape(code) + either(*(re.escape(bytes([n])) + b"." * n for n in lengths))


# Addresses take 6 bytes and times 7, so these are tried first.
_LONG = _counted(b"\x8a", (6, 7, *(n for n in range(_MAX_LONG_BYTES + 1) if n not in (6, 7))))
INTEGER = either(b"K.", b"J....", b"M..", _LONG)
SCALAR = either(b"K.", b"J....", b"M..", _LONG, rb"[N\x88\x89]", b"G.{8}")
SHORT_STRING = _counted(b"\x8c", range(LONGEST_STRING + 1))
MEMOS = rb"(?:\x94|q.|r....)"
GETS = b"(?:j....|h.)"
# MARK, EMPTY_LIST, EMPTY_TUPLE, TUPLE, TUPLE1 to 3, APPEND, APPENDS, SETITEM, SETITEMS and PROTO.
_BUILDING = rb"[(\])t\x85-\x87aesu]|\x80."
_WITHOUT_MEMO = either(SCALAR, _BUILDING)

EVERYTHING_COUNTED = compiled(either(b"(?:j....)++", b"(?:h.)++", SCALAR, rb"[}\x94]|" + _BUILDING, b"q.") + b"*+")
"""Any number of instructions of known length, but those that the scan looks at one by one."""

PLAIN_RUN = compiled(rb"\}?" + either(GETS, _WITHOUT_MEMO) + b"*+")
"""A dict's beginning or nothing, and what follows up to the next memo slot, string, dict or the end."""

MEMO, GET = compiled(MEMOS), compiled(GETS)
LONG_STRING = compiled(rb"\x8c(.)|X(....)|\x8d(.{8})")
"""The beginning of a string of any length, with that length."""

_GETS_BETWEEN = compiled(either(rb"\}", _WITHOUT_MEMO, MEMOS) + b"*+(" + GETS + b"*+)")
_MEMOS_BETWEEN = compiled(either(rb"\}", _WITHOUT_MEMO, GETS) + b"*+(" + MEMOS + b"?)")


def gets_in(piece: bytes) -> list[bytes]:
    """The runs of instructions that fetch from the memo, in whole instructions without strings."""
    return [gets for gets in _GETS_BETWEEN.findall(piece) if gets]


def memos_in(piece: bytes) -> list[bytes]:
    """The instructions that write to the memo, in whole instructions without strings."""
    return [memo for memo in _MEMOS_BETWEEN.findall(piece) if memo]


def get_instruction(slot: int) -> bytes:
    """What fetches a memo slot."""
    return b"h" + bytes([slot]) if slot < 256 else b"j" + slot.to_bytes(4, "little")


def number_of(instruction: bytes) -> int:
    """The number behind an instruction that fetches from the memo, writes to it or makes an integer."""
    code = instruction[0]
    if code == 0x8A:
        return int.from_bytes(instruction[2:], "little", signed=True)
    return int.from_bytes(instruction[1:], "little", signed=code == 0x4A)
