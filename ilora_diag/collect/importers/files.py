"""Opening what a user named."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from ilora_diag.collect.importers.errors import ImportFactsError


def open_file(path: Path) -> IO[bytes]:
    """A regular file, for reading.

    Raises:
        ImportFactsError: for one that is missing, is no regular file, or may not be read.
    """
    name = str(path)[:300]
    try:
        problem = None if path.is_file() else "is no file" if path.exists() else "does not exist"
        if problem is None:
            return path.open("rb")
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
    except ValueError as error:  # a NUL in the name
        name, problem = repr(name), str(error)
    raise ImportFactsError(f"{name}: {problem}")
