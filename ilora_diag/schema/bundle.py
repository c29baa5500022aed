"""Bundle: what an archive for a bug report holds, what was left out of it and why, and what was replaced in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import require_sizes, require_unique

Counts = tuple[tuple[str, int], ...]
"""Kind of identifier -> how often it was replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file of the archive.

    Attributes:
        path: in the archive.
        size_bytes, sha256: of its content there.
        redactions: what was replaced in it.
    """

    path: str
    size_bytes: int
    sha256: str
    redactions: Counts

    def __post_init__(self) -> None:
        require_sizes(size_bytes=self.size_bytes)
        require(len(self.sha256) == 64, "a sha256 has 64 digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file of the run folder that is not in the archive.

    Attributes:
        path: in the run folder, redacted as everything else.
        reason: word of the vocabulary of reasons (`ilora_diag.engine.bundle.choose`).
        size_bytes: of the file.
    """

    path: str
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The manifest.

    Attributes:
        run_id: name of the run folder, redacted.
        created_at: seconds since the epoch.
        tool_version: of ilora-diag.
        files: in order of their paths; the manifest itself is none of them.
        left_out: likewise.
        redactions: of all files together.
        checked: the archive was read again after writing, and nothing known or secret-like was found in it; false in
            a preview, of which there is no archive.
    """

    SCHEMA: ClassVar[str] = "bundle"

    run_id: str
    created_at: float
    tool_version: str
    files: tuple[BundleFile, ...]
    left_out: tuple[LeftOut, ...]
    redactions: Counts
    checked: bool

    def __post_init__(self) -> None:
        require_unique("file", tuple(file.path for file in self.files))
