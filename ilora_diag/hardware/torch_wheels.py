"""Which compute capabilities a build of torch carries binaries for, and which builds of a version there are.

Sources, by the short names of the rows:

* `WHEEL`: CUDA_ARCH_FLAGS and torch/version.py inside the PyPI manylinux x86_64 wheel of that version.
* `BUILDER`, `MANYWHEEL`: pytorch/builder manywheel/build_cuda.sh (2023-03 to 2024-10), pytorch .ci/manywheel.
* `RELEASE.md`: pytorch RELEASE.md, CUDA support matrix. `PT-172352`: Volta dropped from cu128 in 2.11.
* `PT215`: torch 2.15.0 torch/cuda/__init__.py, PYTORCH_RELEASES_CODE_CC and its exclusions.
* `MEMORY`: remembered from warnings quoted in threads, confirmed nowhere; marked unverified.

Builds of others (conda-forge, distributions, NVIDIA's containers) carry other lists: what torch itself reports
(`torch.archs`) always comes before these tables. Read in November 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ilora_diag.hardware.cuda_versions import CAPABILITIES, parse_cuda, toolkit_range
from ilora_diag.hardware.torch_versions import VersionError, parse_version
from ilora_diag.schema import Known, Unavailable

Capability = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archs:
    """The binaries of a build.

    Attributes:
        names: `sm_80` for binaries, `compute_80` for PTX.
        unverified: the row rests on memory.
    """

    names: tuple[str, ...]
    source: str
    unverified: bool = False


_OLD = "37 50 60 70 75 80 86"
_CU12 = "50 60 70 75 80 86 90"
_CU128 = "70 75 80 86 90 100 120"
_CU13 = "75 80 86 90 100 120"

_X86 = (
    # CUDA, first and last torch of the row, architectures, source
    ("10.1", "1.4", "1.8", "37 50 60 70 75", "MEMORY"),
    ("10.2", "1.5", "1.12", "37 50 60 70 75", "MEMORY"),
    ("11.0", "1.7", "1.7", "37 50 60 70 75 80", "MEMORY"),
    ("11.1", "1.8", "1.10", _OLD, "MEMORY"),
    ("11.3", "1.10", "1.12", _OLD, "MEMORY"),
    ("11.6", "1.12", "1.12", _OLD, "MEMORY"),
    ("11.6", "1.13", "1.13", _OLD, "BUILDER"),
    ("11.7", "1.13", "2.0", _OLD, "WHEEL"),
    ("11.8", "2.0", "2.5", f"{_OLD} 90", "BUILDER"),
    # Between the build script of 2024-10 and 2.7, when 11.8 ended, no list was read.
    ("11.8", "2.6", "2.7", f"{_OLD} 90", "MEMORY"),
    ("12.1", "2.1", "2.5", _CU12, "WHEEL"),
    ("12.4", "2.4", "2.6", _CU12, "WHEEL"),
    ("12.6", "2.6", "2.14", _CU12, "WHEEL"),
    ("12.8", "2.7", "2.7", "75 80 86 90 100 120", "MEMORY"),
    ("12.8", "2.8", "2.10", _CU128, "WHEEL"),
    ("12.8", "2.11", "2.11", _CU13, "PT-172352"),
    ("12.9", "2.8", "2.8", f"{_CU128} +120", "MANYWHEEL"),
    ("13.0", "2.9", "2.15", _CU13, "WHEEL"),
    ("13.2", "2.12", "2.15", _CU13, "WHEEL"),
)
_AARCH64 = (
    ("12.6", "2.6", "2.14", "80 90", "RELEASE.md"),
    ("12.8", "2.8", "2.11", "80 90 100 120", "PT-172663"),
    ("13.0", "2.9", "2.15", "80 90 100 110 120", "RELEASE.md"),
    ("13.2", "2.12", "2.15", "80 90 100 110 120", "RELEASE.md"),
)

RELEASE_VARIANTS: dict[tuple[int, int], tuple[str, ...]] = {
    (1, 12): ("11.3", "11.6"),
    (1, 13): ("11.6", "11.7"),
    (2, 0): ("11.7", "11.8"),
    (2, 1): ("11.8", "12.1"),
    (2, 2): ("11.8", "12.1"),
    (2, 3): ("11.8", "12.1"),
    (2, 4): ("11.8", "12.1", "12.4"),
    (2, 5): ("11.8", "12.1", "12.4"),
    (2, 6): ("11.8", "12.4", "12.6"),
    (2, 7): ("11.8", "12.6", "12.8"),
    (2, 8): ("12.6", "12.8", "12.9"),
    (2, 9): ("12.6", "12.8", "13.0"),
    (2, 10): ("12.6", "12.8", "13.0"),
    (2, 11): ("12.6", "12.8", "13.0"),
    (2, 12): ("12.6", "13.0", "13.2"),
    (2, 13): ("12.6", "13.0", "13.2"),
    (2, 14): ("12.6", "13.0", "13.2"),
    (2, 15): ("13.0", "13.2"),
}
"""CUDA variants published for a torch version on download.pytorch.org (RELEASE.md; 2.15: issue 190385)."""

_EXCLUDED = {(5, 0): {(5, 3)}, (5, 2): {(5, 3)}, (6, 0): {(6, 2)}, (6, 1): {(6, 2)}, (7, 0): {(7, 2)},
             (8, 0): {(8, 7)}, (8, 6): {(8, 7)}, (10, 0): {(10, 1)}}  # fmt: skip
_ONLY_SELF = {(5, 3), (6, 2), (7, 2), (8, 7)}
_ALIAS = {(10, 1): (11, 0), (11, 0): (10, 1)}


def parse_capability(text: object) -> Capability | None:
    """(major, minor) of `8.6`, `sm_86`, `compute_120` or `(8, 6)`; None for anything else."""
    if not isinstance(text, str):
        return None
    if packed := re.fullmatch(r"\s*(?:sm|compute)_(\d+)(\d)[af]?\s*", text):
        return int(packed[1]), int(packed[2])
    plain = re.fullmatch(r"\s*\(?(\d{1,2})[.,]\s*(\d)\)?\s*", text)
    return (int(plain[1]), int(plain[2])) if plain else None


def runs_on(cc: Capability, archs: tuple[str, ...]) -> str | None:
    """How a device runs a build: "sass" by a binary, "ptx" by compiling at load, None not at all.

    A binary runs on devices of its major and at least its minor, Tegra's only on themselves. PTX also needs a driver
    of at least the build's CUDA. Source: PT215.
    """
    numbers = [(name, parse_capability(name)) for name in archs]
    for name, built in numbers:
        if built is None or not name.strip().startswith("sm_"):
            continue
        if built == cc or _ALIAS.get(built) == cc:
            return "sass"
        covers = built[0] == cc[0] and built[1] <= cc[1] and built not in _ONLY_SELF
        if covers and cc not in _EXCLUDED.get(built, set()):
            return "sass"
    if any(name.strip().startswith("compute_") and built is not None and built <= cc for name, built in numbers):
        return "ptx"
    return None


def _row_archs(numbers: str) -> tuple[str, ...]:
    return tuple(f"compute_{part[1:]}" if part.startswith("+") else f"sm_{part}" for part in numbers.split())


def _minor(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def archs_of(torch: str, cuda: str, *, machine: str = "x86_64") -> Known[Archs]:
    """The binaries of the official build of a torch version for a CUDA version.

    Unavailable where no row covers it: an old version, a nightly, a build of somebody else.
    """
    source = "torch wheel tables"
    wanted = parse_cuda(cuda)
    try:
        minor = parse_version(torch).minor
    except VersionError:
        return Unavailable(reason=f"{torch!r} is no torch version", source=source)
    rows = _AARCH64 if machine in ("aarch64", "arm64") else _X86
    for built, first, last, numbers, origin in rows:
        if parse_cuda(built) == wanted and _minor(first) <= minor <= _minor(last):
            return Archs(names=_row_archs(numbers), source=origin, unverified=origin == "MEMORY")
    return Unavailable(reason=f"no list of architectures was read for torch {torch} with CUDA {cuda}", source=source)


def variants_for(torch: str, cc: Capability, *, machine: str = "x86_64") -> tuple[str, ...]:
    """The CUDA versions whose official build of this torch version is known to run on a device; empty if none is."""
    try:
        minor = parse_version(torch).minor
    except VersionError:
        return ()
    fitting = []
    for cuda in RELEASE_VARIANTS.get(minor, ()):
        archs = archs_of(torch, cuda, machine=machine)
        if not isinstance(archs, Unavailable) and not archs.unverified and runs_on(cc, archs.names) == "sass":
            fitting.append(cuda)
    return tuple(fitting)


def releases_for(cc: Capability) -> tuple[tuple[str, str], ...]:
    """Every (torch, CUDA) of the tables whose official x86_64 build runs on a device, oldest first."""
    return tuple(
        (f"{minor[0]}.{minor[1]}", cuda)
        for minor in RELEASE_VARIANTS
        for cuda in variants_for(f"{minor[0]}.{minor[1]}", cc)
    )


def impossible(cc: Capability, cuda: str) -> str | None:
    """Why no build of a CUDA version can carry binaries for a device: "newer" or "older" than it compiles for.

    Holds for every build, whoever made it; None where one could exist, or nothing is known.
    """
    wanted, known = parse_cuda(cuda), toolkit_range(cc)
    if wanted is None or isinstance(known, Unavailable):
        return "older" if cc < min(CAPABILITIES) else None
    first, last = known
    if wanted < first:
        return "newer"
    return "older" if last is not None and wanted > last else None


def tag(cuda: str) -> str:
    """The variant as wheel indexes name it: `12.6` -> `cu126`."""
    version = parse_cuda(cuda)
    return f"cu{version[0]}{version[1]}" if version else cuda
