"""How single values are told: known ones with their unit, unknown ones with their reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeVar

from ilora_diag.schema import Known, Unavailable, Value
from ilora_diag.units import format_bytes, format_duration
from reports.messages import Words

T = TypeVar("T")

_JST = timezone(timedelta(hours=9), "JST")


class Teller:
    """Values in one language.

    Args:
        words: the language.
    """

    def __init__(self, words: Words) -> None:
        self.words = words

    def known(self, value: Known[T], show: Callable[[T], str] = str) -> str:
        """The value as `show` has it, or that it was not measured and why; never a zero in place of an unknown."""
        if isinstance(value, Unavailable):
            return self.words("unknown", reason=self.words.reason(value.reason))
        return show(value)

    def count(self, value: Known[int]) -> str:
        """A count with its thousands apart."""
        return self.known(value, lambda number: f"{number:,}")

    def number(self, value: Known[float], digits: int = 4) -> str:
        """A number with so many significant digits."""
        return self.known(value, lambda number: f"{number:.{digits}g}")

    def fixed(self, value: Known[float], decimals: int) -> str:
        """A number with so many decimals."""
        return self.known(value, lambda number: f"{number:,.{decimals}f}")

    def size(self, value: Known[int]) -> str:
        """Bytes with a binary unit."""
        return self.known(value, format_bytes)

    def duration(self, value: Known[float]) -> str:
        """Seconds as a person says them."""
        return self.known(value, format_duration)

    def moment(self, value: Known[float]) -> str:
        """A time of day with its zone: Japanese readers get theirs first."""
        return self.known(value, self._moment)

    def setting(self, value: Value) -> str:
        """A configuration value as it is typed."""
        return setting_text(value)

    def _moment(self, seconds: float) -> str:
        utc = datetime.fromtimestamp(seconds, UTC)
        text = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
        return f"{utc.astimezone(_JST):%Y-%m-%d %H:%M:%S} JST ({text})" if self.words.lang == "ja" else text


def setting_text(value: Value) -> str:
    """A configuration value as YAML and the command line have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(setting_text(item) for item in value) + "]"
    return str(value)
