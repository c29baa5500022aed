"""Looking at single values of a snapshot, and saying which one is odd and what would be accepted."""

from __future__ import annotations

import reprlib
from typing import Any

from ilora_diag.memory.snapshot_errors import DamageError

LIMIT = 1 << 62
_LIMITS = {"addr": 1 << 64, "address": 1 << 64}  # addresses; everything else is a size, a time or a number of a thing


def checked_list(value: Any, where: str) -> list[Any]:
    """The value, if it is a list."""
    if not isinstance(value, list):
        raise DamageError(f"has {where} of type {type(value).__name__}; accepted: a list")
    return value


def checked_dict(value: Any, where: str) -> dict[str, Any]:
    """The value, if it is a dict."""
    if not isinstance(value, dict):
        raise DamageError(f"has {where} of type {type(value).__name__}; accepted: a dict")
    return value


def checked_integer(holder: dict[str, Any], key: str, where: str, *, default: int | None = None) -> int:
    """The integer under a key."""
    value = holder.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DamageError(f"has {where}.{key} = {reprlib.repr(value)}; accepted: an integer")
    return value


def checked_size(holder: dict[str, Any], key: str, where: str, *, default: int | None = None) -> int:
    """The number of bytes, the address or the time under a key."""
    value = checked_integer(holder, key, where, default=default)
    limit = _LIMITS.get(key, LIMIT)
    if not 0 <= value < limit:
        raise DamageError(f"has {where}.{key} = {value}; accepted: 0 to 2**{limit.bit_length() - 1} - 1")
    return value
