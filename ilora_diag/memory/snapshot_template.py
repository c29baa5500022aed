"""The form in which a file writes its events: the same names in the same order each time, fetched from the memo.

torch makes a dict per event, and pickle writes it as: the dict, for each field what fetches its name and what makes or
fetches its value, and what puts them all into the dict. The names and their order differ between versions of torch, so
they are learned from the file.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from ilora_diag.memory.snapshot_events import ACTIONS
from ilora_diag.memory.snapshot_patterns import GETS, INTEGER, MEMOS, SCALAR, SHORT_STRING, compiled, either

_INTEGERS = ("addr", "device_free", "size", "stream", "time_us")
NAMES = frozenset(name.encode() for name in ("action", "frames", *_INTEGERS, *ACTIONS))
"""Strings that matter in an event: the names of fields, and the actions."""

GROUPS = ("action", "addr", "device_free", "size", "stream", "time_us", "get")
"""What a template's pattern finds of an event that matters: empty or None where the event has it not."""

# A stack's frames: fetched, or dicts of what is fetched.
_MADE_FRAME = rb"\}" + MEMOS + rb"?\(" + either(GETS, SCALAR) + b"*+u"
_FRAMES = either(
    rb"\(" + either(b"(?:j....)++", b"(?:h.)++", _MADE_FRAME) + b"++e", either(b"j....", b"h.", _MADE_FRAME) + b"a"
)
_LIST = rb"\](?P<list_memo>" + MEMOS + rb")?+(?P<frames>" + _FRAMES + b")?+"
_OTHER_VALUE = either(SCALAR, GETS, SHORT_STRING + MEMOS + b"?")
_ACTION = rb"\x8c" + either(*(re.escape(bytes([len(action)]) + action.encode()) for action in ACTIONS))
# Where the next instruction shows that the dict is complete, and one of several things or of a list.
_END = b"u(?=[}ea])"

_FIELD = compiled(b"(" + GETS + b")" + either(_OTHER_VALUE, re.sub(rb"\?P<\w+>", b"?:", _LIST)))
_BEGINNING = compiled(rb"\}" + MEMOS + rb"?\(")
_ENDING = compiled(_END)


@dataclass(frozen=True, slots=True)
class Template:
    """How one kind of event is written.

    Attributes:
        pattern: matches an event. Its groups are those of `GROUPS`, and the fields that do not matter by place.
        order: those fields that may hold something for the memo, as they stand.
        keyed: the groups that tell what they hold, and the group of the memo slot of the dict itself.
        known: filled by the reader: what the `keyed` groups held -> number of the list of frames, what is known of the
            memo slots that the event takes, and the instructions that fill these.
    """

    pattern: re.Pattern[bytes]
    order: tuple[str, ...]
    keyed: tuple[str, ...]
    known: dict[tuple[bytes | None, ...], tuple[int, array[int], bytes]]


def learned(data: bytes, position: int, names: Mapping[bytes, bytes]) -> Template | None:
    """The form of the event at a place, or None where there is no event or one that is not understood.

    Args:
        data: whole instructions from `position` on.
        position: where a dict begins.
        names: what fetches a string of `NAMES`, and the string.
    """
    match = _BEGINNING.match(data, position)
    keys = []
    while match and not _ENDING.match(data, match.end()):
        match = _FIELD.match(data, match.end())
        if match:
            keys.append(match[1])
    known = [names[key].decode() for key in keys if key in names]
    fields = frozenset(known)
    usable = {"action", "size"} <= fields and fields & {"addr", "device_free"} and len(fields) == len(known)
    if match is None or not usable or not fields <= {"action", "frames", *_INTEGERS}:
        return None
    return _template([names.get(key, b"").decode() for key in keys], keys)


def _template(names: list[str], keys: list[bytes]) -> Template:
    parts = [rb"\}(?P<memo>", MEMOS, rb")?+\("]
    order = []
    for place, (name, key) in enumerate(zip(names, keys, strict=True)):
        parts.append(re.escape(key))
        if name in _INTEGERS:
            parts.append(_group(name, INTEGER))
            continue
        order.append(name or f"other{place}")
        if name == "action":
            parts.append(_group("whole_action", _group("action", either(GETS, _ACTION)) + MEMOS + b"?+"))
        elif name == "frames":
            parts.append(either(_group("list", _LIST), _group("get", GETS)))
        else:
            parts.append(_group(order[-1], _OTHER_VALUE))
    parts.append(_END)
    parts += [_group(name, b"") for name in _INTEGERS if name not in names]
    if "frames" not in names:
        parts.append(_group("get", b""))
    keyed = ["memo", *({"action": "whole_action", "frames": "list"}.get(field, field) for field in order)]
    return Template(compiled(b"".join(parts)), tuple(order), tuple(keyed), {})


def _group(name: str, pattern: bytes) -> bytes:
    return b"(?P<" + name.encode() + b">" + pattern + b")"
