"""Out-of-memory messages of every PyTorch version, read completely.

The wordings: the THC text of torch 0.x; the text with brackets up to 2.0, whose last number was at first the cached and
unused bytes (to 1.3), then all reserved ones; the text with sentences from 2.1; those of cudaMallocAsync, MPS and XPU.
Each number is looked for by itself, so a message that was cut off or folded gives what is left of it. Other libraries
fail for want of memory without saying so in numbers: those are the masked ones.

Sizes come from c10's format_size (c10/core/CachingDeviceAllocator.h), which prints two decimals of a binary unit; the
MPS allocator writes GB and means GiB.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

from ilora_diag.knowledge.texts import clean_text
from ilora_diag.schema.explanation import OomMessage, OtherProcess
from ilora_diag.schema.known import Known, Unavailable

WINDOW = 4000
"""Characters of a message that are read, from its first words on; the longest known one has about 700."""

_UNITS = {"bytes": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_WRAPPED = 1 << 63
"""From here on a size is a negative number read as unsigned: NVML on WSL2, or a limit that is not set."""
CONTEXT_BYTES = 600 << 20
"""What a CUDA context takes at most by rule of thumb (300 to 600 MiB; not measured for every card)."""
_GAP_SHARE = 0.2

_SIZE = r"(?P<{0}>\d[\d,]*(?:\.\d+)?) ?(?P<{0}_unit>bytes|[KMGT]i?B|B)\b"

_ANCHOR = re.compile(
    r"(?:CUDA|HIP|XPU) out of memory\b|MPS backend out of memory|Allocation on device -?\d+ would exceed allowed memory"
    r"|GPU \d+ has a total capaci?ty of|cuda runtime error \(2\) ?: out of memory"
    r"|Tried to allocate \d[\d.]* ?[KMGT]i?B|Tried to allocate more than 1EB memory"
)
_BEGINS = re.compile(r"(?:CUDA|HIP|XPU) out of memory\b|MPS backend out of memory")
_HOST = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory): you tried to allocate (?P<host>\d+) bytes"
    r"|unable to mmap (?P<mmap>\d+) bytes from file"
    r"|Unable to allocate (?P<array>\d[\d.]* [KMGT]iB) for an array with shape"
)

# Compiled when a message is there to be read: a text without one pays for none of them.
_MASKED = (
    (
        "masked_nvml",
        r"NVML_SUCCESS == [\s\S]{0,120}?INTERNAL ASSERT FAILED at \"[^\"]*CachingAllocator\.cpp\"",
        True,
    ),
    ("masked_cublas", r"CUBLAS_STATUS_ALLOC_FAILED", True),
    ("masked_cudnn", r"CUDNN_STATUS_ALLOC_FAILED", True),
    ("masked_cusolver", r"CU(?:SOLVER|SPARSE|FFT|RAND)_(?:STATUS_)?ALLOC(?:ATION)?_FAILED", True),
    ("masked_nccl", r"Cuda failure (?:2 )?'out of memory'", True),
    ("masked_driver", r"CUDA driver error: out of memory|CUDA_ERROR_OUT_OF_MEMORY", True),
    (
        "masked_runtime",
        r"(?:CUDA|HIP) error: out of memory|\b(?:cudaErrorMemoryAllocation|hipErrorOutOfMemory)\b"
        r"|Triton Error \[(?:CUDA|HIP)\]: out of memory|Error out of memory at line \d+"
        r"|(?:UR|PI)_(?:RESULT_)?ERROR_OUT_OF_(?:DEVICE_MEMORY|RESOURCES)",
        True,
    ),
    # Handles are created in memory outside PyTorch's; most reports of these three were a full card, not all.
    ("masked_cublas", r"CUBLAS_STATUS_NOT_INITIALIZED[\s\S]{0,60}cublasCreate", False),
    ("masked_cusolver", r"CUSOLVER_STATUS_INTERNAL_ERROR[\s\S]{0,60}cusolverDnCreate", False),
    ("masked_cudnn", r"CUDNN_STATUS_NOT_INITIALIZED", False),
)


@cache
def _pattern(pattern: str, name: str = "") -> re.Pattern[str]:
    """A pattern, compiled; SIZE in it stands for a size whose groups carry the name."""
    return re.compile(pattern.replace("SIZE", _SIZE.format(name)) if name else pattern)


_FIELDS = (
    ("requested_bytes", r"Tried to allocate SIZE"),
    ("requested_bytes", r"Requested ?(?:size)? ?: SIZE"),
    ("capacity_bytes", r"total capaci?ty of SIZE"),
    ("capacity_bytes", r"SIZE total capacity"),
    ("capacity_bytes", r"Device limit ?: SIZE"),
    ("free_bytes", r"of which SIZE is free"),
    ("free_bytes", r"SIZE free(?:;|\))"),
    ("free_bytes", r"Free \(according to CUDA\) ?: SIZE"),
    ("this_process_bytes", r"this process has SIZE memory in use"),
    ("allocated_bytes", r"Of the allocated memory,? SIZE is allocated by PyTorch"),
    ("allocated_bytes", r"SIZE already allocated"),
    ("allocated_bytes", r"MPS allocated: SIZE"),
    ("allocated_bytes", r"Currently allocated ?: SIZE"),
    ("private_pool_bytes", r"with SIZE allocated in private pools"),
    ("unallocated_bytes", r"SIZE is reserved by PyTorch but unallocated"),
    ("unallocated_bytes", r"SIZE cached\)"),
    ("limit_bytes", r"SIZE allowed;"),
    ("limit_bytes", r"max allowed: SIZE"),
    ("limit_bytes", r"PyTorch limit \(set by user-supplied memory fraction\) ?: SIZE"),
    ("non_torch_bytes", r"other allocations: SIZE"),
)
_RESERVED = r"SIZE reserved in total by PyTorch"
_PREEMPTED = re.compile(r"Requested size: (?P<bytes>\d+)(?![\d.]* ?[KMGT]?i?B)")
_DEVICE = re.compile(r"\bGPU (\d+)(?: has a total|;)|Allocation on device (\d+) ")
_PROCESS = r"Process (?P<pid>\d+) has SIZE memory in use"
_ADVICE = (
    ("expandable_segments:True", "expandable_segments:True"),
    ("max_split_size_mb", "setting max_split_size_mb"),
    ("empty_cache", "empty_cache"),
    ("PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0", "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0"),
)


def parse_oom(text: str) -> OomMessage | None:
    """The first out-of-memory message of a text, or None where it has none.

    A message with numbers is preferred to one that masks them, since a log may show both for the same failure.
    """
    text = clean_text(text)
    anchors = list(_ANCHOR.finditer(text))
    told = next((message for anchor in anchors if (message := _told(text, anchor.start())) is not None), None)
    return told or _masked(text) or _host(text)


def _told(text: str, start: int) -> OomMessage | None:
    """The message that begins here; a later one of the same text does not lend it its numbers."""
    raw = text[start : start + WINDOW]
    again = _BEGINS.search(raw, 1)
    body = " ".join(raw[: again.start() if again else WINDOW].split())
    values: dict[str, Known[int]] = {}
    tolerances: dict[str, int] = {}
    wrapped = False
    for name, pattern in _FIELDS:
        if name in values:
            continue
        match = _pattern(pattern, name).search(body)
        if match is None:
            continue
        size, tolerance = _size(match[name], match[f"{name}_unit"])
        if size >= _WRAPPED:
            wrapped |= name != "limit_bytes"
            printed = f"{match[name]} {match[f'{name}_unit']}"
            reason = "no limit is set" if name == "limit_bytes" else "a number that wrapped around"
            values[name] = Unavailable(reason=f"printed as {printed}: {reason} (2^64)", source="error text")
        else:
            values[name], tolerances[name] = size, tolerance
    _add_reserved(body, values, tolerances)
    preempted = _PREEMPTED.search(body)
    if preempted:
        values["requested_bytes"], tolerances["requested_bytes"] = int(preempted["bytes"]), 0
    others, more_wrapped = _processes(body)
    device = _DEVICE.search(body)
    if device:
        values["device"] = int(device[1] or device[2])
    fields: dict[str, Any] = dict(values)
    message = OomMessage(
        wording=_wording(body),
        backend=_backend(body),
        other_processes=others,
        tolerances=tuple(sorted(tolerances.items())),
        advice=tuple(name for name, words in _ADVICE if words in body),
        line=text.count("\n", 0, start) + 1,
        **fields,
    )
    return replace(message, flags=_flags(message, wrapped=wrapped or more_wrapped))


def _size(number: str, unit: str) -> tuple[int, int]:
    """Bytes and half the width of the interval a printed size stands for."""
    shift = _UNITS[unit.lower() if unit.lower() in _UNITS else unit[0].lower()]
    digits = number.replace(",", "")
    decimals = len(digits.partition(".")[2])
    scale: int = 10**decimals
    scaled = int(digits.replace(".", "")) << shift
    return scaled // scale, (((1 << shift) // 2) // scale if shift else 0)


def _add_reserved(body: str, values: dict[str, Known[int]], tolerances: dict[str, int]) -> None:
    """From 1.4 to 2.0 the message gives all that is reserved; what is unallocated is the difference."""
    match = _pattern(_RESERVED, "reserved").search(body)
    allocated = values.get("allocated_bytes")
    if match is None or "unallocated_bytes" in values or not isinstance(allocated, int):
        return
    reserved, tolerance = _size(match["reserved"], match["reserved_unit"])
    values["unallocated_bytes"] = max(0, reserved - allocated)
    tolerances["unallocated_bytes"] = tolerance + tolerances["allocated_bytes"]
    tolerances["reserved_bytes"] = tolerance


def _processes(body: str) -> tuple[tuple[OtherProcess, ...], bool]:
    found: dict[int, Known[int]] = {}
    wrapped = False
    for match in _pattern(_PROCESS, "used").finditer(body):
        size, _ = _size(match["used"], match["used_unit"])
        if size >= _WRAPPED:
            wrapped = True
            found[int(match["pid"])] = Unavailable(reason="a number that wrapped around (2^64)", source="error text")
        else:
            found[int(match["pid"])] = size
    return tuple(OtherProcess(pid=pid, used_bytes=used) for pid, used in found.items()), wrapped


def _backend(body: str) -> str:
    for backend, word in (("mps", "MPS "), ("xpu", "XPU out"), ("hip", "HIP out"), ("hip", "HIP Graphs")):
        if word in body:
            return backend
    return "cuda"


def _wording(body: str) -> str:
    for wording, words in (
        ("mps", "MPS backend"),
        ("xpu", "XPU out of memory"),
        ("thc", "cuda runtime error (2)"),
        ("too_large", "more than 1EB"),
        ("preempted", "preemptively rejected"),
        ("async", "would exceed allowed memory"),
        ("cached", " cached)"),
        ("2.1", "total capacty of"),
        ("2.10", "PYTORCH_ALLOC_CONF=expandable"),
        ("2.11", "#optimizing-memory-usage-with-pytorch"),
        ("2.2", "expandable_segments:True"),
    ):
        if words in body:
            return wording
    if "reserved in total" in body:
        return "reserved_hint" if "max_split_size_mb" in body else "reserved"
    return "short"


def _flags(message: OomMessage, *, wrapped: bool) -> tuple[str, ...]:
    """Peculiarities the numbers show by themselves, whatever caused them."""
    requested, capacity, free = message.requested_bytes, message.capacity_bytes, message.free_bytes
    allocated, unallocated = message.allocated_bytes, message.unallocated_bytes
    gap = unexplained_bytes(message)
    shown = (
        ("process_cap", isinstance(message.limit_bytes, int) and message.backend != "mps"),
        ("process_memory_underflow", wrapped),
        ("allocated_exceeds_capacity", _at_least(allocated, capacity, strictly=True)),
        ("request_exceeds_capacity", _at_least(requested, capacity, strictly=True)),
        ("unallocated_covers_request", _at_least(unallocated, requested)),
        ("free_covers_request", _at_least(free, requested)),
        (
            "large_unexplained_gap",
            gap is not None and isinstance(capacity, int) and gap > max(CONTEXT_BYTES, _GAP_SHARE * capacity),
        ),
    )
    return tuple(name for name, stands in shown if stands)


def _at_least(left: Known[int], right: Known[int], *, strictly: bool = False) -> bool:
    if isinstance(left, Unavailable) or isinstance(right, Unavailable):
        return False
    return left > right if strictly else left >= right


def looks_like_self(message: OomMessage, process: OtherProcess) -> bool:
    """Whether a process that is named by number is this one, seen from outside its container.

    PyTorch compares the numbers with its own getpid(), which differs inside a PID namespace: then no sentence tells of
    this process, and the number holds what PyTorch reserved and a context on top.
    """
    used, allocated = process.used_bytes, message.allocated_bytes
    if not isinstance(used, int) or not isinstance(allocated, int) or isinstance(message.this_process_bytes, int):
        return False
    unallocated = message.unallocated_bytes if isinstance(message.unallocated_bytes, int) else 0
    rest = used - allocated - unallocated
    return -(64 << 20) <= rest <= (3 << 29)


def others_bytes(message: OomMessage) -> int:
    """What the named processes hold that are not this one."""
    return sum(
        process.used_bytes
        for process in message.other_processes
        if isinstance(process.used_bytes, int) and not looks_like_self(message, process)
    )


def own_bytes(message: OomMessage) -> int | None:
    """What this process holds, as far as the message tells: NVML's number, else what PyTorch reserved."""
    if isinstance(message.this_process_bytes, int):
        return message.this_process_bytes
    selves = [process.used_bytes for process in message.other_processes if looks_like_self(message, process)]
    known = [used for used in selves if isinstance(used, int)]
    if known:
        return known[0]
    if not isinstance(message.allocated_bytes, int):
        return None
    return message.allocated_bytes + (message.unallocated_bytes if isinstance(message.unallocated_bytes, int) else 0)


