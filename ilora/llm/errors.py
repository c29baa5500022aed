"""What is wrong with a language model, said so that the next command works."""

from __future__ import annotations


class LlmError(ValueError):
    """A language model a user can repair, install or replace: names the key, what was found, and what to type."""


def reason(error: BaseException) -> str:
    """What a library said went wrong, on one line and ready to be followed by a full stop."""
    return " ".join(str(error).split()).rstrip(".")
