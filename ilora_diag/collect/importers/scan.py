"""One pass over a text of any length: each line goes to the format it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ilora_diag.collect.importers.capture import CaptureHead
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.kernel_log import MARKS, KernelLog
from ilora_diag.collect.importers.report import Report
from ilora_diag.collect.importers.smi_csv import SmiCsv
from ilora_diag.collect.importers.smi_query import SmiQuery
from ilora_diag.collect.importers.smi_table import SmiList, SmiTable, SmiVersion, read_failure
from ilora_diag.collect.importers.smi_xml import SmiXml

# Beyond this many lines a text is a log, not a report: only the kernel's lines are looked for, which is fast.
REPORT_LINES = 50_000


class Section(Protocol):
    """A format with a beginning and an end."""

    def feed(self, line: str) -> bool:
        """Take a line; False where the section ended before it."""

    def close(self, draft: Draft) -> None:
        """Hand over what was read."""


_SECTIONS: tuple[type[SmiXml] | type[SmiQuery] | type[SmiTable] | type[SmiList] | type[SmiVersion] | type[SmiCsv], ...]
_SECTIONS = (SmiXml, SmiQuery, SmiTable, SmiList, SmiVersion, SmiCsv)


def scan(lines: Iterable[str]) -> Draft:
    """What a text holds, of whatever formats.

    Raises:
        ImportFactsError: for an XML document that is broken, cut off or hostile.
    """
    draft, report, log, head = Draft(), Report(), KernelLog(), CaptureHead()
    section: Section | None = None
    number = 0
    for number, line in enumerate(lines, start=1):
        if section is not None:
            if section.feed(line):
                continue
            section.close(draft)
            section = None
        if number > REPORT_LINES:
            if any(mark in line for mark in MARKS):
                log.take_marked(line)
            continue
        section = _opened(line)
        if section is not None:
            section.feed(line)
        elif not (head.feed(line) or log.take(line) or read_failure(draft, line)) and not head.inside_help:
            report.feed(line)
    if section is not None:
        section.close(draft)
    for reader in (head, report, log):
        reader.close(draft)
    if number > REPORT_LINES:
        draft.warn(f"{number} lines: after the first {REPORT_LINES}, only lines of the kernel's log were read")
    return draft


def _opened(line: str) -> Section | None:
    for kind in _SECTIONS:
        if kind.opens(line):
            return kind()
    return None
