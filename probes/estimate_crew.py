"""Tasks spread over forked processes: the imports, which take longest, are made once."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

import torch

from probes.estimate_refusals import told_apart

R = TypeVar("R")


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def one_thread() -> None:
    """How a forked process begins: OpenMP's threads, of which the parent may have had more, did not come along.

    An operator on the host that asks for them would wait for ever.
    """
    torch.set_num_threads(1)


class Crew:
    """Runs tasks in forked processes.

    Args:
        workers: how many processes; 0 runs every task here, when its result is waited for.
        begin: run first in each of them.
    """

    def __init__(self, workers: int, begin: Callable[[], None] = one_thread) -> None:
        gc.freeze()  # what there is need not be looked at in a fork
        context = multiprocessing.get_context("fork")
        self._pool = ProcessPoolExecutor(workers, context, begin) if workers else None
        self._workers = workers

    def idle_beside(self, num_tasks: int) -> int:
        """How many of the processes have nothing to do in the last round of so many tasks of about the same length."""
        return -num_tasks % self._workers if self._workers else 0

    def submit(self, run: Callable[[Any], R], task: object) -> Callable[[], R]:
        """Begin a task; calling what is returned waits for its result, or raises NoEstimateError."""
        if self._pool is None:
            return lambda: _guarded(run, task)
        future: Future[R] = self._pool.submit(_guarded, run, task)
        return future.result

    def close(self) -> None:
        """Drop what has not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _guarded(run: Callable[[Any], R], task: object) -> R:
    with told_apart():
        return run(task)