def unexplained_bytes(message: OomMessage) -> int | None:
    """Bytes of the card that are neither free nor in any number of the message; None where that cannot be said."""
    own = own_bytes(message)
    if own is None or not isinstance(message.capacity_bytes, int) or not isinstance(message.free_bytes, int):
        return None
    return message.capacity_bytes - message.free_bytes - own - others_bytes(message)


def _masked(text: str) -> OomMessage | None:
    """The earliest failure for want of memory that says no numbers; certain ones before likely ones."""
    for wanted in (True, False):
        found = [
            (match.start(), wording)
            for wording, pattern, certain in _MASKED
            if certain is wanted and (match := _pattern(pattern).search(text)) is not None
        ]
        if found:
            start, wording = min(found)
            none = Unavailable(
                reason="sizes are not reported: the message is not the allocator's own", source="error text"
            )
            backend = "hip" if "HIP error" in text or "hipError" in text else "cuda"
            if re.match(r"(?:UR|PI)_", text[start:]):
                backend = "xpu"
            flags = () if wanted else ("uncertain",)
            line = text.count("\n", 0, start) + 1
            return OomMessage(wording=wording, backend=backend, requested_bytes=none, flags=flags, line=line)
    return None


def _host(text: str) -> OomMessage | None:
    match = _HOST.search(text)
    if match is None:
        return None
    if match["array"]:
        number, unit = match["array"].split()
        size, tolerance = _size(number, unit)
    else:
        size, tolerance = int(match["host"] or match["mmap"]), 0
    return OomMessage(
        wording="host",
        backend="cpu",
        requested_bytes=size,
        tolerances=(("requested_bytes", tolerance),),
        line=text.count("\n", 0, match.start()) + 1,
    )
