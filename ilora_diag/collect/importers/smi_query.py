"""`nvidia-smi -q` as text: headings by indentation, brought into the form of the XML."""

from __future__ import annotations

import re

from ilora_diag.collect.importers.draft import Draft
from ilora_diag.collect.importers.smi_fields import Node
from ilora_diag.collect.importers.smi_xml import put_log
from ilora_diag.collect.importers.values import slug

MAX_LINES = 200_000
MAX_LINE = 2000  # characters; the patterns below are not linear in the length of a line
_GPU = re.compile(r"GPU ([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f])\s*")
_PAIR = re.compile(r"( *)(\S.*?)\s*: ?(.*)")
_HEADING = re.compile(r"( *)([A-Za-z][\w ./()-]*?)\s*")
_SOURCE = "nvidia-smi -q"


class SmiQuery:
    """One log, fed by lines. It ends with the first line that has another form."""

    kind = "nvidia_smi_query"

    def __init__(self) -> None:
        self._log = Node("nvidia_smi_log")
        self._open: list[tuple[int, Node]] = [(-1, self._log)]
        self._lines = 0

    @staticmethod
    def opens(line: str) -> bool:
        """Whether a log begins here."""
        return "NVSMI LOG" in line and "=====" in line

    def feed(self, line: str) -> bool:
        """Take a line; False where the log is over."""
        self._lines += 1
        text = line[:MAX_LINE].rstrip().replace("\t", "    ")
        if self._lines == 1 or not text:
            return True
        if self._lines > MAX_LINES or text.startswith(("#", "+", "|", "=", "$", "[")):
            return False
        gpu = _GPU.fullmatch(text)
        if gpu is not None:
            node = Node("gpu", children=[Node("id", gpu[1])])
            self._log.children.append(node)
            self._open = [(-1, self._log), (0, node)]
            return True
        pair, heading = _PAIR.fullmatch(text), _HEADING.fullmatch(text)
        match = pair or heading
        if match is None or (not match[1] and len(self._open) > 1 and self._open[1][0] == 0 and pair is None):
            return False
        self._add(len(match[1]), Node(slug(match[2]), pair[3].strip() if pair else ""))
        return True

    def close(self, draft: Draft) -> None:
        """Hand over what the log said."""
        draft.kind(self.kind)
        put_log(draft, self._log, _SOURCE)

    def _add(self, indent: int, node: Node) -> None:
        while len(self._open) > 1 and self._open[-1][0] >= indent:
            self._open.pop()
        if indent == 0:
            self._open = [(-1, self._log)]
        if len(self._open) < 32:
            self._open[-1][1].children.append(node)
            self._open.append((indent, node))
