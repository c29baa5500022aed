"""Lines of a kernel log, read for what concerns a GPU. Pure: text in, facts out.

Xid lines: NVIDIA's Xid documentation, `NVRM: Xid (PCI:0000:01:00): 79, ...`; SXid lines come from the NVSwitch driver.
The OOM killer's line is mm/oom_kill.c's `Killed process PID (NAME)`, the same for a control group and the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ilora_diag.schema import Fact, Value

MAX_LINES = 100
_XID = re.compile(r"NVRM: Xid \([^)]*\)[^:]*: (\d{1,4})\b")
_SXID = re.compile(r"SXid \([^)]*\)[^:]*: (\d{1,6})\b")
_MODULE = re.compile(
    r"\bNVRM:|\bnvidia(?:-uvm|-modeset|-nvswitch\d*|_uvm|_drm|-gpu)?\b[^:]{0,24}:|\bnouveau\b", re.IGNORECASE
)
_OOM = re.compile(r"\bKilled process \d+")
_MAX_LINE_CHARS = 500


def read_lines(lines: Iterable[str], source: str) -> tuple[Fact, ...]:
    """The leaves `kernel_log.*` of a log."""
    xid: list[int] = []
    sxid: list[int] = []
    shown: dict[str, list[str]] = {"xid_lines": [], "nvrm_lines": [], "oom_lines": []}
    count = num_oom = 0
    for line in lines:
        count += 1
        line = line[:_MAX_LINE_CHARS].strip()
        if match := _XID.search(line):
            xid.append(int(match[1]))
            shown["xid_lines"].append(line)
        elif match := _SXID.search(line):
            sxid.append(int(match[1]))
            shown["nvrm_lines"].append(line)
        elif _OOM.search(line):
            num_oom += 1
            shown["oom_lines"].append(line)
        elif _MODULE.search(line):
            shown["nvrm_lines"].append(line)
    leaves: dict[str, Value] = {
        "xid": tuple(xid),
        "sxid": tuple(sxid),
        "oom_kills": num_oom,
        "lines": count,
        # The last ones: of a storm of errors the newest tell the present state.
        **{name: tuple(texts[-MAX_LINES:]) for name, texts in shown.items()},
    }
    return tuple(Fact(path=f"kernel_log.{name}", value=value, source=source) for name, value in leaves.items())
