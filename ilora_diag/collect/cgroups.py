"""Control groups, version 1 and 2: the smallest limit from our own group up to the root, and who was killed by it.

Sources: the kernel's cgroup-v2 (memory.max, memory.events, cpu.max, pids.max) and cgroup-v1/memory documents. A
container sees its own group at the mount's root while /proc/self/cgroup may still tell the path on the host, so a
path that does not exist below the mount is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ilora_diag.collect.sheet import ABSENT, Sheet, exists, read_int, read_text
from ilora_diag.schema import Known, Unavailable

_MOUNT = "sys/fs/cgroup"
_NO_LIMIT_V1 = 1 << 60  # version 1 spells "unlimited" as the largest multiple of a page: 0x7ffffffffffff000


@dataclass(frozen=True, slots=True)
class _Files:
    """Where one version keeps what we read."""

    memory_limit: str
    memory_now: str
    kills: str
    pids: str


_V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "pids.max")
_V2 = _Files("memory.max", "memory.current", "memory.events", "pids.max")


def collect_cgroups(sheet: Sheet, root: Path) -> None:
    """Leaves `cgroup.*`."""
    own = read_text(root / "proc/self/cgroup")
    if isinstance(own, Unavailable):
        for leaf in ("version", "memory_max_bytes", "memory_current_bytes", "oom_kills", "cpu_max", "pids_max"):
            sheet.no(f"cgroup.{leaf}", own.reason, "/proc/self/cgroup")
        return
    mount = root / _MOUNT
    groups = {names: path for _, names, path in re.findall(r"^(\d+):([^:]*):(.*)$", own, re.MULTILINE)}
    controllers = {name: path for names, path in groups.items() for name in names.split(",")}
    # A controller is in one hierarchy only; where memory is mounted the old way, version 1 rules it.
    if exists(mount / "memory") is True and "memory" in controllers:
        sheet.put("cgroup.version", 1, "/proc/self/cgroup")
        memory = _walk(mount / "memory", controllers["memory"])
        cpu = _walk(_first(mount, "cpu", "cpu,cpuacct"), controllers.get("cpu", "/"))
        pids = _walk(mount / "pids", controllers.get("pids", "/"))
        _memory(sheet, memory, _V1)
        _cpu_v1(sheet, cpu)
        _pids(sheet, pids, _V1)
    elif exists(mount / "cgroup.controllers") is True or exists(mount / "unified") is True:
        sheet.put("cgroup.version", 2, "/proc/self/cgroup")
        top = mount if exists(mount / "cgroup.controllers") is True else mount / "unified"
        folders = _walk(top, controllers.get("", "/"))
        _memory(sheet, folders, _V2)
        _cpu_v2(sheet, folders)
        _pids(sheet, folders, _V2)
    else:
        for leaf in ("version", "memory_max_bytes", "memory_current_bytes", "oom_kills", "cpu_max", "pids_max"):
            sheet.no(f"cgroup.{leaf}", f"{ABSENT} no control groups are mounted", "/sys/fs/cgroup")


def _walk(top: Path, own: str) -> list[Path]:
    """Our group and its parents, innermost first, as far as they can be seen below the mount."""
    parts = [part for part in PurePosixPath(own).parts if part not in ("/", "..")]
    folders = [top.joinpath(*parts[:count]) for count in range(len(parts), 0, -1)]
    return [*(folder for folder in folders if folder.is_dir()), top]


def _first(mount: Path, *names: str) -> Path:
    return next((mount / name for name in names if (mount / name).is_dir()), mount / names[0])


def _limit(path: Path) -> Known[int | None]:
    """A limit; None is none. A group at the root of version 2 has no such file and no limit."""
    text = read_text(path, 4096)
    if isinstance(text, Unavailable):
        return text
    if text == "max":
        return None
    try:
        value = int(text)
    except ValueError:
        return Unavailable(reason=f"failed: {text[:40]!r}", source=str(path))
    return None if value >= _NO_LIMIT_V1 or value < 0 else value


def _smallest(folders: list[Path], name: str) -> tuple[Known[int | None], Path]:
    """The smallest limit and the group that sets it; the innermost group where none does."""
    found = [(limit, folder) for folder in folders if not isinstance(limit := _limit(folder / name), Unavailable)]
    finite = [(limit, folder) for limit, folder in found if limit is not None]
    if finite:
        return min(finite, key=lambda pair: pair[0])
    if found:
        return None, found[0][1]
    outcome = _limit(folders[0] / name)
    if isinstance(outcome, Unavailable) and outcome.reason.startswith(ABSENT) and folders[0] == folders[-1]:
        return None, folders[0]
    return outcome, folders[0]


def _memory(sheet: Sheet, folders: list[Path], files: _Files) -> None:
    limit, folder = _smallest(folders, files.memory_limit)
    where = f"{files.memory_limit} of {len(folders)} groups"
    sheet.put("cgroup.memory_max_bytes", limit, where)
    sheet.put("cgroup.memory_current_bytes", read_int(folder / files.memory_now), files.memory_now)
    text = read_text(folder / files.kills)
    if isinstance(text, Unavailable):
        sheet.put("cgroup.oom_kills", text, files.kills)
        return
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    missing = Unavailable(reason=f"{ABSENT} no line oom_kill; the kernel is older than 4.13")
    sheet.put("cgroup.oom_kills", int(match[1]) if match else missing, files.kills)


def _pids(sheet: Sheet, folders: list[Path], files: _Files) -> None:
    sheet.put("cgroup.pids_max", _smallest(folders, files.pids)[0], files.pids)


def _cpu_v2(sheet: Sheet, folders: list[Path]) -> None:
    shares, seen = [], False
    for folder in folders:
        text = read_text(folder / "cpu.max", 4096)
        match = re.fullmatch(r"(max|\d+) (\d+)", text) if isinstance(text, str) else None
        seen = seen or match is not None
        if match and match[1] != "max" and int(match[2]):
            shares.append(int(match[1]) / int(match[2]))
    _put_cpu(sheet, shares, "cpu.max", seen or len(folders) == 1)


def _cpu_v1(sheet: Sheet, folders: list[Path]) -> None:
    shares, seen = [], False
    for folder in folders:
        quota, period = read_int(folder / "cpu.cfs_quota_us"), read_int(folder / "cpu.cfs_period_us")
        if isinstance(quota, int) and isinstance(period, int):
            seen = True
            if quota > 0 and period > 0:
                shares.append(quota / period)
    _put_cpu(sheet, shares, "cpu.cfs_quota_us", seen)


def _put_cpu(sheet: Sheet, shares: list[float], source: str, seen: bool) -> None:
    unseen = Unavailable(reason=f"{ABSENT} no group has a readable {source}")
    sheet.put("cgroup.cpu_max", min(shares) if shares else None if seen else unseen, source)
