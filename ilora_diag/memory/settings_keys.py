"""The names PYTORCH_CUDA_ALLOC_CONF may hold, by torch version, and what those mean that touch no device memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Version = tuple[int, int]
NEWEST: Version = (999, 0)


def version_key(torch_version: str) -> Version:
    """(major, minor) of a version such as "2.9.1+cu128"; one that cannot be read counts as the newest."""
    parts = torch_version.split("+")[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return NEWEST


Takes = Literal["own", "flag", "number", "positive", "threads", "unknown"]
"""What stands behind a name: what a modelled one reads by itself, True or False, a number, one above 0, a power of two
up to 128, or what was not looked up."""


@dataclass(frozen=True, slots=True)
class Key:
    """A name, and when torch began to know it.

    Attributes:
        absent: last version known not to have it; None: as old as this table.
        present: first version known to have it.
        takes: the value that it does not refuse.
        ignored: why it changes nothing that is modelled; empty: it does.
    """

    absent: Version | None = None
    present: Version = (2, 0)
    takes: Takes = "own"
    ignored: str = ""

    def is_refused(self, version: Version) -> bool:
        """Whether that torch stops at this name."""
        return self.absent is not None and version <= self.absent

    def is_doubtful(self, version: Version) -> bool:
        """Whether it was not established that that torch knows this name."""
        return self.absent is not None and self.absent < version < self.present


_HOST = "steers pinned host memory, not device memory"
_TIMING = "changes when the allocator's lock is held, not what it allocates"
_ADDRESSES = "sets how many addresses are reserved, not how many bytes"

# Sources: keys of 2.11.0, 2.12.1, 2.13.0 and 2.14.1 from c10/core/AllocatorConfig.h, c10/cuda/CUDAAllocatorConfig.h and
# the strings of libc10.so of their wheels; 2.15's two from its headers; expandable_segments refused by 1.13 and 2.0 in
# public reports, known to the source of 2.1. Between `absent` and `present` nothing was established. What a name takes:
# the parser of 2.12.1 and of 2.14.1 was asked, the source of older trees was read.
KEYS: dict[str, Key] = {
    "max_split_size_mb": Key(),
    "garbage_collection_threshold": Key(),
    "roundup_power2_divisions": Key(),
    "backend": Key(),
    "expandable_segments": Key((2, 0), (2, 1)),
    "release_lock_on_cudamalloc": Key((2, 0), (2, 2), "flag", _TIMING),
    "release_lock_on_hipmalloc": Key((2, 0), (2, 2), "flag", _TIMING),
    "pinned_use_cuda_host_register": Key((2, 0), (2, 2), "flag", _HOST),
    "pinned_use_hip_host_register": Key((2, 0), (2, 2), "flag", _HOST),
    "pinned_num_register_threads": Key((2, 0), (2, 2), "threads", _HOST),
    "pinned_use_background_threads": Key((2, 4), (2, 7), "flag", _HOST),
    "max_non_split_rounding_mb": Key((2, 4), (2, 7)),
    "pinned_reserve_segment_size_mb": Key((2, 7), (2, 11), "positive", _HOST),
    "graph_capture_record_stream_reuse": Key(
        (2, 7), (2, 11), "flag", "steers private pools of CUDA graphs, which are not modelled"
    ),
    "per_process_memory_fraction": Key((2, 8), (2, 11)),
    "large_segment_size_mb": Key((2, 8), (2, 11)),
    "throw_on_cudamalloc_oom": Key(
        (2, 11),
        (2, 12),
        "flag",
        "its refusal ahead of cudaMalloc is not modelled: the model gives back its cache and retries first",
    ),
    "pinned_max_round_threshold_mb": Key((2, 12), (2, 13), "number", _HOST),
    "pinned_max_cached_size_mb": Key((2, 12), (2, 13), "number", _HOST),
    "pinned_free_catch_all": Key((2, 11), (2, 12), "flag", _HOST),
    "expandable_segments_reserve": Key((2, 14), (2, 15), "unknown", _ADDRESSES),
    "expandable_segments_reserve_by_class": Key((2, 14), (2, 15), "unknown", _ADDRESSES),
}
