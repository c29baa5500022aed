"""The allocator's counters, under PyTorch's own names (torch.cuda.memory_stats)."""

from __future__ import annotations

from dataclasses import dataclass


class Stat:
    """A running amount: now, its peak, and how much came in all; how much went follows from the three.

    `base` is the amount at the last reset of the accumulated counts, so that `freed` starts there again from 0.
    """

    __slots__ = ("allocated", "base", "current", "peak")

    def __init__(self) -> None:
        self.current = 0
        self.peak = 0
        self.allocated = 0
        self.base = 0

    def add(self, amount: int) -> None:
        """Count an increase. Decreases are written `stat.current -= amount`: nothing else moves."""
        self.current += amount
        self.allocated += amount
        if self.current > self.peak:
            self.peak = self.current

    @property
    def freed(self) -> int:
        """What went since the last reset of the accumulated counts."""
        return self.base + self.allocated - self.current

    def reset_peak(self) -> None:
        """Let the peak start again from now."""
        self.peak = self.current

    def reset_accumulated(self) -> None:
        """Let `allocated` and `freed` start again from 0."""
        self.allocated = 0
        self.base = self.current


FAMILIES = (
    "allocation",
    "segment",
    "active",
    "inactive_split",
    "allocated_bytes",
    "reserved_bytes",
    "active_bytes",
    "inactive_split_bytes",
    "requested_bytes",
)


class PoolStats:
    """The nine families of counters, for one pool or for both together."""

    __slots__ = FAMILIES

    def __init__(self) -> None:
        self.allocation = Stat()
        self.segment = Stat()
        self.active = Stat()
        self.inactive_split = Stat()
        self.allocated_bytes = Stat()
        self.reserved_bytes = Stat()
        self.active_bytes = Stat()
        self.inactive_split_bytes = Stat()
        self.requested_bytes = Stat()

    def families(self) -> tuple[Stat, ...]:
        """Every counter, in the order of `FAMILIES`."""
        return tuple(getattr(self, family) for family in FAMILIES)

    def hand_out(self, nbytes: int, requested: int) -> None:
        """Count a block that is handed out: `Stat.add` five times, written out because this is the hot path."""
        stat = self.allocation
        stat.allocated += 1
        stat.current = current = stat.current + 1
        if current > stat.peak:
            stat.peak = current
        stat = self.active
        stat.allocated += 1
        stat.current = current = stat.current + 1
        if current > stat.peak:
            stat.peak = current
        stat = self.allocated_bytes
        stat.allocated += nbytes
        stat.current = current = stat.current + nbytes
        if current > stat.peak:
            stat.peak = current
        stat = self.active_bytes
        stat.allocated += nbytes
        stat.current = current = stat.current + nbytes
        if current > stat.peak:
            stat.peak = current
        stat = self.requested_bytes
        stat.allocated += requested
        stat.current = current = stat.current + requested
        if current > stat.peak:
            stat.peak = current

    def let_go(self, nbytes: int) -> None:
        """Count a block whose owner let go of it; it stays active."""
        self.allocation.current -= 1
        self.allocated_bytes.current -= nbytes

    def take_back(self, nbytes: int, requested: int) -> None:
        """Count a block that nobody uses any more."""
        self.active.current -= 1
        self.active_bytes.current -= nbytes
        self.requested_bytes.current -= requested

    def split(self, num_blocks: int, nbytes: int) -> None:
        """Count a change of the free parts of segments in use. As in PyTorch only the net change meets the peak."""
        if num_blocks > 0:
            self.inactive_split.add(num_blocks)
        else:
            self.inactive_split.current += num_blocks
        if nbytes > 0:
            self.inactive_split_bytes.add(nbytes)
        else:
            self.inactive_split_bytes.current += nbytes


class Counters:
    """Event counts of one device's allocator."""

    __slots__ = (
        "num_alloc_retries",
        "num_device_alloc",
        "num_device_free",
        "num_oom_rejections",
        "num_ooms",
        "num_sync_all_streams",
        "oversize_allocations",
        "oversize_segments",
    )

    def __init__(self) -> None:
        self.reset()
        self.oversize_allocations = Stat()
        self.oversize_segments = Stat()

    def reset(self) -> None:
        """Set the plain counts back to 0."""
        self.num_alloc_retries = 0
        self.num_ooms = 0
        self.num_sync_all_streams = 0
        self.num_device_alloc = 0
        self.num_device_free = 0
        self.num_oom_rejections = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatView:
    """One counter, frozen."""

    current: int
    peak: int
    allocated: int
    freed: int

    @classmethod
    def of(cls, stat: Stat) -> StatView:
        """The counter as it stands now."""
        return cls(current=stat.current, peak=stat.peak, allocated=stat.allocated, freed=stat.freed)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorStats:
    """Both pools together: the byte amounts, the counts of blocks and segments, and the events."""

    requested: StatView
    allocated: StatView
    active: StatView
    reserved: StatView
    inactive_split: StatView
    num_allocations: StatView
    num_active: StatView
    num_segments: StatView
    num_inactive_split: StatView
    num_alloc_retries: int
    num_ooms: int
    num_device_alloc: int
    num_device_free: int


def stats_view(stats: PoolStats, counters: Counters) -> AllocatorStats:
    """The counters as a frozen record."""
    return AllocatorStats(
        requested=StatView.of(stats.requested_bytes),
        allocated=StatView.of(stats.allocated_bytes),
        active=StatView.of(stats.active_bytes),
        reserved=StatView.of(stats.reserved_bytes),
        inactive_split=StatView.of(stats.inactive_split_bytes),
        num_allocations=StatView.of(stats.allocation),
        num_active=StatView.of(stats.active),
        num_segments=StatView.of(stats.segment),
        num_inactive_split=StatView.of(stats.inactive_split),
        num_alloc_retries=counters.num_alloc_retries,
        num_ooms=counters.num_ooms,
        num_device_alloc=counters.num_device_alloc,
        num_device_free=counters.num_device_free,
    )


def _add_stat(result: dict[str, int], prefix: str, stat: Stat) -> None:
    result[f"{prefix}.current"] = stat.current
    result[f"{prefix}.peak"] = stat.peak
    result[f"{prefix}.allocated"] = stat.allocated
    result[f"{prefix}.freed"] = stat.freed


def memory_stats(pools: dict[str, PoolStats], counters: Counters, max_split_bytes: int | None) -> dict[str, int]:
    """The keys and values of `torch.cuda.memory_stats`, sorted by key as torch does (torch/cuda/memory.py, 2.13).

    `max_split_size` is -1 where unlimited, as in torch: SIZE_MAX read as a signed number.
    """
    result: dict[str, int] = {}
    for family in FAMILIES:
        for name, stats in pools.items():
            _add_stat(result, f"{family}.{name}", getattr(stats, family))
    _add_stat(result, "oversize_allocations", counters.oversize_allocations)
    _add_stat(result, "oversize_segments", counters.oversize_segments)
    for count in ("num_alloc_retries", "num_ooms", "num_sync_all_streams", "num_device_alloc", "num_device_free"):
        result[count] = getattr(counters, count)
    result["num_oom_rejections"] = counters.num_oom_rejections
    result["max_split_size"] = -1 if max_split_bytes is None else max_split_bytes
    return dict(sorted(result.items()))
