"""The kernel's log, wherever this account may read it: Xid events, lines of the NVIDIA modules, the OOM killer.

/dev/kmsg first, then the journal, then files of /var/log. A container sees the host's ring or is refused it;
kernel.dmesg_restrict keeps it for root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.kernel_log import KernelLog
from ilora_diag.collect.sheet import ABSENT, DENIED, FAILED, TIMED_OUT, Sheet, reason_of
from ilora_diag.schema import Known, Unavailable

_FILES = ("var/log/kern.log", "var/log/dmesg", "var/log/messages", "var/log/syslog")
_TAIL_BYTES = 4 << 20
_RECORD_BYTES = 8192
_MAX_RECORDS = 200_000
_JOURNAL_S = 2.0
_LEAVES = ("xid", "sxid", "oom_kills", "lines")


def collect_kernel_log(sheet: Sheet, root: Path) -> None:
    """Leaves `kernel_log.*`; where nothing may be read, each of them says what was tried."""
    tried = []
    for source, lines in _sources(root):
        if isinstance(lines, Unavailable):
            tried.append(f"{source}: {lines.reason}")
            continue
        if lines:
            _put(sheet, lines, source)
            if any("Starting gVisor" in line for line in lines):
                sheet.put("os.gvisor", True, source)
            return
        tried.append(f"{source}: empty")
    refused = [text for text in tried if DENIED in text]
    kind, tried = (DENIED, refused) if refused else (ABSENT, tried)
    for leaf in _LEAVES:
        sheet.no(f"kernel_log.{leaf}", f"{kind} {'; '.join(tried)}", "kernel log")


def _put(sheet: Sheet, lines: tuple[str, ...], source: str) -> None:
    """Read the lines as a pasted log is read; that there is none of a kind is known here, for this is the log."""
    log, draft = KernelLog(), Draft()
    for line in lines:
        log.take(line)
    log.close(draft)
    for fact in draft.facts():
        if fact.path.startswith("kernel_log.") and fact.path != "kernel_log.lines":
            sheet.put(fact.path, fact.value, source)
    for leaf in ("xid", "sxid"):
        sheet.put(f"kernel_log.{leaf}", (), source)
    sheet.put("kernel_log.oom_kills", 0, source)
    sheet.put("kernel_log.lines", len(lines), source)


def _sources(root: Path) -> Iterator[tuple[str, Known[tuple[str, ...]]]]:
    yield "/dev/kmsg", read_ring(root / "dev/kmsg")
    if root == Path("/"):
        yield "journalctl -k -b", _journal()
    for name in _FILES:
        yield f"/{name}", read_tail(root / name)


def read_ring(path: Path) -> Known[tuple[str, ...]]:
    """The records of /dev/kmsg as lines of text. One read gives one record: `prio,seq,time,flags;text`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Unavailable(reason=reason_of(error), source=str(path))
    lines: list[str] = []
    try:
        while len(lines) < _MAX_RECORDS:
            try:
                record = os.read(descriptor, _RECORD_BYTES)
            except BlockingIOError:
                break  # the end, as far as it is written
            except BrokenPipeError:
                continue  # overwritten while we read; the next read goes on behind the gap
            if not record:
                break
            lines.append(_as_dmesg(record.decode("utf-8", "backslashreplace")))
    except OSError as error:
        return Unavailable(reason=reason_of(error), source=str(path))
    finally:
        os.close(descriptor)
    return tuple(lines)


def _as_dmesg(record: str) -> str:
    """A record the way dmesg prints it: `[seconds.micros] text`. Lines behind the first are about the device."""
    head, _, text = record.partition(";")
    fields = head.split(",")
    micros = int(fields[2]) if len(fields) > 2 and fields[2].isdigit() else 0
    return f"[{micros // 1_000_000:5d}.{micros % 1_000_000:06d}] {text.partition(chr(10))[0]}"


def _journal() -> Known[tuple[str, ...]]:
    program = shutil.which("journalctl")
    if program is None:
        return Unavailable(reason=f"{ABSENT} no journalctl")
    command = [program, "-k", "-b", "--no-pager", "-q", "-o", "short", "-n", str(_MAX_RECORDS)]
    try:
        shown = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_JOURNAL_S, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return Unavailable(reason=f"{TIMED_OUT} journalctl gave no answer within {_JOURNAL_S:g} s")
    except OSError as error:
        return Unavailable(reason=reason_of(error))
    if shown.returncode:
        return Unavailable(reason=f"{FAILED} exit code {shown.returncode}")
    return tuple(shown.stdout.splitlines())


def read_tail(path: Path) -> Known[tuple[str, ...]]:
    """The last lines of a log file, at most four MiB of them."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - _TAIL_BYTES, 0))
            content = file.read(_TAIL_BYTES)
    except OSError as error:
        return Unavailable(reason=reason_of(error), source=str(path))
    return tuple(content.decode("utf-8", "backslashreplace").splitlines())
