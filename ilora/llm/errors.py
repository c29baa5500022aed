"""What is wrong with a language model, said so that the next command works."""

from __future__ import annotations


class LlmError(ValueError):
    """A language model a user can repair, install or replace: names the key, what was found, and what to type."""
