"""Sessions and items: readers, splits, candidates, and the canonical folder they are kept in."""

from __future__ import annotations

from ilora.data.errors import DataError
from ilora.data.load import load_data
from ilora.data.records import (
    BadRow,
    Catalogue,
    Manifest,
    RowCounts,
    SequenceData,
    Sequences,
    SourceFile,
)

__all__ = [
    "BadRow", "Catalogue", "DataError", "Manifest", "RowCounts", "SequenceData", "Sequences", "SourceFile", "load_data",
]  # fmt: skip
