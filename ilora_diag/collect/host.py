"""The machine itself: operating system, virtualisation, CPU, memory. Files of /proc, /sys and /etc only."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
import time
from pathlib import Path

from ilora_diag.collect.sheet import ABSENT, FAILED, Sheet, exists, list_folder, read_int, read_text
from ilora_diag.schema import Unavailable

# DMI texts (sys_vendor, then product_name) by which hypervisors name themselves; compared without case.
_VENDORS = (
    ("amazon ec2", "amazon"),
    ("google", "google"),
    ("microsoft corporation", "hyperv"),
    ("vmware", "vmware"),
    ("xen", "xen"),
    ("innotek", "virtualbox"),
    ("parallels", "parallels"),
    ("nutanix", "nutanix"),
    ("openstack", "kvm"),
    ("qemu", "kvm"),
    ("kvm", "kvm"),
    ("alibaba cloud", "kvm"),
    ("digitalocean", "kvm"),
    ("bhyve", "bhyve"),
)
# The rest of a command line is nobody's business, and may name hosts and disks.
_CMDLINE = re.compile(
    r"nomodeset|nokaslr|nomodule$|(?:intel_|amd_)?iommu|pci|(?:rd\.driver|modprobe|module)[._]blacklist|nvidia|nouveau|vfio"
    r"|uvm|mem=|hugepages|transparent_hugepage|cgroup|systemd\.unified|swap|acpi|lockdown|module\.sig"
)
_MEMINFO = (
    ("host.memory_total_bytes", "MemTotal"),
    ("host.memory_available_bytes", "MemAvailable"),
    ("host.swap_total_bytes", "SwapTotal"),
)


def collect_host(sheet: Sheet, root: Path) -> None:
    """Leaves `os.*` and `host.*`."""
    _system(sheet, root)
    _kind_of_system(sheet, root)
    _hypervisor(sheet, root)
    _history(sheet, root)
    _identity(sheet, root)
    _hardware(sheet, root)


def _system(sheet: Sheet, root: Path) -> None:
    family = {"linux": "linux", "darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    sheet.put("os.family", family, "sys.platform")
    release = read_text(root / "etc/os-release")
    if isinstance(release, Unavailable):
        sheet.put("os.name", release, "/etc/os-release")
    else:
        match = re.search(r'^PRETTY_NAME=(["\']?)(.*)\1$', release, re.MULTILINE)
        name = match[2] if match else Unavailable(reason=f"{ABSENT} no line PRETTY_NAME")
        sheet.put("os.name", name, "/etc/os-release")
    sheet.put("os.kernel", read_text(root / "proc/sys/kernel/osrelease"), "/proc/sys/kernel/osrelease")
    sheet.put("os.arch", platform.machine(), "uname")
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):  # musl, macOS
        libc = None
    sheet.put("os.libc", (libc or "").replace(" ", "-") or Unavailable(reason=f"{ABSENT} not glibc"), "confstr")


def _kind_of_system(sheet: Sheet, root: Path) -> None:
    kernel = sheet.get("os.kernel")
    if isinstance(kernel, str):
        # Inside docker on WSL2 the WSL_* variables are gone; the name of the kernel is not.
        sheet.put("os.wsl", "microsoft" in kernel.lower(), "/proc/sys/kernel/osrelease")
        # gVisor answers uname with a bare 4.4.0; distributions append a build, as in 4.4.0-210-generic.
        sheet.put("os.gvisor", kernel == "4.4.0", "/proc/sys/kernel/osrelease")
    elif isinstance(kernel, Unavailable):
        sheet.no("os.wsl", kernel.reason, "/proc/sys/kernel/osrelease")
        sheet.no("os.gvisor", kernel.reason, "/proc/sys/kernel/osrelease")
    release = read_text(root / "etc/nv_tegra_release")
    if not isinstance(release, Unavailable):
        sheet.put("os.tegra", True, "/etc/nv_tegra_release")
        sheet.put("os.tegra_release", release.partition("\n")[0], "/etc/nv_tegra_release")
        return
    compatible = read_text(root / "proc/device-tree/compatible")
    # A GB10 (DGX Spark) has no nvidia,tegra in its device tree, and not Tegra's limits either.
    named = isinstance(compatible, str) and "nvidia,tegra" in compatible
    sheet.put("os.tegra", named, "/etc/nv_tegra_release, /proc/device-tree/compatible")


def _hypervisor(sheet: Sheet, root: Path) -> None:
    product = read_text(root / "sys/class/dmi/id/product_name")
    sheet.put("os.product_name", product, "/sys/class/dmi/id/product_name")
    vendor = read_text(root / "sys/class/dmi/id/sys_vendor")
    texts = [text.lower() for text in (vendor, product) if isinstance(text, str)]
    named = next((kind for mark, kind in _VENDORS if any(mark in text for text in texts)), None)
    cpuinfo = read_text(root / "proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE) if isinstance(cpuinfo, str) else None
    guest = " hypervisor " in f"{flags[1]} " if flags else None
    paravirtual = read_text(root / "sys/hypervisor/type")
    source = "/proc/cpuinfo flags, /sys/class/dmi/id, /sys/hypervisor/type"
    if guest is False:  # a metal instance carries its cloud's name in DMI, yet is no guest
        sheet.put("os.hypervisor", "none", source)
    elif isinstance(paravirtual, str) and paravirtual:
        sheet.put("os.hypervisor", paravirtual, source)
    elif (root / "sys/firmware/acpi/tables/DSDT").exists() and _acpi_oem(root).startswith("FIRECK"):
        sheet.put("os.hypervisor", "firecracker", "/sys/firmware/acpi/tables/DSDT")
    elif named is not None and (guest or named not in ("hyperv", "google")):
        sheet.put("os.hypervisor", named, source)
    elif guest:
        sheet.put("os.hypervisor", "unnamed", source)
    else:
        sheet.no("os.hypervisor", f"{ABSENT} neither a CPU flag nor DMI tells", source)


def _acpi_oem(root: Path) -> str:
    """OEM id of the DSDT (ACPI specification: six bytes at offset 10); root alone may read it."""
    try:
        with (root / "sys/firmware/acpi/tables/DSDT").open("rb") as table:
            return table.read(16)[10:16].decode("ascii", "replace")
    except OSError:
        return ""


def _history(sheet: Sheet, root: Path) -> None:
    uptime = read_text(root / "proc/uptime")
    source = "/proc/uptime"
    if isinstance(uptime, Unavailable):
        sheet.put("os.uptime_s", uptime, source)
    else:
        try:
            sheet.put("os.uptime_s", float(uptime.split()[0]), source)
        except (ValueError, IndexError):
            sheet.no("os.uptime_s", f"{FAILED} {uptime[:40]!r}", source)
    required = exists(root / "var/run/reboot-required")
    sheet.put("os.reboot_required", required, "/var/run/reboot-required")
    words = read_text(root / "proc/cmdline")
    chosen = words if isinstance(words, Unavailable) else tuple(w for w in words.split() if _CMDLINE.match(w))
    sheet.put("os.cmdline", chosen, "/proc/cmdline, the words about devices, memory and control groups")
    _suspended(sheet, root)


def _suspended(sheet: Sheet, root: Path) -> None:
    count = read_int(root / "sys/power/suspend_stats/success")
    if isinstance(count, int):
        sheet.put("os.suspended", count > 0, "/sys/power/suspend_stats/success")
    elif root == Path("/") and hasattr(time, "CLOCK_BOOTTIME"):
        # CLOCK_BOOTTIME goes on during suspend, CLOCK_MONOTONIC does not (clock_gettime(2)).
        asleep_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        sheet.put("os.suspended", asleep_s > 1.0, "CLOCK_BOOTTIME - CLOCK_MONOTONIC")
    else:
        sheet.put("os.suspended", count, "/sys/power/suspend_stats/success")


def _identity(sheet: Sheet, root: Path) -> None:
    sheet.put("host.id", read_text(root / "proc/sys/kernel/hostname"), "/proc/sys/kernel/hostname")
    try:
        sheet.put("host.user", getpass.getuser(), "getpass.getuser")
    except (KeyError, OSError):  # an account without a name, as containers have
        sheet.no("host.user", f"{ABSENT} uid {os.getuid()} has no name", "getpass.getuser")


def _hardware(sheet: Sheet, root: Path) -> None:
    cpuinfo = read_text(root / "proc/cpuinfo")
    source = "/proc/cpuinfo"
    if isinstance(cpuinfo, Unavailable):
        sheet.put("host.cpu_model", cpuinfo, source)
    else:
        model = re.search(r"^(?:model name|Model|Processor)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
        sheet.put("host.cpu_model", model[1] if model else Unavailable(reason=f"{ABSENT} no model name"), source)
    count = os.cpu_count()
    sheet.put("host.cpu_count", count if count else Unavailable(reason=f"{ABSENT} not told"), "os.cpu_count")
    meminfo = read_text(root / "proc/meminfo")
    for path, key in _MEMINFO:
        if isinstance(meminfo, Unavailable):
            sheet.put(path, meminfo, "/proc/meminfo")
            continue
        match = re.search(rf"^{key}:\s*(\d+) kB", meminfo, re.MULTILINE)
        value = int(match[1]) * 1024 if match else Unavailable(reason=f"{ABSENT} no line {key}")
        sheet.put(path, value, "/proc/meminfo")


def processes_named(root: Path, names: tuple[str, ...]) -> tuple[str, ...] | Unavailable:
    """Which of the commands run: /proc/PID/comm, which the kernel cuts to 15 characters."""
    entries = list_folder(root / "proc")
    if isinstance(entries, Unavailable):
        return entries
    wanted = {name[:15]: name for name in names}
    found = set()
    for entry in entries:
        if entry.isdigit():
            try:
                comm = (root / "proc" / entry / "comm").read_text(errors="replace").strip()
            except OSError:  # it ended meanwhile, or is not ours to see
                continue
            if comm in wanted:
                found.add(wanted[comm])
    if not any(entry.isdigit() for entry in entries):
        return Unavailable(reason=f"{ABSENT} /proc shows no process", source="/proc/*/comm")
    return tuple(sorted(found))
