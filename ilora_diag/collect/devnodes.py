"""Device nodes, opened for real: a node may be missing, closed to this account, or refused by the device cgroup.

Opening /dev/nvidiaN enters the driver, which may take seconds on a card without persistence mode and for ever on a
dead one. So this runs in a child with a deadline.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import stat
from pathlib import Path

from ilora_diag.collect.sheet import ABSENT, Sheet, list_folder, read_text, reason_of
from ilora_diag.schema import Unavailable

_ALWAYS = ("nvidiactl", "nvidia0", "nvidia-uvm")
_IF_THERE = re.compile(r"nvidia\d+|nvidia-uvm-tools|nvidia-modeset|nvidia-nvswitch\w*|dxg|nvmap|nvhost-(?:ctrl|gpu)")
_CAPS = "nvidia-caps"
_MAJORS = ("nvidia", "nvidia-uvm", "nvidia-caps")


def collect_devnodes(sheet: Sheet, root: Path) -> None:
    """Leaves `dev.*`, `dev_mode.*`, `dev_major.*`."""
    folder = root / "dev"
    names = list_folder(folder)
    found = [] if isinstance(names, Unavailable) else [name for name in names if _IF_THERE.fullmatch(name)]
    caps = list_folder(folder / _CAPS)
    if not isinstance(caps, Unavailable):
        found += [f"{_CAPS}/{name}" for name in caps]
    _majors(sheet, root)  # first: it cannot hang
    for name in dict.fromkeys((*_ALWAYS, *found)):
        _mode(sheet, folder / name, name)
    for name in dict.fromkeys((*_ALWAYS, *found)):
        sheet.step(f"open /dev/{name}")
        # Capability nodes are read-only by design (mode 0444 or 0400).
        flags = os.O_RDONLY if name.startswith(_CAPS) else os.O_RDWR
        sheet.put(f"dev.{name}", _try_open(folder / name, flags), f"open /dev/{name}")


def _try_open(path: Path, flags: int) -> str:
    try:
        os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, f"errno {error.errno}")
    return "ok"


def _mode(sheet: Sheet, path: Path, name: str) -> None:
    try:
        status = path.stat()
    except OSError as error:
        if error.errno != errno.ENOENT:
            sheet.no(f"dev_mode.{name}", reason_of(error), f"stat /dev/{name}")
        return
    owner, group = _user(status.st_uid), _group(status.st_gid)
    kind = "" if stat.S_ISCHR(status.st_mode) else " (no character device)"
    sheet.put(f"dev_mode.{name}", f"{stat.S_IMODE(status.st_mode):04o} {owner} {group}{kind}", f"stat /dev/{name}")


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _majors(sheet: Sheet, root: Path) -> None:
    text = read_text(root / "proc/devices")
    source = "/proc/devices"
    if isinstance(text, Unavailable):
        for name in _MAJORS:
            sheet.put(f"dev_major.{name}", text, source)
        return
    found: dict[str, int] = {}
    characters = text.partition("Block devices:")[0]
    for number, name in re.findall(r"^\s*(\d+)\s+(nvidia\S*)$", characters, re.MULTILINE):
        # Drivers before 550 registered nvidia-frontend, later ones nvidia and nvidiactl, all with major 195.
        found.setdefault("nvidia" if name in ("nvidia-frontend", "nvidiactl") else name, int(number))
    for name in dict.fromkeys((*_MAJORS, *found)):
        missing = Unavailable(reason=f"{ABSENT} no driver registered {name}")
        sheet.put(f"dev_major.{name}", found.get(name, missing), source)
