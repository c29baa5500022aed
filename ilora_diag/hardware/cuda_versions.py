"""CUDA toolkits, drivers and compute capabilities: which driver runs which build, and from when on it does not.

Sources, by the short names of the rows:

* `NV-RN`: CUDA Toolkit Release Notes, tables of corresponding driver versions, edition 13.2 Update 2.
* `NV-RN133`: four second-hand quotes of the table of CUDA 13.3, all of one number.
* `NV-MVC`: docs.nvidia.com/deploy/cuda-compatibility, minor version compatibility, table 1.
* `NVRTC`: nvrtcGetSupportedArchs() of the PyPI wheel of that release. `CLANG`: clang/lib/Basic/Cuda.cpp.
* `MEMORY`: remembered, confirmed nowhere; such rows are marked unverified and decide nothing by themselves.

No row exists for CUDA 13.4 and 13.5: the sources contradict each other. Read in November 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ilora_diag.schema import Known, Unavailable

Version = tuple[int, ...]

_NUMBERS = re.compile(r"(\d+(?:\.\d+){0,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """A CUDA release and the lowest driver that runs all of it.

    Attributes:
        cuda: (major, minor).
        linux: driver of the first release (later updates may ask for more).
        windows: the same for Windows; None where not sourced.
        unverified: the row rests on memory.
    """

    cuda: tuple[int, int]
    linux: Version
    windows: Version | None
    source: str
    unverified: bool = False


def parse_driver(text: object) -> Version | None:
    """The numbers of a driver version, `535.104.12` or a bare branch `525`; None if there are none."""
    match = _NUMBERS.search(text) if isinstance(text, str) else None
    return tuple(int(part) for part in match[1].split(".")) if match else None


def parse_cuda(text: object) -> tuple[int, int] | None:
    """(major, minor) of `12.1`, `10.1.243`, `cu118` or `11`; None for what is no CUDA version."""
    if not isinstance(text, str):
        return None
    if packed := re.fullmatch(r"\s*cu(\d+)(\d)\s*", text):
        return int(packed[1]), int(packed[2])
    plain = re.match(r"\s*(\d{1,2})(?:\.(\d{1,2}))?(?:\.\d+)*\b", text)
    return (int(plain[1]), int(plain[2] or 0)) if plain else None


def show(version: Version) -> str:
    """The version as NVIDIA writes it: numbers after the first have at least two digits."""
    return ".".join([str(version[0]), *(f"{part:02d}" for part in version[1:])])


def _rows() -> tuple[Toolkit, ...]:
    made = []
    for line in _TOOLKITS.strip().splitlines():
        cuda, linux, windows, source = line.split()
        major, minor = cuda.split(".")
        lowest = parse_driver(linux)
        assert lowest is not None
        made.append(
            Toolkit(
                cuda=(int(major), int(minor)),
                linux=lowest,
                windows=parse_driver(windows),
                source=source,
                unverified=source == "MEMORY",
            )
        )
    return tuple(made)


_TOOLKITS = """
13.3 610.43.02 - NV-RN133
13.2 595.45.04 - NV-RN
13.1 590.44.01 - NV-RN
13.0 580.65.06 - NV-RN
12.9 575.51.03 576.02 NV-RN
12.8 570.26 570.65 NV-RN
12.6 560.28.03 560.76 NV-RN
12.5 555.42.02 555.85 NV-RN
12.4 550.54.14 551.61 NV-RN
12.3 545.23.06 545.84 NV-RN
12.2 535.54.03 536.25 NV-RN
12.1 530.30.02 531.14 NV-RN
12.0 525.60.13 527.41 NV-RN
11.8 520.61.05 520.06 NV-RN
11.7 515.43.04 516.01 NV-RN
11.6 510.39.01 511.23 NV-RN
11.5 495.29.05 496.04 NV-RN
11.4 470.42.01 471.11 NV-RN
11.3 465.19.01 465.89 NV-RN
11.2 460.27.03 460.82 NV-RN
11.1 455.23 456.38 NV-RN
11.0 450.51.05 451.48 NV-RN
10.2 440.33 441.22 NV-RN
10.1 418.39 418.96 NV-RN
10.0 410.48 411.31 NV-RN
9.2 396.26 397.44 MEMORY
9.1 390.46 391.29 MEMORY
9.0 384.81 385.54 MEMORY
8.0 367.48 369.30 MEMORY
"""
TOOLKITS = _rows()
BY_CUDA = {row.cuda: row for row in TOOLKITS}

MINOR_FLOOR: dict[int, Version] = {13: (580, 65, 6), 12: (525, 60, 13), 11: (450, 80, 2)}
"""Linux driver from which every release of a major runs as far as it ships binaries (not PTX). NV-MVC."""

MAX_CUDA_UNVERIFIED = {565: (12, 7)}
"""Branches whose newest CUDA no release note names: 12.7 was never a toolkit release."""


class Support(StrEnum):
    """What a driver makes of a build."""

    FULL = "full"  # at least the driver the release notes ask for
    MINOR = "minor"  # runs binaries under minor version compatibility; PTX of the newer toolkit does not load
    TOO_OLD = "too_old"
    UNKNOWN = "unknown"  # a version is missing from the tables, or too coarse to decide


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverJudgement:
    """What a driver makes of a build, and by which number.

    Attributes:
        needed: the driver that would do; None where no row tells.
        unverified: the deciding row is.
    """

    support: Support
    needed: Version | None
    source: str
    unverified: bool = False


def judge_driver(driver: str, cuda: str, *, windows: bool = False) -> DriverJudgement:
    """Whether a driver runs a build of a CUDA version.

    Args:
        driver: as nvidia-smi prints it; a bare branch decides only where its other numbers cannot matter.
        cuda: `torch.version.cuda`.
        windows: the driver is one for Windows, whose numbers differ.
    """
    have, wanted = parse_driver(driver), parse_cuda(cuda)
    row = BY_CUDA.get(wanted) if wanted else None
    lowest = (row.windows if windows else row.linux) if row else None
    floor = _floor(wanted, windows=windows)
    source = row.source if row else "NV-MVC"
    if have is None or wanted is None or (lowest is None and floor is None):
        return DriverJudgement(support=Support.UNKNOWN, needed=None, source=source)
    unverified = bool(row and row.unverified)
    if lowest and _reaches(have, lowest):
        return DriverJudgement(support=Support.FULL, needed=lowest, source=source, unverified=unverified)
    needed = floor or lowest
    assert needed is not None
    reached = _reaches(have, needed)
    if reached is None:
        return DriverJudgement(support=Support.UNKNOWN, needed=needed, source=source, unverified=unverified)
    if reached:
        return DriverJudgement(
            support=Support.MINOR if floor else Support.FULL, needed=lowest or needed, source="NV-MVC"
        )
    return DriverJudgement(
        support=Support.TOO_OLD, needed=needed, source="NV-MVC" if floor else source, unverified=unverified
    )


def _floor(cuda: tuple[int, int] | None, *, windows: bool) -> Version | None:
    """The driver of minor version compatibility. Windows has no table of its own here: its x.0 driver is taken."""
    if cuda is None:
        return None
    if windows:
        first = BY_CUDA.get((cuda[0], 0))
        return first.windows if first and cuda[0] >= 11 else None
    return MINOR_FLOOR.get(cuda[0])


def _reaches(have: Version, needed: Version) -> bool | None:
    """Whether one version is at least another; None if the shorter one leaves it open."""
    shared = min(len(have), len(needed))
    if have[:shared] != needed[:shared]:
        return have[:shared] > needed[:shared]
    return True if len(have) >= len(needed) else None


def max_cuda(driver: str) -> Known[tuple[int, int]]:
    """The newest CUDA of a Linux driver's branch (what nvidia-smi prints in its corner)."""
    have = parse_driver(driver)
    source = "CUDA release notes"
    if have is None:
        return Unavailable(reason=f"{driver!r} is no driver version", source=source)
    if have[0] in MAX_CUDA_UNVERIFIED:
        return Unavailable(reason=f"no release note names the CUDA of driver branch {have[0]}", source=source)
    rows = [row for row in TOOLKITS if row.linux[0] <= have[0] and not row.unverified]
    if not rows or have[0] > TOOLKITS[0].linux[0]:
        return Unavailable(reason=f"driver branch {have[0]} is not in the tables", source=source)
    return max(row.cuda for row in rows)


