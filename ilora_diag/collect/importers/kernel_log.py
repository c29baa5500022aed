"""Lines of the kernel's log: Xid and SXid, the driver's own messages, processes ended for want of memory.

Meanings of Xid numbers are in the compatibility table; forms of the lines: NVIDIA's Xid documentation and drivers
410 to 580; Linux mm/oom_kill.c.
"""

from __future__ import annotations

import re

from ilora_diag.collect.importers.draft import Draft

_SOURCE = "kernel log"
MAX_KEPT = 100
MAX_NUMBERS = 10_000
# Cheap words first: a log of hundreds of megabytes is read with these alone.
MARKS = ("NVRM", "SXid", "Killed process", "nvidia-uvm", "Linux version ")
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?[0-9A-Fa-f:.]{4,20}\).{0,80}?: (\d{1,5}),")
_SXID = re.compile(r"SXid \((?:PCI:)?[0-9A-Fa-f:.]{4,20}\): (\d{1,6}),")
_KILLED = re.compile(r"[Oo]ut of memory:? Killed process|[Mm]emory cgroup out of memory:? Kill(?:ed)? process")
_LOADED = re.compile(
    r"NVRM: loading NVIDIA UNIX (Open )?.{0,40}?Kernel Module.{0,40}?\s(\d{3}\.\d{1,4}(?:\.\d{1,3})?)\s"
)
_VERSION_FILE = re.compile(
    r"NVRM version:\s*NVIDIA UNIX (Open )?.{0,40}?Kernel Module.{0,40}?\s(\d{3}\.\d{1,4}(?:\.\d{1,3})?)\s"
)
_CLIENT = re.compile(r"client has the version (\d{3}\.[\d.]{1,12})")
_MODULE = re.compile(r"this kernel module has\s+the version (\d{3}\.[\d.]{1,12})")
_STAMPED = re.compile(r"(?:<\d{1,3}>)?\[\s{0,8}\d{1,9}\.\d{3,6}\]|[A-Z][a-z]{2} +\d+ [\d:]{8} \S+ kernel:")
_KERNEL = re.compile(r"Linux version (\S{1,80})")


class KernelLog:
    """The lines of one log, wherever they stand in a text."""

    kind = "kernel_log"

    def __init__(self) -> None:
        self.lines = 0
        self._xid: list[int] = []
        self._sxid: list[int] = []
        self._killed = 0
        self._kept: dict[str, list[str]] = {"xid": [], "nvrm": [], "oom": []}
        self._versions: dict[str, str] = {}  # the last line wins: a module may have been loaded anew

    def take(self, line: str) -> bool:
        """Take a line if it is one of a kernel's log."""
        stamped = _STAMPED.match(line.lstrip()) is not None
        if stamped:
            self.lines += 1
        return self.take_marked(line) or stamped

    def take_marked(self, line: str) -> bool:
        """Take a line that carries one of the marks; False for any other."""
        if not any(mark in line for mark in MARKS):
            return False
        line = line[:2000]
        xid, sxid = _XID.search(line), _SXID.search(line)
        if xid is not None:
            self._count(self._xid, xid)
            self._keep("xid", line)
        elif sxid is not None:
            self._count(self._sxid, sxid)
            self._keep("xid", line)
        elif _KILLED.search(line) is not None:
            self._killed += 1
            self._keep("oom", line)
        elif "NVRM" in line or "nvidia-uvm" in line:
            self._driver(line)
        elif (kernel := _KERNEL.search(line)) is not None:
            self._versions["os.kernel"] = kernel[1]
        else:
            return False
        return True

    def close(self, draft: Draft) -> None:
        """Hand over what was found. That there was no Xid is known of a log only, not of any other text."""
        if not (self.lines or any(self._kept.values()) or self._versions):
            return
        is_log = self.lines >= 3
        if is_log or self._xid:
            draft.put("kernel_log.xid", tuple(self._xid), _SOURCE)
        if self._sxid:
            draft.put("kernel_log.sxid", tuple(self._sxid), _SOURCE)
        if is_log or self._killed:
            draft.put("kernel_log.oom_kills", self._killed, _SOURCE)
        if is_log:
            draft.put("kernel_log.lines", self.lines, _SOURCE)
        for name, kept in self._kept.items():
            if kept:
                draft.put(f"kernel_log.{name}_lines", tuple(kept), _SOURCE)
        if is_log or self._versions or any(self._kept.values()):
            draft.kind(self.kind)
        for path, value in self._versions.items():
            draft.put(path, value, _SOURCE)

    def _driver(self, line: str) -> None:
        loaded = _LOADED.search(line) or _VERSION_FILE.search(line)
        if loaded is not None:
            self._versions["driver.kmod"] = loaded[2]
            self._versions["driver.kmod_flavour"] = "open" if loaded[1] else "proprietary"
        for pattern, path in ((_CLIENT, "driver.userspace"), (_MODULE, "driver.kmod")):
            match = pattern.search(line)
            if match is not None:
                self._versions[path] = match[1].rstrip(".")
        self._keep("nvrm", line)

    def _keep(self, name: str, line: str) -> None:
        if len(self._kept[name]) < MAX_KEPT:
            self._kept[name].append(line.strip()[:300])

    @staticmethod
    def _count(numbers: list[int], match: re.Match[str]) -> None:
        if len(numbers) < MAX_NUMBERS:
            numbers.append(int(match[1]))
