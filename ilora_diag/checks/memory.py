"""Device memory: what an out-of-memory message comes down to, and cards that are full already (L9)."""

from __future__ import annotations

from collections.abc import Iterator

from ilora_diag.checks.allocator import refusals, setting
from ilora_diag.checks.case import Case, Ground, quote
from ilora_diag.checks.claims import Claim, claim, decides, fits, suggests
from ilora_diag.checks.deciders import decider
from ilora_diag.schema import Evidence, Severity, Unavailable
from ilora_diag.schema.explanation import OomCause, OomMessage
from ilora_diag.units import format_bytes

CONTEXT_BYTES = 512 << 20
"""Less than this free on a card, and a process may fail before its first tensor (300 to 600 MiB; rule of thumb)."""

_NVML_ASSERT = r"NVML_SUCCESS == [^\n]{0,120}INTERNAL ASSERT FAILED"
_CODES = {
    OomCause.LIVE_TENSORS: "MEM002",
    OomCause.FRAGMENTATION: "MEM003",
    OomCause.OTHER_PROCESS: "MEM004",
    OomCause.CAPACITY_SMALLER: "MEM005",
    OomCause.LIMIT_SET: "MEM007",
}
_REMEDIES = {
    "MEM002": "ilora-diag estimate   # says which knob brings the step under the capacity",
    "MEM004": "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv",
    "MEM005": "ilora-diag estimate --memory CAPACITY",
    "MEM007": "python train.py   # without torch.cuda.set_per_process_memory_fraction",
}
_ELSEWHERE = {
    ("hip", "MEM003"): "export PYTORCH_HIP_ALLOC_CONF=max_split_size_mb:128",
    ("hip", "MEM004"): "rocm-smi --showpids",
    ("xpu", "MEM004"): "xpu-smi ps",
    (
        "mps",
        "MEM007",
    ): "python train.py train.batch_size=1   # or less memory for other programs; the limit protects macOS",
}
"""Cards that no nvidia-smi knows."""


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    message = case.reading.oom if case.reading is not None else None
    if message is not None and message.wording.startswith("masked_"):
        yield from _masked(case, message)
    elif message is not None:
        yield from _told(case, message)
    elif said := case.error_says(_NVML_ASSERT, "nvml_assert_masks_oom"):
        yield claim("MEM001", [suggests(said)], remedy=_REMEDIES["MEM002"], decider=decider("gpu[0].memory_free_bytes"))
    else:
        yield from _full(case)


def _masked(case: Case, message: OomMessage) -> Iterator[Claim]:
    """The error of a library that got no memory: by its text, or because the card is full."""
    uncertain = any(flag in message.flags for flag in ("uncertain", "likely"))
    text = _line(case, message)
    grounds: list[Ground] = [fits(text) if uncertain else suggests(text)]
    for index in case.gpus:
        free = case.integer(f"gpu[{index}].memory_free_bytes")
        if free is not None and free < CONTEXT_BYTES:
            grounds.append(decides(case.seen(f"gpu[{index}].memory_free_bytes", f">= {format_bytes(CONTEXT_BYTES)}")))
            break
    yield claim("MEM001", grounds, remedy=_REMEDIES["MEM002"], decider=decider("gpu[0].memory_free_bytes"))


def _told(case: Case, message: OomMessage) -> Iterator[Claim]:
    from ilora_diag.knowledge.oom_verdict import classify_oom

    if message.backend == "cpu" or message.wording.startswith("host"):
        return
    verdict = classify_oom(message, case.facts)
    for rank, cause in enumerate((verdict.cause, *verdict.others)):
        code = _CODES.get(cause)
        if code is None:
            continue
        grounds: list[Ground] = [suggests(_line(case, message)) if rank == 0 else fits(_line(case, message))]
        grounds += _facts_of(case, code)
        yield claim(
            code,
            grounds,
            params=_params(message),
            remedy=_remedy(case, code, message.backend),
            decider=decider("gpu[0].memory_used_bytes"),
            severity=None if rank == 0 else Severity.NOTE,
        )


def _facts_of(case: Case, code: str) -> list[Ground]:
    if code != "MEM004":
        return []
    paths = [path for path in case.paths("gpu[") if path.endswith(".used_memory_bytes")]
    return [fits(case.seen(path)) for path in paths[:3] if case.integer(path)]


def _line(case: Case, message: OomMessage) -> Evidence:
    match = (
        next((one for one in case.reading.matches if one.first_line == message.line), None) if case.reading else None
    )
    return quote(f"error:line {message.line}", match.excerpt if match else case.error[:200] or message.wording)


def _params(message: OomMessage) -> dict[str, str | int | float | bool | None]:
    named = {
        "requested": message.requested_bytes,
        "capacity": message.capacity_bytes,
        "free": message.free_bytes,
        "allocated": message.allocated_bytes,
        "unallocated": message.unallocated_bytes,
    }
    return {name: "?" if isinstance(size, Unavailable) else format_bytes(size) for name, size in named.items()}


def _remedy(case: Case, code: str, backend: str) -> str:
    """Expandable segments are recommended only where nothing says that they are refused."""
    if (backend, code) in _ELSEWHERE:
        return _ELSEWHERE[backend, code]
    if code != "MEM003":
        return _REMEDIES[code]
    windows = case.text("os.family") == "windows"
    if refusals(case) or windows or case.flag("os.tegra"):
        return "export PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:128"
    if setting(case).expandable:
        return _REMEDIES["MEM002"]
    return "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"


def _full(case: Case) -> Iterator[Claim]:
    """A card with no room for another process: worth a warning before anybody starts one."""
    for index in case.gpus:
        base = f"gpu[{index}]"
        free, total = case.integer(f"{base}.memory_free_bytes"), case.integer(f"{base}.memory_total_bytes")
        if free is None or total is None or free >= CONTEXT_BYTES or case.text(f"{base}.mig_mode") == "enabled":
            continue
        grounds: list[Ground] = [decides(case.seen(f"{base}.memory_free_bytes", f">= {format_bytes(CONTEXT_BYTES)}"))]
        params = {"requested": "?", "capacity": format_bytes(total), "free": format_bytes(free), "allocated": "?",
                  "unallocated": "?"}  # fmt: skip
        yield claim(
            "MEM004",
            grounds,
            variant="full",
            params=dict(params),
            remedy=_REMEDIES["MEM004"],
            severity=Severity.WARNING,
        )
        return
