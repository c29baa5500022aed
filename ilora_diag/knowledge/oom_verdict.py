"""What an out-of-memory message comes down to, with the arithmetic shown, and what would have fitted.

Thresholds are judgement, not measurement; each names what it separates:

* a gap counts as somebody else's memory beyond one CUDA context (`CONTEXT_BYTES`);
* others lead where they hold a tenth of the card and giving that back would have been enough;
* fragmentation leads where free and unallocated bytes together would have held the request, and the unallocated ones
  are a tenth of what is reserved or at least 1 GiB: below that they are the usual remainder of a full card.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ilora_diag.knowledge.oom import CONTEXT_BYTES, looks_like_self, others_bytes, own_bytes, unexplained_bytes
from ilora_diag.schema.explanation import OomCause, OomMessage, OomStep, OomVerdict
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.units import format_bytes
from reports.messages import Words

_SEGMENT = 2 << 20
"""Large requests of the caching allocator are multiples of 2 MiB (c10/cuda/CUDACachingAllocator.cpp, kRoundLarge)."""
_SLACK = 64 << 20
_LEADING_SHARE = 0.1
_MUCH = 1 << 30
_TRUST = 0.9
"""A card whose facts say more than this share above the message's capacity is not the card of the facts."""


@dataclass(slots=True)
class _Sums:
    """The numbers as plain integers; a number the message does not give is None."""

    requested: int | None
    capacity: int | None
    free: int | None
    allocated: int | None
    unallocated: int
    limit: int | None
    others: int
    gap: int
    own: int | None
    steps: list[OomStep] = field(default_factory=list)

    def say(self, name: str, **values: int | str | None) -> None:
        """Add a line; bytes are given as integers."""
        shown = {key: value if isinstance(value, str) else _b(value) for key, value in values.items()}
        text = Words("en")(f"explain.step.{name}", **shown)
        self.steps.append(OomStep(name=name, text=text, values=tuple(shown.items())))


def classify_oom(message: OomMessage, facts: Facts | None = None) -> OomVerdict:
    """The leading cause of a message, what contributes, and the largest request that would have been granted."""
    sums = _sums(message)
    if sums.requested is None and sums.capacity is None and sums.allocated is None:
        sums.say("no_sizes")
        return _verdict(OomCause.UNKNOWN, (), sums, message)
    if message.backend == "cpu":
        sums.say("host", requested=sums.requested)
        return _verdict(OomCause.UNKNOWN, (), sums, message)
    _tell(message, sums)
    if message.backend == "mps":
        return _verdict(*_mps(message, sums), sums, message)
    causes = _causes(message, sums, facts)
    return _verdict(causes[0], tuple(causes[1:]), sums, message)


def _sums(message: OomMessage) -> _Sums:
    gap = unexplained_bytes(message)
    return _Sums(
        requested=_known(message.requested_bytes),
        capacity=_known(message.capacity_bytes),
        free=_known(message.free_bytes),
        allocated=_known(message.allocated_bytes),
        unallocated=_known(message.unallocated_bytes) or 0,
        limit=_known(message.limit_bytes),
        others=others_bytes(message),
        gap=max(0, gap or 0),
        own=own_bytes(message),
    )


def _known(value: Known[int]) -> int | None:
    return None if isinstance(value, Unavailable) else value


def _b(size: int | None) -> str:
    return "?" if size is None else format_bytes(size)


def _tell(message: OomMessage, sums: _Sums) -> None:
    """The arithmetic that every cause is read from."""
    requested, free, allocated, unallocated = sums.requested, sums.free, sums.allocated, sums.unallocated
    if requested is not None and free is not None:
        short = requested - free
        if short > 0:
            sums.say("short", free=free, requested=requested, short=short)
        else:
            sums.say("room", free=free, requested=requested, room=-short)
    if allocated is not None and sums.capacity:
        percent = f"{100 * allocated / sums.capacity:.0f}"
        sums.say("live_share", allocated=allocated, percent=percent, capacity=sums.capacity)
    elif allocated is not None:
        sums.say("live", allocated=allocated)
    if isinstance(message.private_pool_bytes, int):
        sums.say("pools", pools=message.private_pool_bytes)
    if unallocated and free is not None and requested is not None:
        together = free + unallocated
        name = "enough" if together >= requested else "not_enough"
        sums.say(name, free=free, unallocated=unallocated, together=together)
    _tell_others(message, sums)
    if sums.limit is not None and allocated is not None:
        sums.say("limit", limit=sums.limit, held=allocated + unallocated, requested=requested)


def _tell_others(message: OomMessage, sums: _Sums) -> None:
    reserved = (sums.allocated or 0) + sums.unallocated
    if sums.own is not None and sums.allocated is not None and sums.own - reserved > CONTEXT_BYTES:
        sums.say("outside", rest=sums.own - reserved)
    for process in message.other_processes:
        if looks_like_self(message, process):
            sums.say("self", pid=str(process.pid), used=_known(process.used_bytes), reserved=reserved)
    if sums.others:
        sums.say("others", others=sums.others)
    if sums.gap > CONTEXT_BYTES // 4:
        sums.say("gap", gap=sums.gap, context=CONTEXT_BYTES)


def limit_reached(message: OomMessage) -> bool | None:
    """Whether the request would have gone over the limit the message prints; None where that cannot be told."""
    limit, allocated = _known(message.limit_bytes), _known(message.allocated_bytes)
    if message.wording == "preempted":
        return True
    if limit is None:
        return False
    if allocated is None or isinstance(message.requested_bytes, Unavailable):
        return None
    held = allocated + (_known(message.unallocated_bytes) or 0) + (_known(message.non_torch_bytes) or 0)
    slack = sum(width for name, width in message.tolerances if name in ("limit_bytes", "allocated_bytes"))
    return held + message.requested_bytes + slack > limit


