"""What the sections on a snapshot share."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema import Snapshot
from ilora_diag.schema.snapshot import OpBytes, SnapshotDevice, StackBytes
from reports.messages import Words

_NO_STACK = "(no stack recorded)"
_BEFORE = "(before the window)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStory:
    """One device of a snapshot, told in one language.

    Attributes:
        top: rows of the longer tables.
    """

    snapshot: Snapshot
    device: SnapshotDevice
    words: Words
    top: int = 10

    def site(self, part: StackBytes) -> str:
        """Who allocated a part."""
        return self._named(part.site, before=part.before_window and part.site == _BEFORE)

    def is_told(self, part: StackBytes) -> bool:
        """Whether a stack says who allocated a part."""
        return part.site not in (_NO_STACK, _BEFORE)

    def op(self, part: OpBytes) -> str:
        """Which operator allocated a part."""
        return self._named(part.op, before=part.before_window)

    def _named(self, name: str, *, before: bool) -> str:
        if before:
            return self.words("snapshot.part.before")
        return self.words("snapshot.part.no_stack") if name == _NO_STACK else name


def share_of(size: int, whole: int) -> str:
    """A share in percent, to rank by. Nearly nothing is told from nothing, nearly all from all."""
    if not whole:
        return "-"
    percent = 100 * size / whole
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 or size == whole else ">99.9 %"
