"""From an error text to the signature by which two failures are the same failure.

The wording is PyTorch's; which layer prints what is told in `c10/cuda` (the prefix "CUDA driver error:" comes from the
driver-API check alone, "CUDA error:" from the runtime check and from cuBLAS, "out of memory. Tried to allocate" from
the caching allocator).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ilora_diag.engine.traceback_text import ShownException, clean, exceptions
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial import ErrorFamily, FailureSignature

_CODE_LENGTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A pattern that tells a family; its group `code`, if it has one and takes part, is the code."""

    family: ErrorFamily
    pattern: re.Pattern[str]
    code: str = ""


def _rule(family: ErrorFamily, pattern: str, code: str = "") -> _Rule:
    return _Rule(family=family, pattern=re.compile(pattern), code=code)


_CUDA_ERROR = "(?:CUDA error: )?"  # cuBLAS errors begin like those of the runtime

# At one place of a text the first rule wins; of several places the first, since later device errors follow from it.
_RULES = (
    _rule(
        ErrorFamily.OOM_TORCH,
        r"(?:CUDA|HIP|XPU|MPS backend) out of memory\b|Allocation on device -?\d+ would exceed allowed memory"
        r"|GPU \d+ has a total capac(?:i)?ty of|Tried to allocate more than 1EB memory",
        "out of memory",
    ),
    # The allocator failed to ask NVML while it wrote an out-of-memory message: the message is lost, the cause is not.
    _rule(
        ErrorFamily.OOM_TORCH,
        r"NVML_SUCCESS == .{0,80}INTERNAL ASSERT FAILED at \"[^\"]*CUDACachingAllocator\.cpp\"",
        "out of memory, message lost to NVML",
    ),
    _rule(ErrorFamily.OOM_CUBLAS, rf"{_CUDA_ERROR}(?P<code>CU(?:BLAS|DNN|SOLVER|SPARSE|FFT)_(?:STATUS_)?ALLOC_FAILED)"),
    _rule(ErrorFamily.OOM_DRIVER, r"CUDA driver error: out of memory", "out of memory"),
    _rule(
        ErrorFamily.OOM_RUNTIME,
        r"CUDA error: out of memory|cuda runtime error \(2\) : out of memory|\bcudaErrorMemoryAllocation\b",
        "cudaErrorMemoryAllocation",
    ),
    _rule(
        ErrorFamily.OOM_HOST,
        r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)|unable to mmap \d+ bytes"
        r"|\[Errno 12\] Cannot allocate memory|Memory cgroup out of memory|is killed by signal: Killed",
        "out of host memory",
    ),
    _rule(
        ErrorFamily.CUDA_LIBRARY, rf"{_CUDA_ERROR}(?P<code>CU(?:BLAS|DNN|SOLVER|SPARSE|FFT|RAND)_STATUS_(?!SUCCESS)\w+)"
    ),
    _rule(ErrorFamily.CUDA_DRIVER, r"CUDA driver error: (?P<code>[^\n]+)"),
    _rule(ErrorFamily.CUDA_RUNTIME, r"CUDA error: (?P<code>[^\n]+)|(?P<name>\bcudaError(?!_t)[A-Z]\w+)"),
    _rule(
        ErrorFamily.CUDA_RUNTIME,
        r"(?P<code>No CUDA GPUs are available|Found no NVIDIA driver|NVIDIA driver on your system is too old"
        r"|CUDA unknown error|Unexpected error from cudaGetDeviceCount|Cannot re-initialize CUDA in forked subprocess)",
    ),
    _rule(ErrorFamily.NCCL, r"NCCL (?:error in:|WARN) |(?P<code>\bnccl\w*Error\b)", "NCCL error"),
)

