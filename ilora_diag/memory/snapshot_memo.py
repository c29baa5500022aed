"""What is known of the unpickler's memo while instructions are changed on their way to it."""

from __future__ import annotations

from array import array

from ilora_diag.memory.snapshot_errors import ReadWholeError
from ilora_diag.memory.snapshot_patterns import GET, gets_in, number_of

MEMOIZE = b"\x94"
POP = b"0"
_NONE = b"N"
KEPT, EMPTIED, FIRST_LIST = 0, 1, 2
"""What is in a slot: as the file has it; None; and list number n as `FIRST_LIST + n`."""
_MAX_CHECKED = 1 << 16


class Memo:
    """The slots of the memo, of which each is written once, in order.

    Attributes:
        slots: what is known of each.
    """

    def __init__(self) -> None:
        self.slots = array("I")
        self._checked: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.slots)

    def keep(self, memo: bytes) -> bytes:
        """The instruction that writes to the next slot, as it is.

        Raises:
            ReadWholeError: it names another slot than the next.
        """
        if memo != MEMOIZE and number_of(memo) != len(self.slots):
            raise ReadWholeError
        self.slots.append(KEPT)
        return memo

    def empty(self, memo: bytes) -> bytes:
        """The same with None in the slot; what the unpickler has in hand is left alone."""
        self.keep(memo)
        self.slots[-1] = EMPTIED
        return _NONE + memo + POP

    def name_list(self, number: int, slot: int = -1) -> None:
        """Say that a slot, the last if none is named, holds a list of frames."""
        self.slots[slot] = FIRST_LIST + number

    def list_in(self, slot: int) -> int | None:
        """The number of the list in a slot; None where that is not known.

        Raises:
            ReadWholeError: the slot was emptied, or is not yet written.
        """
        if slot >= len(self.slots) or self.slots[slot] == EMPTIED:
            raise ReadWholeError
        return self.slots[slot] - FIRST_LIST if self.slots[slot] else None

    def check(self, piece: bytes) -> None:
        """Look at what whole instructions without strings fetch.

        Raises:
            ReadWholeError: a slot that was emptied, or is not yet written.
        """
        for gets in gets_in(piece):
            if gets in self._checked:
                continue
            for get in GET.findall(gets):
                self.list_in(number_of(get))
            if len(self._checked) < _MAX_CHECKED:
                self._checked.add(gets)
