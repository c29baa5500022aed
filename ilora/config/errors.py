"""What is wrong with a configuration, said so that the next command works."""

from __future__ import annotations


class ConfigError(ValueError):
    """A value a user can cause and mend.

    Attributes:
        key: dotted name, as typed on the command line.
        value: what was given, as text.
        allowed: what would have been accepted, in words.
        hint: what to type instead, or the reason.

    Args:
        key, value, allowed, hint: see there.
        typed: how the message names it; by default key=value.
    """

    def __init__(self, key: str, value: object, allowed: str, hint: str = "", *, typed: str | None = None) -> None:
        self.key, self.value, self.allowed, self.hint = key, str(value), allowed, hint
        super().__init__(f"{typed or f'{key}={value}'}: allowed is {allowed}" + (f". {hint}" if hint else ""))