# Exception classes by the start of their dotted name. The bare names are those of messages without a traceback.
_FAMILY_OF_TYPE = (
    ("ilora.config.", ErrorFamily.CONFIG),
    ("ilora.llm.", ErrorFamily.CONFIG),
    ("omegaconf.", ErrorFamily.CONFIG),
    ("ConfigError", ErrorFamily.CONFIG),
    ("LlmError", ErrorFamily.CONFIG),
    ("ilora.data.", ErrorFamily.DATA),
    ("ilora.checkpoint.", ErrorFamily.DATA),
    ("ilora.rec.checkpoint.", ErrorFamily.DATA),
    ("ilora.safe_pickle.", ErrorFamily.DATA),
    ("DataError", ErrorFamily.DATA),
    ("KeyboardInterrupt", ErrorFamily.KEYBOARD),
    ("MemoryError", ErrorFamily.OOM_HOST),
    ("numpy._core._exceptions._ArrayMemoryError", ErrorFamily.OOM_HOST),
)

_PLACEHOLDERS = (
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:bytes|[KMGT]i?B)\b"), "<size>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+[\w.+-]*"), "<path>"),
    (re.compile(r"\bprocess \d+", re.IGNORECASE), "process <id>"),
    (re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\b"), "<n>"),
)


def signature_of(text: str, *, stage: Known[str], signal: str | None = None) -> FailureSignature:
    """The signature of a failure.

    Args:
        text: a traceback, an error message or the end of a log; may be empty.
        stage: what the process was doing.
        signal: name of the signal that ended the process, which counts where the text tells nothing. SIGKILL is taken
            for the kernel's out-of-memory killer, the usual sender of one that nobody asked for.
    """
    text = clean(text)
    shown = exceptions(text)
    family, code, source = _read(text, shown)
    if family is ErrorFamily.UNKNOWN and signal is not None:
        family, code = (ErrorFamily.OOM_HOST if signal == "SIGKILL" else ErrorFamily.SIGNAL), signal
    frame = source.top_frame if source is not None else None
    unknown = Unavailable(reason="the text shows no frame outside packages" if shown else "the text has no traceback")
    return FailureSignature(family=family, stage=stage, top_frame=frame or unknown, code=code)


def normalise(message: str) -> str:
    """The first line of a message with placeholders for what differs between two runs of the same failure."""
    line = message.strip().partition("\n")[0]
    for pattern, placeholder in _PLACEHOLDERS:
        line = pattern.sub(placeholder, line)
    return " ".join(line.split())[:_CODE_LENGTH]


def _read(text: str, shown: tuple[ShownException, ...]) -> tuple[ErrorFamily, str, ShownException | None]:
    """Family, code and the exception they come from: the first that names a layer, else the last one raised."""
    for candidate in shown:
        found = _first_match(f"{candidate.type}: {candidate.message}")
        if found:
            return *found, candidate
    found = _first_match(text)  # device-side lines on stderr, and texts without a traceback
    if found:
        return *found, shown[-1] if shown else None
    if not shown:
        return _bare(text)
    last = shown[-1]
    code = f"{last.type.rpartition('.')[2]}: {normalise(last.message)}".removesuffix(": ")
    return _family_of(last.type), code, last


def _bare(text: str) -> tuple[ErrorFamily, str, None]:
    """A text without traceback that names no layer: perhaps one line `SomeError: message`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        match = re.match(r"(?P<type>[\w.]*(?:Error|Exception|Interrupt|Exit))(?::|$)", line)
        if match:
            return _family_of(match["type"]), normalise(line), None
    return ErrorFamily.UNKNOWN, normalise(lines[-1]) if lines else "", None


def _family_of(kind: str) -> ErrorFamily:
    found = (family for start, family in _FAMILY_OF_TYPE if kind.startswith(start))
    return next(found, ErrorFamily.PYTHON)


def _first_match(text: str) -> tuple[ErrorFamily, str] | None:
    """Family and code of the earliest match in the text."""
    found = min(_matches(text), default=None, key=lambda match: match[0])
    return None if found is None else (found[1], found[2])


def _matches(text: str) -> Iterator[tuple[int, ErrorFamily, str]]:
    for rule in _RULES:
        match = rule.pattern.search(text)
        if match:
            named = next((group for group in match.groupdict().values() if group), None)
            yield match.start(), rule.family, normalise(named) if named else rule.code
