"""Captures: many commands of nvidia-smi in one file, each under a banner, after a head that tells of the machine."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ilora_diag.collect.importers.draft import Draft

_SOURCE = "capture head"
_PAIR = re.compile(r"(collected_at|os|kernel|arch):\s+(\S.{0,200}?)\s*")
_BANNER = re.compile(r"# [\w .-]{1,60} :: (.{1,120})")


class CaptureHead:
    """The head and the banners.

    Attributes:
        inside: whether the banners have begun: below them stand help texts too, in which no line is to be taken for
            a report.
    """

    kind = "capture"

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._banners = 0
        self.inside = False

    def feed(self, line: str) -> bool:
        """Take a line of the head, or a banner; False for any other."""
        if line.startswith("#"):
            banner = _BANNER.match(line)
            if banner is not None:
                self._banners += 1
                self.inside = self.inside or "collected_at" in self._found
            return line.startswith(("####", "# $ ")) or banner is not None
        if self._banners == 0 and (pair := _PAIR.fullmatch(line.rstrip())) is not None:
            self._found.setdefault(pair[1], pair[2])
            return "collected_at" in self._found
        return False

    def close(self, draft: Draft) -> None:
        """Hand over the head, if this was a capture."""
        if not self._banners or "collected_at" not in self._found:
            return
        draft.kind(self.kind)
        family, _, name = self._found.get("os", "").partition(" (")
        if name:
            draft.put("os.name", name.removesuffix(")"), _SOURCE)
        if family in ("linux", "windows"):
            draft.put("os.family", family, _SOURCE)
        for key, path in (("kernel", "os.kernel"), ("arch", "os.arch")):
            if key in self._found:
                draft.put(path, self._found[key], _SOURCE)
        draft.captured_at = _seconds(self._found["collected_at"])


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is UTC or moment.utcoffset() is not None else None
