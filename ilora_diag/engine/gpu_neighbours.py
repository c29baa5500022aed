"""Who else is on the real cards of this machine: asked of NVML, in a child, before and after a trial."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ilora_diag.collect.live import collect_facts
from ilora_diag.engine.outcome import ChildOutcome, ChildStatus
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.trial import Metric, Status, Trial

RELEASE_S = 30.0
FOREIGN_BYTES = 64 << 20
"""A change of what other processes hold by more than this makes a trial's outcome doubtful."""

_PAUSE_S = 0.5
Ask = Callable[[], Facts]


def _ask() -> Facts:
    return collect_facts(only=("nvml",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Processes on all cards.

    Attributes:
        used: bytes by process id; in a container the ids may be those of the host.
        total_bytes: what they hold together; unknown where NVML tells it of none or not of all.
    """

    used: tuple[tuple[int, Known[int]], ...]
    total_bytes: Known[int]

    @property
    def pids(self) -> frozenset[int]:
        """Ids of the processes."""
        return frozenset(pid for pid, _ in self.used)


def neighbours(ask: Ask = _ask) -> Neighbours:
    """Who is on the cards now."""
    facts = ask()
    count = facts.get("nvml.device_count")
    if not isinstance(count, int):
        reason = count.reason if isinstance(count, Unavailable) else "NVML tells of no cards"
        return Neighbours(used=(), total_bytes=Unavailable(reason=reason, source="NVML"))
    found: dict[int, Known[int]] = {}
    for index in range(count):
        num = facts.get(f"gpu[{index}].num_processes")
        if not isinstance(num, int):
            reason = num.reason if isinstance(num, Unavailable) else "NVML tells of no processes"
            return Neighbours(used=tuple(found.items()), total_bytes=Unavailable(reason=reason, source="NVML"))
        for number in range(num):
            path = f"gpu[{index}].process[{number}]"
            pid, used = facts.get(f"{path}.pid"), facts.get(f"{path}.used_memory_bytes")
            if isinstance(pid, int):
                found[pid] = _sum(found.get(pid, 0), used)
    total: Known[int] = 0
    for used in found.values():
        total = _sum(total, used)
    return Neighbours(used=tuple(found.items()), total_bytes=total)


def _sum(one: Known[int], other: object) -> Known[int]:
    if isinstance(one, Unavailable):
        return one
    if isinstance(other, int):
        return one + other
    return other if isinstance(other, Unavailable) else Unavailable(reason="NVML tells no bytes", source="NVML")


def wait_until_gone(before: Neighbours, ask: Ask = _ask, seconds: float = RELEASE_S) -> tuple[Neighbours, bool]:
    """Wait until nobody is on the cards who was not there before.

    A process that was killed is listed until the driver has taken its memory back. It is told by being new: its id here
    is not the one that NVML lists where we are in a container.

    Returns:
        Who is there at last, and whether everybody new has gone.
    """
    until = time.monotonic() + seconds
    while True:
        now = neighbours(ask)
        if not now.pids - before.pids:
            return now, True
        if time.monotonic() >= until:
            return now, False
        time.sleep(_PAUSE_S)


def changed_bytes(before: Neighbours, after: Neighbours) -> Known[int]:
    """By how much what others hold has grown; negative where it has shrunk."""
    for one in (before.total_bytes, after.total_bytes):
        if isinstance(one, Unavailable):
            return one
    assert isinstance(before.total_bytes, int)
    assert isinstance(after.total_bytes, int)
    return after.total_bytes - before.total_bytes


class CardWatch:
    """Asks who is on the cards when it is made, and again to judge a trial that ran since.

    Args:
        ask: collects the facts; NVML's by default.
        release_s: how long a killed process may stay listed.
    """

    def __init__(self, ask: Ask = _ask, release_s: float = RELEASE_S) -> None:
        self._ask, self._release_s = ask, release_s
        self._before = neighbours(ask)

    def judge(self, trial: Trial, outcome: ChildOutcome) -> tuple[Trial, tuple[str, ...]]:
        """The trial with what others held before and after it; contaminated if that changed meanwhile.

        Returns:
            The trial, and notes for people.
        """
        if outcome.status is ChildStatus.NOT_STARTED:
            return trial, ()
        was_killed = outcome.signal is not None or outcome.status is ChildStatus.UNKILLABLE
        after, all_gone = wait_until_gone(self._before, self._ask, self._release_s if was_killed else _PAUSE_S)
        notes = []
        if was_killed and not all_gone:
            notes.append(
                f"GPU_NOT_RELEASED: {self._release_s:g} s after the trial was killed, NVML still lists a process that "
                "was not there before it"
            )
        given = {"other_processes_before_bytes": self._before, "other_processes_after_bytes": after}
        kept = [one for one in trial.metrics if one.name not in given]
        told = [Metric(name=name, value=one.total_bytes, unit="bytes") for name, one in given.items()]
        trial = replace(trial, metrics=(*kept, *told))
        changed = changed_bytes(self._before, after)
        if isinstance(changed, int) and abs(changed) > FOREIGN_BYTES and trial.status not in _NOT_RUN:
            reason = (
                f"other processes held {abs(changed) >> 20} MiB {'more' if changed > 0 else 'less'} after the trial"
            )
            trial = replace(trial, status=Status.CONTAMINATED, reason=f"{reason}; it ended as {trial.status.value}")
        return trial, tuple(notes)


_NOT_RUN = frozenset({Status.SKIPPED, Status.INVALID, Status.INTERRUPTED})
