"""Sessions and items: readers, splits, candidates, and the canonical folder they are kept in."""

from __future__ import annotations

from ilora.data.errors import DataError

__all__ = ["DataError"]
