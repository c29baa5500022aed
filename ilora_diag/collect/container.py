"""What surrounds the process: the container and its kind, control groups, /dev/shm, limits."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ilora_diag.collect.cgroups import collect_cgroups
from ilora_diag.collect.sheet import ABSENT, FAILED, TIMED_OUT, Sheet, exists, list_folder, read_text, reason_of
from ilora_diag.schema import Known, Unavailable, Value

_LIMITS = (
    ("ulimit.nofile", resource.RLIMIT_NOFILE),
    ("ulimit.memlock_bytes", resource.RLIMIT_MEMLOCK),
    ("ulimit.as_bytes", resource.RLIMIT_AS),
    ("ulimit.nproc", resource.RLIMIT_NPROC),
    ("ulimit.core_bytes", resource.RLIMIT_CORE),
)
_CDI_FOLDERS = ("etc/cdi", "var/run/cdi")
_COMMAND_S = 2.0


def collect_container(sheet: Sheet, root: Path, environ: Mapping[str, str] | None = None) -> None:
    """Leaves `container.*`, `cgroup.*`, `shm.*`, `ulimit.*`."""
    environ = os.environ if environ is None else environ
    kind, source = container_kind(root, environ)
    sheet.put("container.kind", kind, source)
    for path, name in (
        ("container.visible_devices", "NVIDIA_VISIBLE_DEVICES"),
        ("container.driver_capabilities", "NVIDIA_DRIVER_CAPABILITIES"),
    ):
        sheet.put(path, environ.get(name), f"environment variable {name}")
    cuda = environ.get("CUDA_VERSION") or Unavailable(reason=f"{ABSENT} CUDA_VERSION is not set")
    sheet.put("container.cuda_version", cuda, "environment variable CUDA_VERSION, which CUDA images set")
    _status(sheet, root)
    _toolkit(sheet, root)
    collect_cgroups(sheet, root)
    _shm(sheet, root / "dev/shm")
    for path, number in _LIMITS:
        soft = resource.getrlimit(number)[0]
        sheet.put(path, None if soft == resource.RLIM_INFINITY else soft, "getrlimit")


def container_kind(root: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """Kind of container and what gives it away. The outermost that is named wins: a pod is made of containers."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes", "environment variable KUBERNETES_SERVICE_HOST"
    for name in ("APPTAINER_NAME", "SINGULARITY_NAME", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if name in environ:
            return "singularity", f"environment variable {name}"
    groups = read_text(root / "proc/1/cgroup")
    of_first = groups if isinstance(groups, str) else ""
    first = read_text(root / "proc/1/environ")
    declared = re.search(r"(?:^|\0)container=([^\0]*)", first) if isinstance(first, str) else None
    name = declared[1] if declared else environ.get("container", "")
    if "kubepods" in of_first:
        return "kubernetes", "/proc/1/cgroup"
    if exists(root / "run/.containerenv") is True or name == "podman":
        return "podman", "/run/.containerenv"
    if exists(root / ".dockerenv") is True:
        return "docker", "/.dockerenv"
    if re.search(r"/docker[/-]", of_first):
        return "docker", "/proc/1/cgroup"
    if name.startswith("lxc") or "/lxc" in of_first:
        return "lxc", "environment of process 1, /proc/1/cgroup"
    if name:
        return "container", f"container={name} in the environment of process 1"
    mounts = read_text(root / "proc/self/mountinfo")
    if isinstance(mounts, str) and re.search(r"^\S+ \S+ \S+ \S+ / .* - overlay ", mounts, re.MULTILINE):
        return "container", "/proc/self/mountinfo: / is an overlay"
    return "none", "/.dockerenv, /run/.containerenv, /proc/1/cgroup, /proc/self/mountinfo"


def _status(sheet: Sheet, root: Path) -> None:
    status = read_text(root / "proc/self/status")
    for path, key, base in (("container.seccomp", "Seccomp", 10), ("container.cap_effective", "CapEff", 16)):
        value: Known[Value] = Unavailable(reason=f"{ABSENT} no line {key}")
        if isinstance(status, Unavailable):
            value = status
        elif match := re.search(rf"^{key}:\s*([0-9a-fA-F]+)$", status, re.MULTILINE):
            value = int(match[1]) if base == 10 else match[1]
        sheet.put(path, value, "/proc/self/status")


def _toolkit(sheet: Sheet, root: Path) -> None:
    versions: set[str] = set()
    for folder in _CDI_FOLDERS:
        names = list_folder(root / folder)
        for name in () if isinstance(names, Unavailable) else names:
            text = read_text(root / folder / name)
            if isinstance(text, str):
                versions.update(re.findall(r"libcuda\.so\.(\d+\.[\d.]*\d)", text))
    source = ", ".join(f"/{folder}" for folder in _CDI_FOLDERS)
    missing = Unavailable(reason=f"{ABSENT} no CDI file names a driver")
    sheet.put("container.cdi_driver_versions", tuple(sorted(versions)) or missing, source)
    if root == Path("/"):
        version = command_version("nvidia-ctk", r"version ([\d.]+\S*)")
        sheet.put("container.toolkit_version", version, "nvidia-ctk --version")
    groups = read_text(root / "proc/1/cgroup")
    if isinstance(groups, str) and re.search(r"/(?:docker|kubepods|libpod|cri-containerd)", groups):
        driver = "systemd" if re.search(r"\.(?:scope|slice)", groups) else "cgroupfs"
        sheet.put("container.cgroup_driver", driver, "/proc/1/cgroup")


def command_version(program: str, pattern: str, *args: str, deadline_s: float = _COMMAND_S) -> Known[str]:
    """What a program says of its version, the first group of the pattern."""
    file = shutil.which(program)
    if file is None:
        return Unavailable(reason=f"{ABSENT} no {program} on PATH")
    try:
        shown = subprocess.run(
            [file, *(args or ("--version",))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline_s,
            check=False,
            errors="replace",
            text=True,
        )
    except subprocess.TimeoutExpired:
        return Unavailable(reason=f"{TIMED_OUT} {program} gave no answer within {deadline_s:g} s")
    except OSError as error:
        return Unavailable(reason=reason_of(error))
    match = re.search(pattern, shown.stdout + shown.stderr)
    return match[1] if match else Unavailable(reason=f"{FAILED} exit code {shown.returncode}, no version in its output")


def _shm(sheet: Sheet, folder: Path) -> None:
    try:
        size, mode = os.statvfs(folder), folder.stat().st_mode
    except OSError as error:
        for leaf in ("total_bytes", "free_bytes", "writable", "mode"):
            sheet.no(f"shm.{leaf}", reason_of(error), "/dev/shm")
        return
    sheet.put("shm.total_bytes", size.f_blocks * size.f_frsize, "statvfs /dev/shm")
    sheet.put("shm.free_bytes", size.f_bavail * size.f_frsize, "statvfs /dev/shm")
    sheet.put("shm.writable", os.access(folder, os.W_OK | os.X_OK), "access /dev/shm")
    sheet.put("shm.mode", f"{mode & 0o7777:04o}", "stat /dev/shm")