def _causes(message: OomMessage, sums: _Sums, facts: Facts | None) -> list[OomCause]:
    """The causes that the numbers speak for, the leading one first; never empty."""
    found: list[OomCause] = []
    refused_with_room = "free_covers_request" in message.flags and _room(sums) > _SLACK
    if limit_reached(message):
        found.append(OomCause.LIMIT_SET)
    if "request_exceeds_capacity" in message.flags:
        sums.say("one_request", requested=sums.requested, capacity=sums.capacity)
        found.append(OomCause.CAPACITY_SMALLER)
    larger = _larger_card(sums, facts)
    if larger is not None:
        sums.say("larger_card", larger=larger, capacity=sums.capacity)
        found.append(OomCause.CAPACITY_SMALLER)
    if refused_with_room and not found:
        sums.say("refused")
        return [OomCause.UNKNOWN]
    too_much = _exceeds(sums)
    if not too_much and _fragmented(sums):
        found.append(OomCause.FRAGMENTATION)
    if _others_lead(sums):
        found.append(OomCause.OTHER_PROCESS)
    if too_much:
        sums.say("too_much", allocated=sums.allocated, requested=sums.requested, capacity=sums.capacity)
    if too_much or (sums.allocated is not None and sums.capacity and sums.allocated >= sums.capacity / 2):
        found.append(OomCause.LIVE_TENSORS)
    if sums.others and OomCause.OTHER_PROCESS not in found:
        found.append(OomCause.OTHER_PROCESS)
    return list(dict.fromkeys(found)) or [OomCause.UNKNOWN]


def _room(sums: _Sums) -> int:
    return (sums.free or 0) - (sums.requested or 0)


def _fragmented(sums: _Sums) -> bool:
    if sums.requested is None or sums.allocated is None or not sums.unallocated:
        return False
    reserved = sums.allocated + sums.unallocated
    enough = (sums.free or 0) + sums.unallocated >= sums.requested
    return enough and (sums.unallocated >= _LEADING_SHARE * reserved or sums.unallocated >= _MUCH)


def _exceeds(sums: _Sums) -> bool:
    """Whether live tensors and the request together are more than the card has: no tidier allocator cures that."""
    if sums.allocated is None or sums.requested is None or not sums.capacity or sums.requested > sums.capacity:
        return False
    return sums.allocated + sums.requested > sums.capacity + _SLACK


def _others_lead(sums: _Sums) -> bool:
    """Whether the card would have held the request without the others, who hold a good part of it."""
    if not sums.capacity:
        return False
    hidden = max(0, sums.gap - CONTEXT_BYTES)
    held = sums.others + hidden
    missing = (sums.requested or 0) - (sums.free or 0)
    return held >= missing and held >= _LEADING_SHARE * sums.capacity


def _larger_card(sums: _Sums, facts: Facts | None) -> int | None:
    """The memory of the only card of the facts, where the message's is clearly smaller (a slice, a shim)."""
    if facts is None or not sums.capacity:
        return None
    sizes = [
        fact.value
        for fact in facts.facts
        if fact.path.startswith("gpu[")
        and fact.path.endswith("].memory_total_bytes")
        and ".mig[" not in fact.path
        and isinstance(fact.value, int)
    ]
    if not sizes or any(sums.capacity >= _TRUST * size for size in sizes):
        return None
    return min(sizes)


def _mps(message: OomMessage, sums: _Sums) -> tuple[OomCause, tuple[OomCause, ...]]:
    """On MPS the refusal is always the high watermark's; what fills it differs."""
    other = _known(message.non_torch_bytes) or 0
    if other:
        sums.say("metal", other=other)
    if sums.allocated is None or sums.limit is None:
        return OomCause.UNKNOWN, ()
    if sums.allocated > sums.limit:
        sums.say("above_limit")
        return OomCause.LIMIT_SET, (OomCause.LIVE_TENSORS,)
    if sums.allocated >= other:
        return OomCause.LIVE_TENSORS, (OomCause.LIMIT_SET,)
    return OomCause.UNKNOWN, (OomCause.LIMIT_SET,)


def _verdict(cause: OomCause, others: tuple[OomCause, ...], sums: _Sums, message: OomMessage) -> OomVerdict:
    fits = _fits(sums, message)
    missing: Known[int] = Unavailable(reason="the message does not say", source="error text")
    if isinstance(fits, int) and sums.requested is not None:
        missing = max(0, sums.requested - fits)
    return OomVerdict(cause=cause, others=others, steps=tuple(sums.steps), fits_bytes=fits, missing_bytes=missing)


def _fits(sums: _Sums, message: OomMessage) -> Known[int]:
    """The largest request the driver had room for at that moment, and the limit left."""
    room = sums.free
    if sums.limit is not None and sums.allocated is not None:
        below = max(0, sums.limit - sums.allocated - sums.unallocated - (_known(message.non_torch_bytes) or 0))
        room = below if room is None else min(room, below)
    if room is None:
        return Unavailable(reason="the message does not say what was free", source="error text")
    if "free_covers_request" in message.flags and limit_reached(message) is not True:
        return Unavailable(reason="the driver refused although enough was free", source="error text")
    if sums.requested is not None and room >= sums.requested:
        return Unavailable(reason="the printed sizes are too coarse to tell", source="error text")
    return room // _SEGMENT * _SEGMENT if message.backend != "mps" else room
