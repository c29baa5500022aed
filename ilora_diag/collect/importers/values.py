"""Words and numbers of nvidia-smi as values. "N/A" and its like are reasons, never zeros."""

from __future__ import annotations

import re
from collections.abc import Callable

from ilora_diag.collect.vocabulary import absent, denied, failed, timed_out
from ilora_diag.schema import Known, Unavailable, Value

Convert = Callable[[str], Value]  # raises ValueError for a text it cannot read

# What nvidia-smi prints in place of a value: NVML's error strings and its own words, drivers 384 to 610.
_ABSENT = frozenset(
    {
        "",
        "n/a",
        "not supported",
        "not available",
        "not found",
        "function not found",
        "no data",
        "unset",
        "not applicable",
        "requested functionality has been deprecated",
    }
)
_DENIED = frozenset({"insufficient permissions", "no permission", "permission denied"})
_FAILED = (
    "unknown error",
    "err!",
    "gpu is lost",
    "gpu requires reset",
    "gpu access blocked by the operating system",
    "reset required",
    "rm has detected an nvml/rm version mismatch",
    "driver/library version mismatch",
    "corrupted inforom",
    "in use by another client",
)
_UNITS = {"b": 1, "bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
# In nvidia-smi, MB was the spelling of MiB until driver 331; in reports of people it stays ambiguous and is refused.
_SIZE = re.compile(r"(\d{1,15})(\.\d{1,6})?\s*([A-Za-z]+)")
_INTEGER = re.compile(r"(-?\d{1,18})(?:\s*(?:x|%|C|MHz|us|bank\(s\)))?")
_NUMBER = re.compile(r"(-?\d{1,15}(?:\.\d{1,9})?)(?:\s*(?:W|%|C|mV))?")
_YES = frozenset({"yes", "enabled", "active", "on", "true", "1"})
_NO = frozenset({"no", "disabled", "not active", "off", "false", "0"})


def no_value(text: str, source: str) -> Unavailable | None:
    """Why a printed word is no value; None where it is one."""
    word = text.strip().strip("[]").lower()
    if word in _ABSENT:
        return absent(f"{text.strip() or 'empty'}", source)
    if word in _DENIED:
        return denied(text.strip(), source)
    if word.startswith(_FAILED):
        return failed(text.strip(), source)
    if word in ("timeout", "timed out"):
        return timed_out(text.strip(), source)
    return None


def read(text: str, convert: Convert, source: str) -> Known[Value]:
    """The value of a printed text, or why there is none."""
    nothing = no_value(text, source)
    if nothing is not None:
        return nothing
    try:
        return convert(text.strip())
    except ValueError:
        return failed(f"{text.strip()[:60]!r} was not understood", source)


def words(text: str) -> str:
    """The text itself, without runs of blanks."""
    return re.sub(r"\s+", " ", text).strip()[:500]


def size(text: str) -> int:
    """Bytes of `8188 MiB`."""
    match = _SIZE.fullmatch(text)
    scale = _UNITS.get(match[3].lower()) if match else None
    if match is None or scale is None:
        raise ValueError(text)
    return round(float(match[1] + (match[2] or "")) * scale) if match[2] else int(match[1]) * scale


def integer(text: str) -> int:
    """A whole number, whatever unit follows: `16x`, `42 C`, `3 %`."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1])


def number(text: str) -> float:
    """A number with its unit: `11.60 W`."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match[1])


def flag(text: str) -> bool:
    """Yes or no, in any of the spellings."""
    word = text.strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError(text)


def slug(text: str) -> str:
    """A word of a closed set: lower case, `_` for everything that is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def virtualization(text: str) -> str:
    """NVML's virtualization mode (nvmlGpuVirtualizationMode_t) by its printed name."""
    known = {"none": "none", "pass_through": "passthrough", "vgpu": "vgpu", "host_vgpu": "host_vgpu"}
    known |= {"host_vsga": "host_vsga", "vsga": "host_vsga", "passthrough": "passthrough"}
    if slug(text) not in known:
        raise ValueError(text)
    return known[slug(text)]


def compute_mode(text: str) -> str:
    """NVML's compute mode by its printed name, `E. Process` in tables."""
    known = {"default": "default", "prohibited": "prohibited", "e_process": "exclusive_process"}
    known |= {"e_thread": "exclusive_thread", "exclusive_thread": "exclusive_thread"}
    known |= {"exclusive_process": "exclusive_process", "exclusive": "exclusive_process"}
    if slug(text) not in known:
        raise ValueError(text)
    return known[slug(text)]


def on_or_off(text: str) -> str:
    """`enabled` or `disabled`; a trailing `*` marks a change that waits for a reset."""
    return "enabled" if flag(text.rstrip("*")) else "disabled"
