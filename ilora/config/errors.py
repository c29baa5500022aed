"""What is wrong with a configuration, said so that the next command works."""

from __future__ import annotations

KEY_VALUE = "key=value"
"""What is allowed where a whole argument is none of it: the message then names it as it was typed."""


class ConfigError(ValueError):
    """A value a user can cause and mend.

    Attributes:
        key: dotted name, as typed on the command line.
        value: what was given, as text.
        allowed: what would have been accepted, in words.
        hint: what to type instead, or the reason.
    """

    def __init__(self, key: str, value: object, allowed: str, hint: str = "") -> None:
        self.key, self.value, self.allowed, self.hint = key, str(value), allowed, hint
        typed = f"{key}={value}" if allowed != KEY_VALUE else key
        super().__init__(f"{typed}: allowed is {allowed}" + (f". {hint}" if hint else ""))
