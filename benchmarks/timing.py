"""Times that can be trusted on a busy machine: two things in turn, many times, and the median of their ratios."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """Medians of two interleaved measurements, in seconds, and of their ratio a / b."""

    a_s: float
    b_s: float
    ratio: float

    def __str__(self) -> str:
        return f"{self.a_s * 1e3:9.2f} ms  {self.b_s * 1e3:9.2f} ms  {self.ratio:6.2f} x"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def paired(a: Callable[[], object], b: Callable[[], object], repeats: int = 9) -> Pair:
    """Run a and b in turn `repeats` times after one warm-up of each; machine drift hits both alike."""
    a(), b()
    gc.collect()
    times = [(seconds(a), seconds(b)) for _ in range(repeats)]
    a_times, b_times = zip(*times, strict=True)
    ratios = [first / second for first, second in times]
    return Pair(statistics.median(a_times), statistics.median(b_times), statistics.median(ratios))


def machine() -> str:
    """One line on what a figure was taken on."""
    import os

    import torch

    return (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
