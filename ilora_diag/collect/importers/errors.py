"""The one error of the importers and of the facts file."""

from __future__ import annotations


class ImportFactsError(ValueError):
    """What was given holds no facts that can be read. The message says what it is and what would be accepted."""
