"""Compute capability of a card by its name, where the card table has no row: product lines share one.

Source of the lines: developer.nvidia.com/cuda-gpus and cuda-legacy-gpus (November 2026). A line that holds cards of
several capabilities is left out, or split until it does not; `unverified` marks what those pages were not read for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ilora_diag.hardware.gpus import UnknownGpu, find_gpu


@dataclass(frozen=True, slots=True)
class NamedCapability:
    """A capability that a name stands for.

    Attributes:
        cc: (major, minor).
        basis: "card table", or the product line that matched.
        unverified: no page was read for the line.
    """

    cc: tuple[int, int]
    basis: str
    unverified: bool = False


_LINES: tuple[tuple[str, tuple[int, int], str, bool], ...] = (
    (r"\bB200\b|\bGB200\b|\bB100\b", (10, 0), "B200", False),
    (r"\bB300\b|\bGB300\b", (10, 3), "B300", False),
    (r"\bGB10\b|DGX Spark", (12, 1), "GB10", False),
    (r"\bRTX\s*PRO\s*\d{4}\s*Blackwell|\bRTX\s*50\d0|\bRTX\s*50 series", (12, 0), "RTX 50", False),
    (r"\bH100\b|\bH200\b|\bH800\b|\bH20\b|\bGH200\b", (9, 0), "Hopper", False),
    (r"\bL4\b|\bL40S?\b|\bL20\b|\bRTX\s*40\d0|\bRTX\s*40 series|\bAda\b", (8, 9), "Ada", False),
    (r"\bJetson.*Thor\b", (11, 0), "Jetson Thor", False),
    (r"\bOrin\b", (8, 7), "Jetson Orin", False),
    (r"\bXavier\b", (7, 2), "Jetson Xavier", False),
    (r"\bA100\b|\bA800\b|\bA30\b", (8, 0), "A100", False),
    (r"\bA(?:2|10G?|16|40)\b|\bRTX\s*30\d0|\bRTX\s*30 series|\bRTX\s*A\d{4}\b|\bMX570\b", (8, 6), "Ampere", False),
    (r"\bT4\b|\bRTX\s*20\d0|\bRTX\s*20 series|\bTITAN RTX\b|\bGTX\s*16\d0|\bQuadro RTX\b|\bT[1246]00\b|\bT1000\b|\bT500\b",
     (7, 5), "Turing", False),
    (r"\bV100S?\b|\bTITAN V\b|\bGV100\b", (7, 0), "Volta", False),
    (r"\bP100\b|\bGP100\b", (6, 0), "P100", False),
    (r"\bTX2\b", (6, 2), "Jetson TX2", False),
    (r"\bP(?:4|6|40)\b|\bGTX\s*10\d0|\bGTX\s*10 series|\bGT\s*10[13]0\b|\bTITAN Xp?\b(?!.*Maxwell)|\bMX(?:1|2|3)\d0\b"
     r"|\bQuadro P\d{3,4}\b", (6, 1), "Pascal", False),
    (r"\bJetson Nano\b|\bTX1\b", (5, 3), "Jetson Nano", False),
    (r"\bM(?:4|6|40|60)\b|\bGTX\s*9[5-8]0M?\b|\bGTX\s*TITAN X\b|\bQuadro M[4-6]000\b", (5, 2), "Maxwell", True),
    (r"\bGTX\s*7[45]0(?:\s*Ti)?\b|\b9[34]0MX?\b|\bQuadro (?:K2200|K1200|K620|M[12]000)\b|\bM10\b", (5, 0), "Maxwell", False),
    (r"\bK80\b", (3, 7), "K80", False),
    (r"\bK(?:20|40)[cmstx]?\b|\bGTX\s*7[78]0(?:\s*Ti)?\b|\bGTX\s*TITAN(?: Black| Z)?\b|\bGT\s*7[123]0\b|\bQuadro K[56]\d00\b",
     (3, 5), "Kepler", True),
    (r"\bGTX\s*6\d0\b|\bGT\s*6\d0\b|\bK10\b|\bGRID K[12]\b|\bQuadro K[1-4]?\d00\b", (3, 0), "Kepler", True),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), cc, line, guess) for pattern, cc, line, guess in _LINES)


def capability_of(name: str) -> NamedCapability | None:
    """The capability a card's name stands for, MIG instances and vGPU profiles included; None for an unknown name."""
    try:
        return NamedCapability(find_gpu(name).compute_capability, "card table")
    except UnknownGpu:
        pass
    for pattern, cc, line, guess in _COMPILED:
        if pattern.search(name):
            return NamedCapability(cc, line, guess)
    return None


def capabilities_in(text: str) -> tuple[NamedCapability, ...]:
    """Every capability that names in a text stand for ("any GTX 10 series, P40 or V100"), newest first, each once."""
    found: dict[tuple[int, int], NamedCapability] = {}
    for pattern, cc, line, guess in _COMPILED:
        if pattern.search(text):
            found.setdefault(cc, NamedCapability(cc, line, guess))
    return tuple(found.values())


def is_consumer(name: str) -> bool:
    """Whether a card is sold for desktops: forward compatibility does not serve those."""
    return bool(
        re.search(r"GeForce|\bGTX\b|\bRTX\s*\d{4}\b(?!\s*Ada)|\bTITAN\b", name, re.IGNORECASE)
    ) and not re.search(r"Quadro|RTX\s*(?:PRO|A)\s*\d", name, re.IGNORECASE)
