"""Being asked to stop: the first signal is a request, the next one an order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

# SIGHUP too: children lead sessions of their own, so a closed terminal would leave them running unobserved.
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class StopRequest:
    """Set by a signal."""

    made: bool = False


@contextmanager
def stop_on_signal(told: Callable[[], None]) -> Iterator[StopRequest]:
    """Turn the first signal into a request and the next into a KeyboardInterrupt, by which the runner hurries.

    Args:
        told: called at the first signal.
    """
    stop = StopRequest()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.made:
            raise KeyboardInterrupt
        stop.made = True
        told()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread can set handlers
        return
    # A signal that is ignored stays so: under nohup, or in a shell's background, somebody chose that.
    heeded = [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
