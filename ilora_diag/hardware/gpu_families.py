"""Compute capability of a card by its name, where the card table has no row: product lines share one.

Source of the lines: developer.nvidia.com/cuda-gpus and cuda-legacy-gpus (November 2026). A line that holds cards of
several capabilities is left out, or split until it does not; `unverified` marks what those pages were not read for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

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


_ROWS = r"""
10.0 - B200 | \bG?B200\b|\bB100\b
10.3 - B300 | \bG?B300\b
12.1 - GB10 | \bGB10\b|DGX Spark
12.0 - RTX 50 | \bRTX\s*PRO\s*\d{4}\s*Blackwell|\bRTX\s*50(?:\d0| series)
9.0 - Hopper | \bH(?:100|200|800|20)\b|\bGH200\b
8.9 - Ada | \bL(?:4|40S?|20)\b|\bRTX\s*40(?:\d0| series)|\bAda\b
11.0 - Jetson Thor | \bThor\b
8.7 - Jetson Orin | \bOrin\b
7.2 - Jetson Xavier | \bXavier\b
8.0 - A100 | \bA(?:100|800|30)\b
8.6 - Ampere | \bA(?:2|10G?|16|40)\b|\bRTX\s*30(?:\d0| series)|\bRTX\s*A\d{4}\b|\bMX570\b
7.5 - Turing | \bT4\b|\bRTX\s*20(?:\d0| series)|\bTITAN RTX\b|\bGTX\s*16(?:\d0| series)|\bQuadro RTX\b
7.5 - Turing | \bT(?:[1246]00|1000|500|2000)\b
7.0 - Volta | \bV100S?\b|\bTITAN V\b|\bGV100\b
6.0 - P100 | \bG?P100\b
6.2 - Jetson TX2 | \bTX2\b
5.0 ? Maxwell | \bGTX\s*9[56]0M\b
5.2 ? Maxwell | \bM(?:4|6|40|60)\b|\bGTX\s*9(?:[5-8]0M?|00 series)\b|\bGTX\s*TITAN X\b|\bQuadro M[4-6]000\b
6.1 - Pascal | \bP(?:4|6|40)\b|\bGTX\s*10(?:\d0| series)|\bGT\s*10[13]0\b|(?<!GTX )\bTITAN Xp?\b|\bMX[1-3]\d0\b
6.1 - Pascal | \bQuadro P\d{3,4}\b
5.3 - Jetson Nano | \bJetson Nano\b|\bTX1\b
5.0 - Maxwell | \bGTX\s*7[45]0(?:\s*Ti)?\b|\b9[34]0MX?\b|\bQuadro (?:K2200|K1200|K620|M[12]000)\b|\bM10\b
3.7 - K80 | \bK80\b
3.5 ? Kepler | \bK(?:20|40)[cmstx]?\b|\bGTX\s*7[78]0(?:\s*Ti)?\b|\bGTX\s*TITAN(?: Black| Z)?\b|\bGT\s*7[123]0\b
3.0 ? Kepler | \bGTX\s*6\d0\b|\bGT\s*6\d0\b|\bK10\b|\bGRID K[12]\b|\bQuadro K[1-6]?\d00\b
"""
"""Capability, "?" where unverified, line, names. The first row that matches wins: newer cards stand first."""


@cache
def _compiled() -> tuple[tuple[re.Pattern[str], tuple[int, int], str, bool], ...]:
    rows = []
    for row in _ROWS.strip().splitlines():
        head, names = row.split(" | ", 1)
        number, mark, line = head.split(" ", 2)
        major, minor = number.split(".")
        rows.append((re.compile(names, re.IGNORECASE), (int(major), int(minor)), line, mark == "?"))
    return tuple(rows)


def capability_of(name: str) -> NamedCapability | None:
    """The capability a card's name stands for, MIG instances and vGPU profiles included; None for an unknown name."""
    try:
        return NamedCapability(find_gpu(name).compute_capability, "card table")
    except UnknownGpu:
        pass
    for pattern, cc, line, guess in _compiled():
        if pattern.search(name):
            return NamedCapability(cc, line, guess)
    return None


def capabilities_in(text: str) -> tuple[NamedCapability, ...]:
    """Every capability that names in a text stand for ("any GTX 10 series, P40 or V100"), newest first, each once."""
    found: dict[tuple[int, int], NamedCapability] = {}
    for pattern, cc, line, guess in _compiled():
        if pattern.search(text):
            found.setdefault(cc, NamedCapability(cc, line, guess))
    return tuple(found.values())


def is_consumer(name: str) -> bool:
    """Whether a card is sold for desktops: forward compatibility does not serve those."""
    return bool(re.search(r"GeForce|\bGTX\b|\bRTX\s*[2-5]0[5-9]0\b|\bTITAN\b", name, re.IGNORECASE))