_CAPABILITIES = """
3.5 8.0 11.8
3.7 8.0 11.8
5.0 8.0 12.9
5.2 8.0 12.9
5.3 8.0 12.9
6.0 8.0 12.9
6.1 8.0 12.9
6.2 8.0 12.9
7.0 9.0 12.9
7.2 9.1 12.9
7.5 10.0 -
8.0 11.0 -
8.6 11.1 -
8.7 11.4 -
8.8 13.0 -
8.9 11.8 -
9.0 11.8 -
10.0 12.8 -
10.1 12.8 12.9
10.3 12.9 -
10.7 13.4 -
11.0 13.0 -
12.0 12.8 -
12.1 12.9 -
"""
"""Compute capability, first and last CUDA that compiles for it; `-`: still supported. 3.5 to 5.3 are older than
CUDA 7.0 in clang's table; 8.0 stands for "all releases in the tables". 10.1 became 11.0 in CUDA 13.0. NVRTC, CLANG."""


def _pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


CAPABILITIES: dict[tuple[int, int], tuple[tuple[int, int], tuple[int, int] | None]] = {
    _pair(cc): (_pair(first), None if last == "-" else _pair(last))
    for cc, first, last in (line.split() for line in _CAPABILITIES.strip().splitlines())
}


def toolkit_range(cc: tuple[int, int]) -> Known[tuple[tuple[int, int], tuple[int, int] | None]]:
    """First and last CUDA that can make binaries which run on a device; a cubin of the same major also runs.

    A device of 8.9 runs binaries for 8.0, so its first CUDA here is 11.0.
    """
    same = [row for row in CAPABILITIES if row[0] == cc[0] and row[1] <= cc[1] and (row == cc or not _tegra(row))]
    if not same:
        return Unavailable(reason=f"compute capability {cc[0]}.{cc[1]} is not in the tables", source="NVRTC, CLANG")
    lasts = [CAPABILITIES[row][1] for row in same]
    last = None if None in lasts else max(last for last in lasts if last is not None)
    return min(CAPABILITIES[row][0] for row in same), last


def _tegra(cc: tuple[int, int]) -> bool:
    return cc in ((5, 3), (6, 2), (7, 2), (8, 7))
