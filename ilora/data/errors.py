"""What is wrong with the data, said so that the next command works."""

from __future__ import annotations


class DataError(ValueError):
    """Data a user can replace or repair: names the file, what was expected of it, and what to type."""
