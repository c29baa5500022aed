"""A value, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, TypeVar

from ilora_diag.schema.errors import require

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Not known, and why. Never stands for zero, for "none" or for a guess.

    Attributes:
        reason: what kept us from knowing, for people: "NVML: Not Supported", "no step was logged".
        source: where the value would have come from: a file, a call, an event.
    """

    reason: str
    source: str = ""

    def __post_init__(self) -> None:
        require(bool(self.reason), "an unavailable value has a reason")


Known: TypeAlias = T | Unavailable

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Scalar | tuple[Scalar, ...]
Settings: TypeAlias = tuple[tuple[str, Value], ...]
"""A configuration, flat: dotted keys in file order, each with its value."""


def value_or(value: Known[T], default: D) -> T | D:
    """The value if it is known, else `default`: for layout, never for arithmetic that hides the unknown."""
    return default if isinstance(value, Unavailable) else value


def is_ordered(*values: Known[int] | Known[float]) -> bool:
    """Whether the known ones among the values never decrease."""
    known = [value for value in values if not isinstance(value, Unavailable)]
    return all(low <= high for low, high in pairwise(known))


def require_sizes(**sizes: Known[int]) -> None:
    """Refuse negative bytes or counts, by the name of the field."""
    for name, size in sizes.items():
        require(isinstance(size, Unavailable) or size >= 0, f"{name} is not negative, got {size}")


def require_unique(what: str, names: tuple[str, ...]) -> None:
    """Refuse a name that stands twice."""
    require(len(set(names)) == len(names), f"every {what} stands once")
