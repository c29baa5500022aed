"""Making pasted and logged texts readable: what terminals, launchers and web pages put around the words."""

from __future__ import annotations

import html
import re

# Colours and cursor movements; launchers' prefixes ("[rank0]:", "(RayTrainWorker pid=7)", "0: ") at the line's start.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_PREFIX = re.compile(r"^(?:\[(?:rank|default)?\d+\]: ?|\(\w+ pid=\d+[^)\n]*\) ?)+", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def clean_text(text: str) -> str:
    """The text without colours, control characters, launchers' prefixes and HTML entities; lines stay lines."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " "))
    if "[" in text or "pid=" in text:
        text = _PREFIX.sub("", text)
    return html.unescape(text) if "&" in text else text
