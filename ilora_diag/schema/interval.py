"""Interval: where a number of bytes lies. Apart from the estimates it serves, since the tables of cards hold it too."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema.errors import require


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where the device-used bytes lie, and on what that rests."""

    low_bytes: int
    high_bytes: int
    basis: str

    def __post_init__(self) -> None:
        require(0 <= self.low_bytes <= self.high_bytes, "0 <= low_bytes <= high_bytes in an interval")
