"""What stays on the device from step to step, who keeps it, and what is there twice: asked from inside a running trial.

    watch = station.watch                       # virtual or real card; on the CPU: `with host_books() as watch:`
    growth = GrowthWatch(watch, num_steps=6)
    with growth.watching():                     # before anything that ends the script at a step
        ended = launch(...)
        retention = growth.conclude()           # None where too few steps were seen

The answer is made in the hook of the last step followed, while the frames of the script are still there: what a local
variable of a running function keeps has no other name. Of a script that ends before, `conclude` has to be called inside
the block, while what it holds is still there (`launch` asks for where a script stood at that moment).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from ilora_diag.schema.trial_answer import Retention
from probes.retention_books import Samples, host_books, slope
from probes.retention_clock import Clock
from probes.retention_copies import Copies
from probes.retention_growth import collected, grown_tensors
from probes.retention_names import HolderError
from probes.retention_release import Releases, drop_copies, release
from probes.retention_search import Search, main_globals, running_frames, tiers
from probes.virtual.watch import Watch

FEWEST_STEPS = 4
"""Growth per step and whether it is even need three steps after the first."""
_LEAST_GROWTH = 1024


class GrowthWatch:
    """Follows live bytes over some optimizer steps, then says what grew, who holds it, and what is there twice.

    Args:
        watch: of the device: `station.watch`, `machine.watch`, or what `host_books` yields on the CPU.
        num_steps: to follow, 4 at the least.

    Attributes:
        note: why there is no answer, after `conclude`; empty where there is one.

    Raises:
        ValueError: fewer steps than it takes to tell growth from noise.
    """

    def __init__(self, watch: Watch, num_steps: int) -> None:
        if num_steps < FEWEST_STEPS:
            raise ValueError(f"growth is followed over {FEWEST_STEPS} steps or more, got {num_steps}")
        self._watch, self._num_steps = watch, num_steps
        self._samples = Samples(watch)
        self._calls: Samples | None = Samples(watch)
        self._clock = Clock(self.step_done, self._call_done)
        self._main: dict[str, Any] | None = None
        self._retention: Retention | None = None
        self.note = ""

    @contextmanager
    def watching(self) -> Iterator[GrowthWatch]:
        """Follow every `torch.optim` optimizer of the process inside the block."""
        try:
            with self._clock.ticking():
                yield self
        finally:
            self._main = None

    def step_done(self) -> None:
        """A step is over. Called by the hook; by hand for a script that changes its weights without an optimizer."""
        samples = self._samples
        self._calls = None
        if samples.num >= self._num_steps or self._retention is not None:
            return
        samples.take()
        self._main = self._main or main_globals(running_frames())
        if samples.num == self._num_steps:
            self._make(samples, None)

    def _call_done(self) -> None:
        """A model was called for inference, before training began: what piles up there is told if it does."""
        samples = self._calls
        if samples is None:
            return
        samples.take()
        self._main = self._main or main_globals(running_frames())
        if samples.num == self._num_steps:
            self._calls = None
            if _rises(samples.live()):
                self._make(samples, None)

    def conclude(self, error: BaseException | None = None) -> Retention | None:
        """What was found; of a run that ended early, what can be said after the steps it did.

        Args:
            error: what ended the run, by default the exception being handled; the frames of its traceback are searched
                as if they still ran.

        Returns:
            None if fewer than three steps were done, or the search failed; `note` says which.
        """
        error = sys.exc_info()[1] if error is None else error
        samples = self._calls if self._calls is not None and _rises(self._calls.live()) else self._samples
        if self._retention is None and samples.num >= FEWEST_STEPS - 1 and not self.note:
            self._make(samples, error)
        if self._retention is None and not self.note:
            self.note = f"what stays from step to step takes 3 steps to be seen, and {self._samples.num} were done"
        return self._retention

    def _make(self, samples: Samples, error: BaseException | None) -> None:
        """Search; what goes wrong over a strange object of the script must not end the script."""
        try:
            self._retention = self._made(samples, error)
        except Exception as failure:  # noqa: BLE001
            self.note = f"what stays from step to step could not be searched: {type(failure).__name__}: {failure}"

    def _made(self, samples: Samples, error: BaseException | None) -> Retention:
        live = samples.live()
        rise, rise_error = slope(live)
        kept = samples.kept() if _rises(live) else []
        cycles = collected(samples, kept)
        copies = Copies.found(samples, self._clock.called)
        search = Search(key_of=samples.number_of, wanted={*kept, *copies.numbers()} - cycles)
        main = self._main or main_globals(running_frames(error))
        search.run(tiers(self._watch.roots(), main, error))
        grown = grown_tensors(samples, kept, search, cycles)
        is_growing = sum(one.bytes_per_step for one in grown) > _LEAST_GROWTH
        return Retention(
            live_bytes=tuple(live),
            slope_bytes=rise,
            slope_error_bytes=rise_error,
            is_growing=is_growing,
            grown=grown if is_growing else (),
            copies=copies.told(search),
            frozen_with_state_bytes=copies.frozen_state_bytes,
        )


def _rises(live: list[int]) -> bool:
    """Whether it is worth a search: bytes rose in two steps at the least, and in half of those after the second."""
    rises = [after > before for before, after in pairwise(live[1:])]
    return sum(rises) >= 2 and 2 * sum(rises) >= len(rises)


__all__ = ["FEWEST_STEPS", "GrowthWatch", "HolderError", "Releases", "drop_copies", "host_books", "release"]
