"""Limits of the host and the container: shared memory, memory, address space (L10)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.common import in_container
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Severity
from ilora_diag.units import format_bytes

DOCKER_SHM_BYTES = 64 << 20
"""What Docker and Kubernetes give /dev/shm unless told otherwise."""

_BUS = (
    r"bus error|insufficient shared memory|out of shared memory|No space left on device[^\n]*(?:shm|torch_)|"
    r"failed to extend /dev/shm|posix_fallocate failed|unable to (?:open|allocate|mmap) shared memory|"
    r"creating shared memory segment|/dev/shm[^\n]*(?:full|too small|No space)|unable to write to file </torch_"
)
_BUS_SIGNATURES = ("dl_bus_error", "nccl_shm", "mmap_cpu")
_DENIED = (
    r"shm_open[^\n]*Permission denied|/dev/shm[^\n]*Permission denied|Permission denied[^\n]*/dev/shm|"
    r"unable to open shared memory object[^\n]*Permission denied|SemLock[^\n]*Permission|"
    r"PermissionError[^\n]*(?:shm|SemLock)"
)
_KILLED = (
    r"(?m)^Killed\s*$|exit(?:ed with)? (?:code|status)[: ]+(?:137|-9)\b|exitcode:? -9|oom[-_ ]kill|OOMKilled|"
    r"\bSIGKILL\b|"
    r"signal 9\b|Memory cgroup out of memory|Out of memory: Killed process|is killed by signal: Killed|returned -9"
)
_HOST_ALLOC = r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|Cannot allocate memory|std::bad_alloc"


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    denied = list(_shm_denied(case))
    yield from denied
    if not denied:
        yield from _shm_small(case)
    yield from _killed(case)
    yield from _address_space(case)


def _shm_denied(case: Case) -> Iterator[Claim]:
    grounds: list[Ground] = []
    if case.flag("shm.writable") is False:
        grounds.append(decides(case.seen("shm.writable", "True")))
    mode = case.text("shm.mode")
    if (
        mode
        and not mode.rstrip().endswith(("777", "rwxrwxrwx", "rwxrwxrwt"))
        and not grounds
        and case.error_says(_DENIED)
    ):
        grounds.append(decides(case.seen("shm.mode", "1777")))
    if said := case.error_says(_DENIED):
        grounds.append(suggests(said))
    if grounds:
        yield claim("SHM002", grounds, remedy="sudo chmod 1777 /dev/shm", decider=decider("shm.mode"))


def _shm_small(case: Case) -> Iterator[Claim]:
    total, free = case.integer("shm.total_bytes"), case.integer("shm.free_bytes")
    said = case.error_says(_BUS, *_BUS_SIGNATURES)
    small = total is not None and total <= DOCKER_SHM_BYTES
    full = free is not None and total is not None and not small and free < 16 << 20
    if not small and not full and not said:
        return
    if said and total is not None and not small and not full:
        said_shm = case.error_says(r"shm|shared memory", "nccl_shm")
        if said_shm is None or (free or total) > 8 << 30:
            return  # enough of it: a bus error then comes from elsewhere, as from a file that was cut while mapped
    grounds: list[Ground] = []
    if small or full:
        path = "shm.total_bytes" if small else "shm.free_bytes"
        grounds.append(decides(case.seen(path, "several GiB")))
    if said:
        grounds.append(suggests(said))
    told = case.says(r"--ipc=host|--shm-size|shm-size")
    grounds += [fits(told)] if told and said else []
    pod = case.text("container.kind") == "kubernetes"
    run = (
        "docker run --shm-size=8g --gpus all IMAGE"
        if in_container(case) or total is None
        else "sudo mount -o remount,size=8G /dev/shm"
    )
    yield claim(
        "SHM001",
        grounds,
        params={"size": format_bytes(total) if total is not None else "?"},
        remedy="kubectl edit deployment NAME   # an emptyDir with medium: Memory on /dev/shm" if pod else run,
        decider=decider("shm.total_bytes"),
        severity=Severity.ERROR if said else None,
    )


def _killed(case: Case) -> Iterator[Claim]:
    said = case.error_says(_KILLED, "killed_137", "dl_killed")
    alloc = case.error_says(_HOST_ALLOC, "host_oom_alloc")
    code = case.integer("error.exit_code")
    grounds: list[Ground] = []
    if (case.integer("cgroup.oom_kills") or 0) > 0:
        grounds.append(decides(case.seen("cgroup.oom_kills", "0")))
    if (case.integer("kernel_log.oom_kills") or 0) > 0:
        grounds.append(decides(case.seen("kernel_log.oom_kills", "0")))
    complained = bool(said or alloc or code in (137, -9))
    if code in (137, -9):
        grounds.append(suggests(case.seen("error.exit_code", "0")))
    if said:
        certain = re.search(r"oom|out of memory", str(said.observed), re.IGNORECASE)
        # SIGKILL alone may come from a person or a scheduler; no counter says so then.
        grounds.append(suggests(said) if certain or not case.has("cgroup.oom_kills") else fits(said))
    if alloc:
        grounds.append(suggests(alloc))
    if not grounds or (not complained and case.has_error):
        return
    limit = case.integer("cgroup.memory_max_bytes")
    grounds += [fits(case.seen("cgroup.memory_max_bytes"))] if limit is not None else []
    yield claim(
        "MEM006",
        grounds,
        params={"limit": format_bytes(limit) if limit is not None else "?"},
        remedy="docker run --memory=64g --gpus all IMAGE" if limit is not None else "free -h; sudo dmesg | grep -i oom",
        decider=decider("cgroup.oom_kills"),
        severity=None if complained else Severity.WARNING,
    )


def _address_space(case: Case) -> Iterator[Claim]:
    limit = case.integer("ulimit.as_bytes")
    if limit is None:
        return
    grounds: list[Ground] = [decides(case.seen("ulimit.as_bytes", "unlimited"))]
    said = case.error_says(
        r"CUDA driver error: out of memory|cuMemAddressReserve|Cannot allocate memory", "oom_driver_vmm"
    )
    grounds += [fits(said)] if said else []
    yield claim("LIM001", grounds, params={"limit": format_bytes(limit)}, remedy="ulimit -v unlimited",
                severity=Severity.ERROR if said else None)  # fmt: skip
