"""Taking a pasted or logged text apart into the exceptions it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOISE = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|^\[(?:rank|default)?\d+\]: ?", re.MULTILINE
)  # colours, torchrun's prefixes
_HEADER = re.compile(r"^\s*Traceback \(most recent call last\):\s*$", re.MULTILINE)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+, in (?P<function>.+?)\s*$', re.MULTILINE)
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?")
# Where frames belong to packages or to Python itself, which do not tell two failures of ours apart.
_FOREIGN = re.compile(r"(?:^|/)(?:site-packages|dist-packages|torch|lib/python3(?:\.\d+)?)/|^<")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownException:
    """One exception of a text.

    Attributes:
        type: class name with its modules, as Python prints it; empty where the block names none.
        message: what follows it, to the end of the block.
        frames: (file, function), the deepest last.
    """

    type: str
    message: str
    frames: tuple[tuple[str, str], ...]

    @property
    def top_frame(self) -> str | None:
        """`file.py:function` of the deepest frame outside packages, with the folder the file lies in."""
        own = [(file, function) for file, function in self.frames if not _FOREIGN.search(file)]
        if not own:
            return None
        file, function = own[-1]
        return f"{'/'.join(file.split('/')[-2:])}:{function}"


def clean(text: str) -> str:
    """The text without colours and without the prefixes that torchrun puts before each line."""
    return _NOISE.sub("", text)


def exceptions(text: str) -> tuple[ShownException, ...]:
    """The exceptions that a clean text shows with tracebacks, in the order of the text: causes before consequences."""
    headers = list(_HEADER.finditer(text))
    ends = [*(header.start() for header in headers[1:]), len(text)]
    return tuple(_exception(text[header.end() : end]) for header, end in zip(headers, ends, strict=False))


def _exception(block: str) -> ShownException:
    frames = tuple((match["file"].replace("\\", "/"), match["function"]) for match in _FRAME.finditer(block))
    lines = block.splitlines()
    for number, line in enumerate(lines):
        raised = _RAISED.fullmatch(line)  # frames and their source lines are indented, the exception is not
        if raised:
            message = "\n".join([raised["message"] or "", *lines[number + 1 :]]).strip()
            return ShownException(type=raised["type"], message=message, frames=frames)
    return ShownException(type="", message=block.strip(), frames=frames)
