"""The record of what steers the caching allocator."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.memory.blocks import MIB

LARGE_SEGMENT_BYTES = 20 * MIB
NUM_ROUNDUP_INTERVALS = 16
_FIRST_INTERVAL_LOG2 = 20


class SettingsError(ValueError):
    """The settings are ones PyTorch refuses; the text is PyTorch's where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredSetting:
    """A setting that is there and has no effect on device memory, and why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorSettings:
    """What steers the allocator.

    Attributes:
        expandable_segments: grow one mapped segment per stream and pool, instead of taking fixed ones.
        max_split_size_bytes: blocks of this size and above are never split; None: no limit.
        max_non_split_rounding_bytes: how much larger than the request an unsplittable block may be.
        garbage_collection_threshold: share of the memory limit above which old cached segments are given back; 0: off.
            Works only with a memory fraction set, as in PyTorch.
        roundup_power2_divisions: 16 numbers of divisions, for requests below 2 MiB, of 2-4 MiB, ... from 32 GiB; empty:
            no such rounding.
        large_segment_size_bytes: segment that serves requests between 1 and 10 MiB.
        per_process_memory_fraction: of the card's memory; None: no limit.
        caching: False with PYTORCH_NO_CUDA_MEMORY_CACHING.
        backend: "native", or "cudaMallocAsync", which the model refuses.
        ignored: what was set without effect.
        doubtful: names taken although it was not established that this torch knows them.
        variable: the environment variable that won; empty where none was set.
    """

    expandable_segments: bool = False
    max_split_size_bytes: int | None = None
    max_non_split_rounding_bytes: int = LARGE_SEGMENT_BYTES
    garbage_collection_threshold: float = 0.0
    roundup_power2_divisions: tuple[int, ...] = ()
    large_segment_size_bytes: int = LARGE_SEGMENT_BYTES
    per_process_memory_fraction: float | None = None
    caching: bool = True
    backend: str = "native"
    ignored: tuple[IgnoredSetting, ...] = ()
    doubtful: tuple[str, ...] = ()
    variable: str = ""

    def divisions_for(self, nbytes: int) -> int:
        """Divisions between two powers of two that a request of this size is rounded to; 0: none."""
        if not self.roundup_power2_divisions:
            return 0
        index = max(nbytes.bit_length() - 1 - _FIRST_INTERVAL_LOG2, 0)
        return self.roundup_power2_divisions[min(index, NUM_ROUNDUP_INTERVALS - 1)]
