"""Reading events from the instructions that would make dicts of them."""

from __future__ import annotations

import re
from typing import NamedTuple

from ilora_diag.memory.snapshot_checks import LIMIT
from ilora_diag.memory.snapshot_events import ACTION_CODES, OOM, Events
from ilora_diag.memory.snapshot_frames import Stacks
from ilora_diag.memory.snapshot_memo import MEMOIZE, POP, Memo
from ilora_diag.memory.snapshot_patterns import compiled, get_instruction, memos_in, number_of
from ilora_diag.memory.snapshot_template import GROUPS, NAMES, Template, learned

PERSISTENT = b"Q"
"""Hands what was made last to `persistent_load`, and leaves in its place what that returns."""

_MAX_TEMPLATES = 8
_MAX_REMEMBERED = 1 << 16
_DICT, _SHORT_STRING = 0x7D, 0x8C
_TIME_LENGTH = 9  # a LONG1 of seven bytes, as every time of our days takes
_NO_TEMPLATE = Template(compiled(b"(?!)"), (), (), {})


class _KnownList(NamedTuple):
    """A list of frames: its number, what fetches it (nothing where it is not in the memo), memo slots inside it."""

    number: int
    get: bytes
    num_slots: int


class EventParser:
    """Events in the order of the stream.

    Attributes:
        events: so far; a number in their column `stack` is that of a list of frames that the unpickler was told to hand
            over, counted from 1. What tells it to is left with the other instructions.
    """

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._templates: list[Template] = []
        self._names: dict[bytes, bytes] = {}
        self._codes = {b"\x8c" + bytes([len(action)]) + action.encode(): code for action, code in ACTION_CODES.items()}
        self._strings: dict[bytes, bytes] = {}  # -> what fetches it
        self._lists: dict[bytes | None, _KnownList] = {}
        self._num_new = 0  # strings and lists met for the first time
        self._num_lists = 0
        self._integers: dict[bytes, int] = {}
        self.events = Events(Stacks())

    def name(self, get: bytes, string: bytes) -> None:
        """Say what fetches a string of `snapshot_template.NAMES`."""
        self._names[get] = string
        code = ACTION_CODES.get(string.decode())
        if code is not None:
            self._codes[get] = code

    def read(self, data: bytes, position: int, end: int, out: list[bytes]) -> int:
        """Read the events that follow each other.

        Args:
            data: instructions.
            position: where a dict begins among them.
            end: where to stop at the latest.
            out: takes what the unpickler has to do for them: nothing remains in its hands.

        Returns:
            Where the last one ends; `position` where none was recognised, and nothing was done.

        Raises:
            ReadWholeError: one fetches what is not in the memo.
        """
        # Some million times: the usual case is written out, and looks nothing up twice.
        codes, integers, slots, from_bytes = self._codes.get, self._integers.get, self._memo.slots, int.from_bytes
        rows: list[tuple[int, int, int, int, int, int]] = []
        template = _NO_TEMPLATE
        while position < end and data[position] == _DICT:
            match = template.pattern.match(data, position)
            if match is None:
                template, match = self._recognised(data, position)
                if match is None:
                    break
            action, addr, free, size_made, stream_made, time_made, get = match.group(*GROUPS)
            code = codes(action)
            address_made = free if code == OOM else addr
            if code is None or not address_made:
                break
            address = integers(address_made)
            if address is None:
                address = self._integer(address_made)
            size = integers(size_made)
            if size is None:
                size = self._integer(size_made)
            stream = integers(stream_made)
            if stream is None:
                stream = self._integer(stream_made)
            time = from_bytes(time_made[2:], "little") if len(time_made) == _TIME_LENGTH else self._integer(time_made)
            if not (0 <= address < LIMIT and 0 <= size < LIMIT and 0 <= time < LIMIT):
                break
            key = match.group(*template.keyed)
            known = template.known.get(key)
            if known is not None:
                stack, marks, instructions = known
                slots.extend(marks)
                out.append(instructions)
            else:
                stack = self._with_memo(match, template, key, out)
            if get:
                stack = self._list(get, out)
            rows.append((code, address, size, stream, time, stack))
            position = match.end()
        self.events.append_rows(rows)
        return position

    def _recognised(self, data: bytes, position: int) -> tuple[Template, re.Match[bytes] | None]:
        """The form of the event at a place, and what it finds there; nothing where that is none."""
        for template in self._templates:
            if match := template.pattern.match(data, position):
                return template, match
        found = learned(data, position, self._names) if b"action" in self._names.values() else None
        if found is None:
            return _NO_TEMPLATE, None
        if len(self._templates) < _MAX_TEMPLATES:
            self._templates.append(found)
        return found, found.pattern.match(data, position)

    def _integer(self, instruction: bytes) -> int:
        if len(self._integers) >= _MAX_REMEMBERED:
            self._integers.clear()
        value = self._integers[instruction] = number_of(instruction) if instruction else 0
        return value

    def _with_memo(
        self, match: re.Match[bytes], template: Template, key: tuple[bytes | None, ...], out: list[bytes]
    ) -> int:
        """What the memo needs for an event, field by field; the number of the list of frames in it."""
        first_slot, first, num_new, stack = len(self._memo), len(out), self._num_new, 0
        action, memo = match.group("action", "memo")
        if memo:
            out.append(self._memo.empty(memo))
        for field in template.order:
            if field == "frames":
                stack = 0 if match["get"] else self._frames(match, out)
            elif field != "action":
                self._value(match[field], out)
            elif action[0] == _SHORT_STRING:
                self._value(match["whole_action"], out)
        if memo in (None, MEMOIZE) and num_new == self._num_new and len(template.known) < _MAX_REMEMBERED:
            template.known[key] = stack, self._memo.slots[first_slot:], b"".join(out[first:])
        return stack

    def _value(self, value: bytes, out: list[bytes]) -> None:
        """A value that only matters for the memo; the first of equal strings is put into their slots."""
        if value[0] != _SHORT_STRING:
            self._memo.check(value)
            return
        string, memo = value[: 2 + value[1]], value[2 + value[1] :]
        if not memo:
            return
        get = self._strings.get(string)
        if get is None:
            self._num_new += 1
            later = get_instruction(len(self._memo))
            if len(self._strings) < _MAX_REMEMBERED:
                self._strings[string] = later
            if string[2:] in NAMES:
                self.name(later, string[2:])
        out.append((get or string) + self._memo.keep(memo) + POP)

    def _list(self, get: bytes, out: list[bytes]) -> int:
        """The number of a list that was made before."""
        slot = number_of(get)
        number = self._memo.list_in(slot)
        if number is None:
            number = self._new_list(get, out)
            self._memo.name_list(number, slot)
        return number

    def _frames(self, match: re.Match[bytes], out: list[bytes]) -> int:
        """The number of a list that stands there; the first of the same frames is put into its slot."""
        whole, memo, frames = match.group("list", "list_memo", "frames")
        known = self._lists.get(frames)
        if known and (known.get or not memo):
            if memo:
                out.append(known.get + self._memo.keep(memo) + POP)
                self._memo.name_list(known.number)
            out += [self._memo.empty(MEMOIZE) for _ in range(known.num_slots)]
            return known.number
        get = get_instruction(len(self._memo)) if memo else b""
        number = self._new_list(whole, out)
        if memo:
            self._memo.keep(memo)
            self._memo.name_list(number)
        inner = [self._memo.keep(each) for each in memos_in(frames or b"")]
        self._memo.check(frames or b"")
        if len(self._lists) < _MAX_REMEMBERED and all(each == MEMOIZE for each in inner):
            self._lists[frames] = _KnownList(number, get, len(inner))
        return number

    def _new_list(self, instructions: bytes, out: list[bytes]) -> int:
        self._num_lists += 1
        self._num_new += 1
        out.append(instructions + PERSISTENT + POP)
        return self._num_lists
