"""How much of this machine's memory a trial may take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ilora_diag.collect.cgroups import collect_cgroups
from ilora_diag.collect.sheet import Sheet

_SHARE = 0.85
_LEAST_BYTES = 2 << 30
"""A trial that finds less would fail for our limit, not for want of memory: then the kernel decides."""


def host_memory_for_a_trial(root: Path = Path("/")) -> int | None:
    """Most of what is free now, within the limit of our control group; None where that is not known, or very little."""
    limit = int((free_host_memory(root) or 0) * _SHARE)
    return limit if limit >= _LEAST_BYTES else None


def free_host_memory(root: Path = Path("/")) -> int | None:
    """Bytes that are free now, within the limit of our control group; None where that is not known."""
    free = [size for size in (_available(root), _room(root)) if size is not None]
    return min(free, default=None)


def _available(root: Path) -> int | None:
    """MemAvailable of /proc/meminfo, in bytes."""
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


def _room(root: Path) -> int | None:
    """Bytes of our control group's limit that are not taken; None where it has none."""
    sheet = Sheet()
    with suppress(OSError, ValueError):
        collect_cgroups(sheet, root)
    most, now = sheet.get("cgroup.memory_max_bytes"), sheet.get("cgroup.memory_current_bytes")
    return most - now if isinstance(most, int) and isinstance(now, int) else None
