"""The files that an investigation rests on, with their hashes, so that a later change of any of them is seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ilora_diag.engine.journal import JOURNAL_NAME
from ilora_diag.engine.trial_run import ANSWER, FOLDER, REQUEST, STDERR
from ilora_diag.schema.bisect import Bisect, EvidenceFile

_CHUNK = 1 << 20


def with_evidence(bisect: Bisect, folder: Path) -> Bisect:
    """The record with the files of its run folder that bear it out.

    Args:
        bisect: the record.
        folder: its run folder, with the trials in it.

    Raises:
        OSError: a file is there and cannot be read.
    """
    return replace(bisect, evidence=tuple(evidence_file(folder, path) for path in _paths(bisect, folder)))


def evidence_file(folder: Path, path: str) -> EvidenceFile:
    """A file as it is now.

    Raises:
        OSError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with (folder / path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return EvidenceFile(path=path, size_bytes=size, sha256=digest.hexdigest())


def _paths(bisect: Bisect, folder: Path) -> Iterator[str]:
    """Journal, then each trial's question and answer; of a trial that said nothing, what it printed."""
    if (folder / JOURNAL_NAME).is_file():
        yield JOURNAL_NAME
    for trial in bisect.trials:
        home = f"{FOLDER}/{trial.id}"
        names = [REQUEST, ANSWER] if (folder / home / ANSWER).is_file() else [REQUEST, STDERR]
        yield from (f"{home}/{name}" for name in names if (folder / home / name).is_file())
