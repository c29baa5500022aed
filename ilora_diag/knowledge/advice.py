"""Whether what an out-of-memory message itself recommends would help on this machine."""

from __future__ import annotations

from ilora_diag.knowledge.lookups import Named
from ilora_diag.schema.explanation import OomMessage
from ilora_diag.schema.known import Known, Unavailable

EXPANDABLE = "expandable_segments:True"


def judge_advice(message: OomMessage, named: Named) -> tuple[Known[bool], str]:
    """Whether to repeat the advice, and the name of the reason (a key `explain.advice.NAME` of the messages)."""
    if "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0" in message.advice:
        return False, "mps_watermark"
    if EXPANDABLE in message.advice:
        return _expandable(message, named)
    if "max_split_size_mb" in message.advice:
        return (False, "no_gain") if _gains(message) is False else (_open("the allocator's blocks"), "max_split")
    if not message.advice:
        return Unavailable(reason="the message recommends nothing", source="error text"), "none"
    return _open("what else could be released"), "other"


def _expandable(message: OomMessage, named: Named) -> tuple[Known[bool], str]:
    """Checked in the order in which an objection is final: impossible here, already done, of no use."""
    for rule, reason in (
        ("gpu[*].vmm_supported = false | gpu[*].torch_probe.expandable_on ~ '^(?!ok)'", "not_offered"),
        ("$vgpu", "vgpu"),
        ("os.tegra", "tegra"),
        ("os.wsl | os.gvisor", "sandbox"),
        ("os.family = 'windows' | torch.driver_api_built = false", "not_built"),
        ("torch.version <v '2.1'", "too_old"),
        ("$expandable", "already_on"),
    ):
        if named.holds(rule).truth is True:
            return False, reason
    if _gains(message) is False:
        return False, "no_gain"
    if named.holds("gpu[*].vmm_supported | gpu[*].torch_probe.expandable_on = 'ok'").truth is True:
        return True, "offered"
    return _open("gpu[0].vmm_supported"), "open"


def _gains(message: OomMessage) -> bool | None:
    """Whether memory in one piece would have held the request: free and unallocated bytes together."""
    requested, free, unallocated = message.requested_bytes, message.free_bytes, message.unallocated_bytes
    if isinstance(requested, Unavailable) or isinstance(unallocated, Unavailable):
        return None
    limit, allocated = message.limit_bytes, message.allocated_bytes
    if isinstance(limit, int) and isinstance(allocated, int) and allocated + requested > limit:
        return False  # the limit would be reached with no byte lost to fragmentation
    return (0 if isinstance(free, Unavailable) else free) + unallocated >= requested


def _open(path: str) -> Unavailable:
    return Unavailable(reason="not collected", source=path)
