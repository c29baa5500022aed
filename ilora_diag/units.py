"""Bytes and seconds as people read and type them. Records keep plain integers and floats; these stand at the edges."""

from __future__ import annotations

import re

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SIZE = re.compile(r"\s*(\d{1,20})(?:\.(\d{1,12}))?\s*([A-Za-z]*)\s*")
_EXPONENT_OF = {unit.lower(): exponent for exponent, unit in enumerate(_UNITS)}
_DECIMAL = {"k": "KiB", "kb": "KiB", "m": "MiB", "mb": "MiB", "g": "GiB", "gb": "GiB", "t": "TiB", "tb": "TiB"}


class UnitError(ValueError):
    """A size that cannot be read; the message says what to type."""


def format_bytes(num_bytes: int) -> str:
    """A size with three significant digits: `512 B`, `11.3 GiB`. Binary units only; negative for differences."""
    sign, size = ("-", -num_bytes) if num_bytes < 0 else ("", num_bytes)
    if size < 1024:
        return f"{sign}{size} B"
    for exponent, unit in enumerate(_UNITS[1:], start=1):
        number = _three_digits(size / 1024**exponent)
        if float(number) < 1024 or unit == _UNITS[-1]:
            return f"{sign}{number} {unit}"
    raise AssertionError("the last unit takes every size")


def parse_bytes(text: str) -> int:
    """Bytes from `16GiB`, `1.5 MiB` or a plain `1048576`; fractions are rounded to the nearest byte.

    Raises:
        UnitError: for anything else, also for `16GB`, which some read as 10^9 and others as 2^30 bytes.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UnitError(f"{text!r} is no size: type bytes or a number with KiB, MiB, GiB or TiB, such as 16GiB")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    if unit.lower() in _DECIMAL:
        hint = f"{whole}{'.' if fraction else ''}{fraction}{_DECIMAL[unit.lower()]}"
        raise UnitError(f"{text!r} is ambiguous (powers of 1000 or of 1024): type {hint}")
    if unit and unit.lower() not in _EXPONENT_OF:
        raise UnitError(f"{text!r} has the unknown unit {unit!r}: allowed are {', '.join(_UNITS)}")
    exponent = _EXPONENT_OF[unit.lower() or "b"]
    if fraction and exponent == 0:
        raise UnitError(f"{text!r} is no size: bytes are whole, type {whole} or add KiB, MiB, GiB or TiB")
    scale: int = 10 ** len(fraction)
    return (int(whole + fraction) * 2 * (1 << 10 * exponent) + scale) // (2 * scale)


def format_duration(seconds: float) -> str:
    """A duration as a person would say it: `250 us`, `45.0 ms`, `12.3 s`, `3 min 20 s`, `1 h 02 min`, `2 d 03 h`."""
    assert seconds >= 0, seconds
    if seconds == 0:
        return "0 s"
    for limit, scale, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (60.0, 1.0, "s")):
        number = _three_digits(seconds * scale)
        if float(number) < limit * scale:
            return f"{number} {unit}"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def _three_digits(value: float) -> str:
    """Three significant digits, more where the number has more before the point; the bounds allow for rounding up."""
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"


def typed_bytes(size: int) -> str:
    """A size as one types it, exactly: `4GiB`, `512MiB`, else plain bytes."""
    for name in ("TiB", "GiB", "MiB", "KiB"):
        unit = parse_bytes(f"1{name}")
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)
