"""Why there is no archive."""

from __future__ import annotations


class BundleError(Exception):
    """The archive cannot be made; the message says what to do."""


class LeakError(BundleError):
    """Something that must not leave the machine was still in the archive, which was deleted.

    Attributes:
        places: kind and place of each, never the value itself.
    """

    def __init__(self, places: tuple[str, ...]) -> None:
        self.places = places
        super().__init__("the archive still held what must not leave this machine")
