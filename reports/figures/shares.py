"""What figures of memory shares have in common: a look for every category, and an axis with round numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema import Category
from reports.figures.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SKY, VERMILION

_YELLOW = "#F0E442"


@dataclass(frozen=True, slots=True)
class Look:
    """A colour and a hatching: neighbours are told apart in black and white too.

    Lines only: in SVG a hatching of dots or circles takes hundreds of kilobytes.
    """

    colour: str
    hatch: str = ""


LOOKS = {
    Category.PARAMETER: Look(BLUE),
    Category.GRADIENT: Look(VERMILION, "//"),
    Category.OPTIMIZER_STATE: Look(GREEN, "--"),
    Category.ACTIVATION: Look(ORANGE),
    Category.BUFFER: Look(PURPLE, "xx"),
    Category.INPUT: Look(_YELLOW),
    Category.TEMPORARY: Look(SKY, "\\\\"),
    Category.WORKSPACE: Look(MUTED, "||"),
    Category.UNKNOWN: Look("#24292F"),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """The unit of an axis, with the bytes of one."""

    unit: str
    unit_bytes: int

    def of(self, num_bytes: int) -> float:
        """Bytes as a position on the axis."""
        return num_bytes / self.unit_bytes


def gap_name(name: str) -> str:
    """The name of a gap in the chain as the messages have it."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def axis_for(largest_bytes: int) -> Axis:
    """The binary unit in which the largest value is at least one; MiB at the smallest."""
    return Axis("GiB", 1 << 30) if largest_bytes >= 1 << 30 else Axis("MiB", 1 << 20)
