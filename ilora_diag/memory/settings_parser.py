"""PYTORCH_CUDA_ALLOC_CONF and its relatives, read as a given torch reads them.

Follows ConfigTokenizer and AcceleratorAllocatorConfig::parseArgs of c10/core/AllocatorConfig.{h,cpp} (torch 2.9 to
2.14; headers of 2.11.0 to 2.14.1 read, the parsers of 2.12.1 and 2.14.1 asked) and, for older versions,
CUDAAllocatorConfig::parseArgs of the 2.1 tree. Where two settings are wrong, torch may name the other one first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ilora_diag.memory.blocks import MIB
from ilora_diag.memory.settings_keys import KEYS, Version, version_key
from ilora_diag.memory.settings_records import (
    LARGE_SEGMENT_BYTES,
    NUM_ROUNDUP_INTERVALS,
    AllocatorSettings,
    IgnoredSetting,
    SettingsError,
)

CUDA_VARIABLE = "PYTORCH_CUDA_ALLOC_CONF"
GENERIC_VARIABLE = "PYTORCH_ALLOC_CONF"
NO_CACHING_VARIABLES = ("PYTORCH_NO_CUDA_MEMORY_CACHING", "PYTORCH_NO_HIP_MEMORY_CACHING")
_GENERIC_SINCE: Version = (2, 10)
_LENIENT_SINCE: Version = (2, 9)
_SIZE_MAX_MIB = (1 << 64) // MIB - 1
_MAX_REGISTER_THREADS = 128
_SEGMENT_SIZE = "large_segment_size_mb"


def parse_allocator_settings(
    environ: Mapping[str, str], torch_version: str, *, platform: str = "linux"
) -> AllocatorSettings:
    """The settings that torch would take from these environment variables.

    Args:
        environ: the environment of the process.
        torch_version: as in `torch.__version__`; unreadable or empty: the newest known.
        platform: as in `sys.platform`; expandable segments do nothing on Windows.

    Raises:
        SettingsError: torch would stop at these settings.
    """
    version = version_key(torch_version)
    variable, text, ignored = _choose_variable(environ, version)
    reader = _Reader(text, version, platform)
    if variable:
        reader.read()
    fields = reader.fields
    if fields.get("garbage_collection_threshold") and fields.get("per_process_memory_fraction") is None:
        reader.ignore(
            "garbage_collection_threshold",
            str(fields["garbage_collection_threshold"]),
            "takes effect only once a memory fraction is set (set_per_process_memory_fraction)",
        )
    # has_env() in c10: being set counts, even to 0 or to nothing.
    caching = not any(name in environ for name in NO_CACHING_VARIABLES)
    return AllocatorSettings(
        variable=variable,
        caching=caching,
        ignored=(*ignored, *reader.ignored),
        doubtful=tuple(reader.doubtful),
        expandable_segments=bool(fields.get("expandable_segments", False)),
        max_split_size_bytes=_int(fields.get("max_split_size_bytes")),
        max_non_split_rounding_bytes=_int(fields.get("max_non_split_rounding_bytes")) or LARGE_SEGMENT_BYTES,
        garbage_collection_threshold=float(fields.get("garbage_collection_threshold") or 0.0),
        roundup_power2_divisions=reader.divisions,
        large_segment_size_bytes=_int(fields.get("large_segment_size_bytes")) or LARGE_SEGMENT_BYTES,
        per_process_memory_fraction=fields.get("per_process_memory_fraction"),
        backend=reader.backend,
    )


def _int(value: float | None) -> int | None:
    return None if value is None else int(value)


def _choose_variable(environ: Mapping[str, str], version: Version) -> tuple[str, str, tuple[IgnoredSetting, ...]]:
    """The variable that wins, its text, and the one that does not.

    The CUDA name goes first and the generic one counts only where the former is unset (CUDAAllocatorConfig.h, 2.13 and
    2.15; the comment in AllocatorConfig.h says otherwise). torch 2.9.1 takes no notice of the generic name (pytorch
    issue 183387).
    """
    cuda, generic = environ.get(CUDA_VARIABLE), environ.get(GENERIC_VARIABLE)
    if generic is not None and version < _GENERIC_SINCE:
        reason = "torch before 2.10 does not read this variable for CUDA"
        ignored = (IgnoredSetting(name=GENERIC_VARIABLE, value=generic, reason=reason),)
        return (CUDA_VARIABLE, cuda, ignored) if cuda is not None else ("", "", ignored)
    if cuda is not None:
        if generic is None:
            return CUDA_VARIABLE, cuda, ()
        reason = f"{CUDA_VARIABLE} is set too, and goes first"
        return CUDA_VARIABLE, cuda, (IgnoredSetting(name=GENERIC_VARIABLE, value=generic, reason=reason),)
    return (GENERIC_VARIABLE, generic, ()) if generic is not None else ("", "", ())


class _Reader:
    """Walks the tokens of one text."""

    def __init__(self, text: str, version: Version, platform: str) -> None:
        self.tokens = [token for token in re.split(r"([,:\[\]])", re.sub(r"\s", "", text)) if token]
        self.version = version
        self.lenient = version >= _LENIENT_SINCE
        self.platform = platform
        self.at = 0
        self.fields: dict[str, float | None] = {}
        self.divisions: tuple[int, ...] = ()
        self.backend = "native"
        self.ignored: list[IgnoredSetting] = []
        self.doubtful: list[str] = []

    def ignore(self, name: str, value: str, reason: str) -> None:
        self.ignored.append(IgnoredSetting(name=name, value=value, reason=reason))

    def read(self) -> None:
        self._segment_size_first()
        while self.at < len(self.tokens):
            name = self._next()
            self._check_key(name)
            self._separator(":")
            self._value(name)
            if self.at < len(self.tokens):
                self._separator(",")

    def _segment_size_first(self) -> None:
        """Wherever it stands and whatever else is wrong: torch looks for it first, and measures other sizes by it."""
        if KEYS[_SEGMENT_SIZE].is_refused(self.version):
            return
        for place, token in enumerate(self.tokens):
            if token == _SEGMENT_SIZE:
                self.at = place + 2
                self.fields["large_segment_size_bytes"] = self._large_segment()
        self.at = 0

    def _check_key(self, name: str) -> None:
        key = KEYS.get(name)
        if key is None or key.is_refused(self.version):
            if self.lenient:
                raise SettingsError(f"Unrecognized key '{name}' in CUDA allocator config.")
            raise SettingsError(f"Unrecognized CachingAllocator option: {name}")
        if key.is_doubtful(self.version):
            self.doubtful.append(name)

    def _value(self, name: str) -> None:
        start = self.at
        match name:
            case "max_split_size_mb":
                self.fields["max_split_size_bytes"] = self._at_least_a_segment(name)
            case "max_non_split_rounding_mb":
                self.fields["max_non_split_rounding_bytes"] = self._at_least_a_segment(name)
            case "large_segment_size_mb":
                self._next()  # it was read before all others
            case "garbage_collection_threshold":
                self.fields[name] = self._threshold()
            case "per_process_memory_fraction":
                self.fields[name] = self._fraction()
            case "roundup_power2_divisions":
                self.divisions = self._divisions()
            case "expandable_segments":
                self._expandable(name)
            case "backend":
                self._backend()
            case _:
                self._without_effect(name)
        reason = KEYS[name].ignored
        if reason:
            self.ignore(name, "".join(self.tokens[start : self.at]), reason)

    def _next(self) -> str:
        if self.at >= len(self.tokens):
            raise SettingsError("the allocator settings end where a value should follow")
        token = self.tokens[self.at]
        self.at += 1
        return token

    def _separator(self, wanted: str) -> None:
        """From 2.9 on torch steps over whatever stands here without comparing it."""
        token = self._next()
        if token != wanted and not self.lenient:
            raise SettingsError(f"Error parsing CachingAllocator settings, expected {wanted}")

    def _number(self) -> int:
        """Digits up to the first other character, as std::stoull reads them; a negative one wraps around.

        Before 2.9 it was std::stoi, which holds less.
        """
        token = self._next()
        match = re.match(r"([+-]?)(\d+)", token)
        if match is None:
            raise SettingsError(f"{token!r} is not a number")
        value = int(match[2])
        if value >= 1 << (64 if self.lenient else 31):
            raise SettingsError(f"{token!r} is a larger number than torch can hold")
        return (1 << 64) - value if match[1] == "-" and value else value

    def _decimal(self) -> float:
        token = self._next()
        match = re.match(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", token)
        if match is None:
            raise SettingsError(f"{token!r} is not a number")
        return float(match[0])

    def _at_least_a_segment(self, name: str) -> int:
        least = int(self.fields.get("large_segment_size_bytes") or LARGE_SEGMENT_BYTES) // MIB
        value = self._number()
        if value < least or (value == least and not self.lenient):
            relation = ">=" if self.lenient else ">"
            raise SettingsError(f"CachingAllocator option {name} too small, must be {relation} {least}")
        return min(value, _SIZE_MAX_MIB) * MIB

    def _large_segment(self) -> int:
        value = self._number()
        if value <= 10:
            raise SettingsError("CachingAllocator option large_segment_size_mb must be > 10")
        return min(value, _SIZE_MAX_MIB) * MIB

    def _threshold(self) -> float:
        value = self._decimal()
        if not 0 < value < 1:
            raise SettingsError("garbage_collect_threshold is invalid, set it in (0.0, 1.0)")
        return value

    def _fraction(self) -> float | None:
        value = self._decimal()
        if not 0 <= value <= 1:
            raise SettingsError("per_process_memory_fraction is invalid, set it in [0.0, 1.0]")
        return value if value < 1 else None

    def _divisions(self) -> tuple[int, ...]:
        divisions = [0] * NUM_ROUNDUP_INTERVALS
        if self.at < len(self.tokens) and self.tokens[self.at] == "[":
            self.at += 1
            self._division_list(divisions)
        else:
            value = self._number()
            _require_power_of_two(value, "For roundups, the divisions has to be power of 2 ")
            divisions = [value] * NUM_ROUNDUP_INTERVALS
        return tuple(divisions)

    def _division_list(self, divisions: list[int]) -> None:
        """`[256:1,512:2,>:4]`: divisions from the interval of so many MiB; the first also counts for smaller ones."""
        last, first = 0, True
        while (token := self._next()) != "]":
            if token == ",":
                continue
            self._separator(":")
            value = self._number()
            if value:
                _require_power_of_two(
                    value, "For roundups, the divisions has to be power of 2 or 0 to disable roundup "
                )
            if token == ">":
                divisions[last + 1 :] = [value] * (NUM_ROUNDUP_INTERVALS - last - 1)
                continue
            boundary = re.match(r"\d+", token)
            if boundary is None:
                raise SettingsError(f"{token!r} is not a number")
            _require_power_of_two(int(boundary[0]), "For roundups, the intervals have to be power of 2 ")
            last = min(int(boundary[0]).bit_length() - 1, NUM_ROUNDUP_INTERVALS - 1)
            if first:
                divisions[:last] = [value] * last
                first = False
            divisions[last] = value

    def _expandable(self, name: str) -> None:
        value = self._flag(name)
        if value and self.platform.startswith("win"):
            self.ignore(name, "True", "expandable_segments not supported on this platform")
            value = False
        self.fields[name] = value

    def _flag(self, name: str) -> bool:
        token = self._next()
        if token not in ("True", "False"):
            if self.lenient:
                raise SettingsError(
                    f"Expected 'True' or 'False' at index {self.at - 1} in ConfigTokenizer but got '{token}'"
                )
            raise SettingsError(f"Expected a single True/False argument for {name}")
        return token == "True"

    def _backend(self) -> None:
        token = self._next()
        if token not in ("native", "cudaMallocAsync"):
            raise SettingsError("Unknown allocator backend, options are native and cudaMallocAsync")
        self.backend = token

    def _without_effect(self, name: str) -> None:
        """A value that steers nothing modelled; torch stops at a wrong one all the same."""
        match KEYS[name].takes:
            case "flag":
                self._flag(name)
            case "number":
                self._number()
            case "positive":
                if self._number() == 0:
                    raise SettingsError("Pinned reserve segment size has to be greater than 0")
            case "threads":
                self._threads()
            case _:
                self._skip()

    def _threads(self) -> None:
        value = self._number()
        got = f", got {value}" if self.lenient else ""
        _require_power_of_two(value, f"Number of register threads has to be power of 2{got}")
        if value > _MAX_REGISTER_THREADS:
            text = f"Number of register threads should be less than or equal to {_MAX_REGISTER_THREADS}"
            raise SettingsError(f"{text}{got}")

    def _skip(self) -> None:
        """A value that is not needed: one token, or a list."""
        if self._next() == "[":
            while self._next() != "]":
                pass


def _require_power_of_two(value: int, message: str) -> None:
    if value <= 0 or value & (value - 1):
        raise SettingsError(message)
