"""One pass over a text of any length: each line goes to the format it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TextIO

from ilora_diag.collect.importers.capture import CaptureHead
from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.kernel_log import MARKS, KernelLog
from ilora_diag.collect.importers.report import Report
from ilora_diag.collect.importers.smi_csv import SmiCsv
from ilora_diag.collect.importers.smi_query import SmiQuery
from ilora_diag.collect.importers.smi_table import SmiList, SmiTable, SmiVersion, read_failure
from ilora_diag.collect.importers.smi_xml import SmiXml

# Beyond this much a text is a log, not a report: only the kernel's lines are looked for, which is fast. The longest
# capture known has 3000 lines and 160 kB.
REPORT_LINES = 10_000
REPORT_CHARACTERS = 4 << 20
MAX_LINE = 1 << 16  # characters; a longer line is read in pieces
_CHUNK = 1 << 20


class Section(Protocol):
    """A format with a beginning and an end."""

    def feed(self, line: str) -> bool:
        """Take a line; False where the section ended before it."""

    def close(self, draft: Draft) -> None:
        """Hand over what was read."""


_SECTIONS: tuple[type[SmiXml] | type[SmiQuery] | type[SmiTable] | type[SmiList] | type[SmiVersion] | type[SmiCsv], ...]
_SECTIONS = (SmiXml, SmiQuery, SmiTable, SmiList, SmiVersion, SmiCsv)


def scan(text: TextIO) -> Draft:
    """What a text holds, of whatever formats.

    Raises:
        ImportFactsError: for an XML document that is broken, cut off or hostile.
    """
    draft, report, log, head = Draft(), Report(), KernelLog(), CaptureHead()
    section: Section | None = None
    number = characters = 0
    while section is not None or (number < REPORT_LINES and characters < REPORT_CHARACTERS):
        line = text.readline(MAX_LINE)
        if not line:
            break
        number, characters = number + 1, characters + len(line)
        if section is not None:
            if section.feed(line):
                continue
            section.close(draft)
        section = _opened(line)
        if section is not None:
            section.feed(line)
        elif not (head.feed(line) or log.take(line) or read_failure(draft, line)) and not head.inside:
            report.feed(line)
    if section is not None:
        section.close(draft)
    rest = sum(_read_chunk(chunk, log) for chunk in _chunks(text))
    for reader in (head, report, log):
        reader.close(draft)
    if rest:
        draft.warn(f"{number + rest} lines: after the first {number}, only lines of the kernel's log were read")
    return draft


def _chunks(text: TextIO) -> Iterator[str]:
    """The rest of a text in large pieces that end with a line."""
    while piece := text.read(_CHUNK):
        yield piece + text.readline(MAX_LINE)


def _read_chunk(chunk: str, log: KernelLog) -> int:
    """Look for the kernel's lines; gives the number of lines."""
    if any(mark in chunk for mark in MARKS):
        for line in chunk.splitlines():
            log.take_marked(line)
    return chunk.count("\n") or 1


def _opened(line: str) -> Section | None:
    for kind in _SECTIONS:
        if kind.opens(line):
            return kind()
    return None
