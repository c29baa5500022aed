"""Ending in good order what is being watched. A module of its own, since it needs no torch."""

from __future__ import annotations


class Enough(BaseException):
    """Ends a script in good order. No `Exception`, so that what retries after errors lets it pass."""
