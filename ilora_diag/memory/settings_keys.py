"""The names PYTORCH_CUDA_ALLOC_CONF may hold, by torch version, and what those mean that touch no device memory."""

from __future__ import annotations

from dataclasses import dataclass

Version = tuple[int, int]
NEWEST: Version = (999, 0)


def version_key(torch_version: str) -> Version:
    """(major, minor) of a version such as "2.9.1+cu128"; one that cannot be read counts as the newest."""
    parts = torch_version.split("+")[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return NEWEST


@dataclass(frozen=True, slots=True)
class Key:
    """A name, and when torch began to know it.

    Attributes:
        absent: last version known not to have it; None: as old as this table.
        present: first version known to have it.
        ignored: why it changes nothing that is modelled; empty: it does.
    """

    absent: Version | None = None
    present: Version = (2, 0)
    ignored: str = ""

    def is_refused(self, version: Version) -> bool:
        """Whether that torch stops at this name."""
        return self.absent is not None and version <= self.absent

    def is_doubtful(self, version: Version) -> bool:
        """Whether it was not established that that torch knows this name."""
        return self.absent is not None and self.absent < version < self.present


_HOST = "steers pinned host memory, not device memory"
_TIMING = "changes when the allocator's lock is held, not what it allocates"

# Sources: keys of 2.13 from c10/core/AllocatorConfig.h, c10/cuda/CUDAAllocatorConfig.h and the strings of libc10.so of
# torch 2.13.0; 2.15's two from its headers; expandable_segments refused by 1.13 and 2.0 in public reports, known to the
# source of 2.1; the pull requests that brought per_process_memory_fraction (pytorch 161035, September 2025) and
# throw_on_cudamalloc_oom (179473, April 2026). Between `absent` and `present` nothing was established.
KEYS: dict[str, Key] = {
    "max_split_size_mb": Key(),
    "garbage_collection_threshold": Key(),
    "roundup_power2_divisions": Key(),
    "backend": Key(),
    "expandable_segments": Key((2, 0), (2, 1)),
    "release_lock_on_cudamalloc": Key((2, 0), (2, 2), _TIMING),
    "release_lock_on_hipmalloc": Key((2, 0), (2, 2), _TIMING),
    "pinned_use_cuda_host_register": Key((2, 0), (2, 2), _HOST),
    "pinned_use_hip_host_register": Key((2, 0), (2, 2), _HOST),
    "pinned_num_register_threads": Key((2, 0), (2, 2), _HOST),
    "pinned_use_background_threads": Key((2, 4), (2, 7), _HOST),
    "max_non_split_rounding_mb": Key((2, 4), (2, 7)),
    "pinned_reserve_segment_size_mb": Key((2, 7), (2, 13), _HOST),
    "graph_capture_record_stream_reuse": Key(
        (2, 7), (2, 13), "steers private pools of CUDA graphs, which are not modelled"
    ),
    "per_process_memory_fraction": Key((2, 8), (2, 13)),
    "large_segment_size_mb": Key((2, 8), (2, 12)),
    "throw_on_cudamalloc_oom": Key(
        (2, 11),
        (2, 13),
        "its refusal ahead of cudaMalloc is not modelled: the model gives back its cache and retries first",
    ),
    "pinned_max_round_threshold_mb": Key((2, 8), (2, 13), _HOST),
    "pinned_max_cached_size_mb": Key((2, 8), (2, 13), _HOST),
    "pinned_free_catch_all": Key((2, 8), (2, 13), _HOST),
    "expandable_segments_reserve": Key((2, 13), (2, 15), "sets how many addresses are reserved, not how many bytes"),
    "expandable_segments_reserve_by_class": Key(
        (2, 13), (2, 15), "sets how many addresses are reserved, not how many bytes"
    ),
}
