"""What stays on the device from step to step, who keeps it, and what is there twice: asked from inside a running trial.

    watch = station.watch                       # virtual or real card; on the CPU: `with host_books() as watch:`
    growth = GrowthWatch(watch, num_steps=6)
    with growth.watching():                     # before anything that ends the script at a step
        ended = launch(...)
    retention = growth.conclude(ended.error)    # None where too few steps were seen

The answer is made in the hook of the last step followed, while the frames of the script are still there: what a local
variable of a running function keeps has no other name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules import module as hooks
from torch.optim import optimizer as optimizers

from ilora_diag.schema.trial_answer import Retention
from probes.retention_books import Samples, host_books, slope
from probes.retention_copies import Copies
from probes.retention_growth import collected, grown_tensors
from probes.retention_names import HolderError
from probes.retention_release import Releases, drop_copies, release
from probes.retention_search import Search, main_globals, running_frames, tiers
from probes.virtual.watch import Watch

FEWEST_STEPS = 4
"""Growth per step and whether it is even need three steps after the first."""
_LEAST_SLOPE = 1024


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
        self._samples = Samples(watch)
        self._num_steps = num_steps
        self._main: dict[str, Any] | None = None
        self._called: set[int] = set()
        self._retention: Retention | None = None
        self.note = ""

    @contextmanager
    def watching(self) -> Iterator[GrowthWatch]:
        """Follow every `torch.optim` optimizer of the process inside the block."""
        handles = (
            optimizers.register_optimizer_step_post_hook(lambda *_: self.step_done()),
            hooks.register_module_forward_pre_hook(self._call),
        )
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._main = None

    def step_done(self) -> None:
        """A step is over. Called by the hook; by hand for a script that changes its weights without an optimizer."""
        samples = self._samples
        if samples.num >= self._num_steps:
            return
        samples.take()
        self._main = self._main or main_globals(running_frames())
        if samples.num == self._num_steps:
            self._make(None)

    def conclude(self, error: BaseException | None = None) -> Retention | None:
        """What was found; of a run that ended early, what can be said after the steps it did.

        Args:
            error: what ended the run; the frames of its traceback are searched as if they still ran.

        Returns:
            None if fewer than three steps were done, or the search failed; `note` says which.
        """
        if self._retention is None and self._samples.num >= FEWEST_STEPS - 1 and not self.note:
            self._make(error)
        if self._retention is None and not self.note:
            self.note = f"what stays from step to step takes 3 steps to be seen, and {self._samples.num} were done"
        return self._retention

    def _make(self, error: BaseException | None) -> None:
        """Search; what goes wrong over a strange object of the script must not end the script."""
        try:
            self._retention = self._made(error)
        except Exception as failure:  # noqa: BLE001
            self.note = f"what stays from step to step could not be searched: {type(failure).__name__}: {failure}"

    def _call(self, module: nn.Module, args: Any) -> None:
        self._called.add(id(module))

    def _made(self, error: BaseException | None) -> Retention:
        samples = self._samples
        live = samples.live()
        rise, rise_error = slope(live)
        is_growing = len(live) >= FEWEST_STEPS and rise > max(2 * rise_error, _LEAST_SLOPE)
        kept = samples.kept() if rise > _LEAST_SLOPE else []
        cycles = collected(samples, kept)
        copies = Copies.found(samples, self._called)
        search = self._searched({*kept, *copies.numbers()} - cycles, error)
        return Retention(
            live_bytes=tuple(live),
            slope_bytes=rise,
            slope_error_bytes=rise_error,
            is_growing=is_growing,
            grown=grown_tensors(samples, kept, search, cycles),
            copies=copies.told(search),
            frozen_with_state_bytes=copies.frozen_state_bytes,
        )

    def _searched(self, wanted: set[int], error: BaseException | None) -> Search:
        """The paths to storages."""
        search = Search(key_of=self._samples.number_of, wanted=wanted)
        main = main_globals(running_frames(error)) or self._main
        search.run(tiers(self._samples.watch.roots(), main, error))
        return search


__all__ = ["FEWEST_STEPS", "GrowthWatch", "HolderError", "Releases", "drop_copies", "host_books", "release"]
