"""A recorded snapshot's instructions on their way to the unpickler, with the events taken out.

Events are the bulk of a snapshot, and dicts of them take several times the room of the file. So those that are written
as nearly all are (`snapshot_template`) are read here, into columns, and what reaches the unpickler instead is:

- for events that follow each other, a number that is exchanged for their `EventRun` (by BINPERSID; no file that brings
  that instruction along passes the scan);
- for each list of frames not met before, the list, which is handed over the same way and dropped;
- what keeps the memo in step: None in place of a dict that nothing will fetch, and the first list of the same frames
  in place of a later one. No slot is written twice, and one that was emptied and is fetched after all ends the attempt
  (`ReadWholeError`): such a file, if there is one, is read as it stands.

All else passes unchanged, an event of another form too, which so only costs more memory. Frames of the stream are left
out: their lengths no longer hold, and an unpickler needs none.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import BinaryIO

from ilora_diag.memory.snapshot_errors import DamageError
from ilora_diag.memory.snapshot_events import EventRun
from ilora_diag.memory.snapshot_memo import Memo
from ilora_diag.memory.snapshot_parse import PERSISTENT, EventParser
from ilora_diag.memory.snapshot_patterns import LONG_STRING, MEMO, PLAIN_RUN, get_instruction
from ilora_diag.memory.snapshot_scan import CHUNK_BYTES
from ilora_diag.memory.snapshot_template import NAMES

MARGIN_BYTES = 1 << 16
"""An event is expected to be shorter; one that is not costs more memory."""

_DICT, _FRAME, _STOP = b"}", b"\x95", b"."
_LONGEST_MEMO = 5


class Rewritten:
    """The changed instructions as the file that `pickle.Unpickler` reads from.

    Attributes:
        parser: of the events.
        runs: of events, by the number that stands in their place.
        stacks: to be filled: the numbers of the stacks in the lists of frames that are handed over, in that order.
        num_plain_bytes: how much of the stream so far was not taken out.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        watch: Callable[[int, int, int], None] = lambda *_: None,
        chunk_bytes: int = CHUNK_BYTES,
        margin_bytes: int = MARGIN_BYTES,
    ) -> None:
        """The start of a stream.

        Args:
            stream: from the pickle's first byte on.
            watch: told before more is passed on: bytes so far, those of them not taken out, events taken out.
            chunk_bytes: how much of the stream is held at a time.
            margin_bytes: length that no event has.
        """
        self._stream, self._watch = stream, watch
        self._chunk_bytes, self._margin_bytes = chunk_bytes, margin_bytes
        self._data, self._position, self._ended = b"", 0, False
        self._wanted = 0  # bytes of a long string that are not at hand yet
        self._block, self._taken = b"", 0
        self._out: list[bytes] = []
        self._memo = Memo()
        self.parser = EventParser(self._memo)
        self.runs: list[EventRun] = []
        self.stacks = array("I", [0])
        self._is_run_open = False
        self._num_read = self.num_plain_bytes = 0

    def peek(self, _size: int) -> bytes:
        """What comes next, as much as is at hand: whole instructions."""
        if self._taken >= len(self._block):
            self._block, self._taken = self._next(), 0
        return self._block[self._taken :] if self._taken else self._block

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        parts, missing = [], size
        while missing > 0 and (part := self.peek(missing)[:missing]):
            self._taken += len(part)
            missing -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readline(self) -> bytes:
        """No instruction that passes the scan reads a line."""
        return b""

    def _next(self) -> bytes:
        while not self._out and not (self._ended and self._position == len(self._data)):
            if not self._ended:
                chunk = self._stream.read(max(self._chunk_bytes, self._wanted))
                self._ended = not chunk
                self._num_read += len(chunk)
                self._data, self._position = self._data[self._position :] + chunk, 0
            self._rewrite()
            if self._ended and not self._out and self._position < len(self._data):
                raise DamageError("is damaged, or it changed while it was read")
        block = b"".join(self._out)
        self._out.clear()
        self._watch(self._num_read - len(self._data) + self._position, self.num_plain_bytes, len(self.parser.events))
        return block

    def _rewrite(self) -> None:
        """Pass on what lies before the margin, which is there so that no event is cut in two."""
        data, end = self._data, len(self._data) - (0 if self._ended else self._margin_bytes)
        while self._position < end:
            start = self._position
            if data[start] == _DICT[0]:
                first = len(self.parser.events)
                self._position = self.parser.read(data, start, end, self._out)
                if self._position > start:
                    self._in_run(first)
                    continue
            self._close_run()
            self._plain()
            self.num_plain_bytes += self._position - start
            if self._position == start:
                return

    def _in_run(self, first: int) -> None:
        if not self._is_run_open:
            self._is_run_open = True
            self.runs.append(EventRun(self.parser.events, first, self.stacks))

    def _close_run(self) -> None:
        if self._is_run_open:
            self._is_run_open = False
            self.runs[-1].count = len(self.parser.events) - self.runs[-1].start
            self._out.append(b"J" + (len(self.runs) - 1).to_bytes(4, "little") + PERSISTENT)

    def _plain(self) -> None:
        """Instructions up to the next dict, of which nothing is known: passed on, and looked at for memo slots."""
        data, start = self._data, self._position
        match = PLAIN_RUN.match(data, start)
        assert match is not None, "it matches nothing too"
        end = match.end()
        piece, code = data[start:end], data[end : end + 1]
        self._memo.check(piece)
        if piece:
            self._out.append(piece)
        self._position = end
        if memo := MEMO.match(data, end):
            self._out.append(self._memo.keep(memo[0]))
            self._position = memo.end()
        elif code == _FRAME and end + 9 <= len(data):
            self._position = end + 9
        elif code == _STOP:
            self._out.append(code)
            self._position = len(data)
            self._ended = True
        elif counted := LONG_STRING.match(data, end):
            stop = counted.end() + int.from_bytes(counted[1] or counted[2] or counted[3], "little")
            self._wanted = stop + _LONGEST_MEMO - len(data)
            if self._wanted <= 0 or (self._ended and stop <= len(data)):
                self._string(data[end:stop], data[counted.end() : stop], is_kept=MEMO.match(data, stop) is not None)
                self._position = stop

    def _string(self, instruction: bytes, string: bytes, *, is_kept: bool) -> None:
        self._out.append(instruction)
        if is_kept and string in NAMES:
            self.parser.name(get_instruction(len(self._memo)), string)
