"""Whether the recorder lost events: its buffer is a ring, and overwrites the oldest without saying so.

The file does not hold the buffer's length. What gives a loss away: blocks that carry a stack (so they were allocated
while recording was on) and whose allocation is not among the events; and a window that opens with the completion of a
free whose request is gone. What raises the question without deciding it: frees of blocks without an allocation (which
is also how memory looks that was allocated before recording began), and a round number of events, as people type them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.memory.window import BEFORE, Window
from ilora_diag.schema.known import Known, Unavailable

SOURCE = "device_traces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How many events the recorder dropped, and how many it dropped at least."""

    dropped: Known[int]
    at_least: int


def loss_of(window: Window) -> Loss:
    """What a window tells of events before its first one."""
    blocks, num_events = window.blocks, window.num_events
    if num_events == 0:
        return Loss(dropped=Unavailable(reason="no events were recorded", source=SOURCE), at_least=0)
    survivors = sum(1 for start, stack in zip(blocks.start, blocks.stack, strict=True) if start == BEFORE and stack)
    at_least = survivors + window.opens_mid_free
    if at_least:
        return Loss(dropped=Unavailable(reason=_lost(survivors, window), source=SOURCE), at_least=at_least)
    if window.num_orphan_frees:
        reason = (
            f"the window frees {window.num_orphan_frees} blocks that were allocated before it: before recording began, "
            "or in events that were dropped; the file does not tell"
        )
        return Loss(dropped=Unavailable(reason=reason, source=SOURCE), at_least=0)
    if _is_round(num_events) and window.before_reserved:
        reason = f"exactly {num_events} events were kept, which looks like the length of a full buffer"
        return Loss(dropped=Unavailable(reason=reason, source=SOURCE), at_least=0)
    return Loss(dropped=0, at_least=0)


def _lost(survivors: int, window: Window) -> str:
    causes = []
    if survivors:
        causes.append(
            f"{survivors} blocks were allocated while recording was on and their events are not in the window"
        )
    if window.opens_mid_free:
        causes.append("the window opens in the middle of a free")
    return (
        f"at least {survivors + window.opens_mid_free} events are missing: {'; '.join(causes)}. Either the buffer "
        "(max_entries) was full, or recording was switched on a second time; the file does not tell how many"
    )


def _is_round(number: int) -> bool:
    """Whether it looks typed: one or two digits and zeros (100000, 25000), or a power of two; 1000 at least."""
    digits = str(number).rstrip("0")
    return number >= 1000 and ((len(digits) <= 2 and number % 1000 == 0) or number & (number - 1) == 0)
