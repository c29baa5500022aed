"""Facts in the making: the first value of a path stays, unless a later one says the same more exactly.

Two readings that contradict each other are both kept: the earlier one at its path, and all of them at
`conflict.PATH`. Quantities that change from one second to the next (memory in use, temperatures, processes) are no
contradiction; there, too, the earlier reading stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ilora_diag.collect.vocabulary import Kind, find_leaf
from ilora_diag.schema import Fact, Facts, Known, Unavailable, Value

MAX_LINES_KEPT = 100  # of notes, of warnings: a long paste must not become a long fact
_LISTS = ("import.kinds", "import.notes", "import.warnings")
_CHANGING = re.compile(
    r"gpu\[\d+\]\.(?:memory_used_bytes|memory_free_bytes|bar1_used_bytes|clocks_event_reasons|performance_state|link_.*"
    r"|temperature_c|power_draw_w|utilization_percent|num_processes|process\[.*|pcie_replays"
    r"|mig\[\d+\]\.memory_(?:used|free)_bytes)|host\.memory_available_bytes|cgroup\.memory_current_bytes"
    r"|shm\.free_bytes|os\.uptime_s|driver\.nvidia_smi|kernel_log\..*|error\.text"
)
_PROCESS = re.compile(r"(gpu\[\d+\])\.process\[\d+\]\..*")


@dataclass(slots=True)
class Draft:
    """Leaves by path, with what was noticed while reading them.

    Attributes:
        captured_at: seconds since the epoch, where a source tells the time with its zone.
    """

    captured_at: float | None = None
    _facts: dict[str, Fact] = field(default_factory=dict)
    _conflicts: dict[str, list[str]] = field(default_factory=dict)
    _lists: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _LISTS})

    def put(self, path: str, value: Known[Value], source: str) -> None:
        """Add a leaf. A known value replaces an unknown one; for two known ones see the module."""
        old = self._facts.get(path)
        new = Fact(path=path, value=value, source=source)
        if old is None or (isinstance(old.value, Unavailable) and not isinstance(value, Unavailable)):
            self._facts[path] = new
            return
        if isinstance(value, Unavailable) or isinstance(old.value, Unavailable):
            return
        if old.value == value or _CHANGING.fullmatch(path):
            return
        better = _more_exact(path, old.value, value)
        if better is None:
            entries = self._conflicts.setdefault(path, [_entry(old)])
            if _entry(new) not in entries:
                entries.append(_entry(new))
        elif better != old.value:
            self._facts[path] = new

    def kind(self, name: str) -> None:
        """Say that something of this kind was recognised."""
        self._append("import.kinds", name)

    def note(self, text: str) -> None:
        """Keep a statement that has no path of its own."""
        self._append("import.notes", text.strip()[:500])

    def warn(self, text: str) -> None:
        """Say what was left out, and why."""
        self._append("import.warnings", text)

    def get(self, path: str) -> Known[Value]:
        """The value so far."""
        fact = self._facts.get(path)
        return Unavailable(reason="not collected", source=path) if fact is None else fact.value

    def kinds(self) -> tuple[str, ...]:
        """What was recognised so far."""
        return tuple(self._lists["import.kinds"])

    def paths(self) -> tuple[str, ...]:
        """All paths so far."""
        return tuple(self._facts)

    def add_all(self, facts: Iterable[Fact]) -> None:
        """Take over the leaves of another reading. A device's list of processes is taken whole or not at all."""
        complete = {path for path in self._facts if path.endswith("num_processes")}
        for fact in facts:
            process = _PROCESS.fullmatch(fact.path)
            if process is not None and f"{process[1]}.num_processes" in complete:
                continue
            if fact.path in _LISTS and isinstance(fact.value, tuple):
                for item in fact.value:
                    self._append(fact.path, str(item))
            elif fact.path.startswith("conflict.") and isinstance(fact.value, tuple):
                entries = self._conflicts.setdefault(fact.path.removeprefix("conflict."), [])
                entries += [str(item) for item in fact.value if item not in entries]
            else:
                self.put(fact.path, fact.value, fact.source)

    def facts(self) -> tuple[Fact, ...]:
        """The leaves, with the lists and the conflicts at the end."""
        lists = [_list_fact(path, items) for path, items in self._lists.items() if items]
        conflicts = [_list_fact(f"conflict.{path}", items) for path, items in self._conflicts.items()]
        return (*self._facts.values(), *lists, *conflicts)

    def _append(self, path: str, text: str) -> None:
        items = self._lists[path]
        if text and text not in items and len(items) < MAX_LINES_KEPT:
            items.append(text)


def merge_facts(*parts: Facts) -> Facts:
    """Several readings of one machine as one. Earlier ones win; contradictions are at `conflict.PATH`.

    The time is that of the first part that knows it. Devices are told apart by their index: the parts must count
    them alike, and where they do not, names and identifiers show up as conflicts.
    """
    draft = Draft()
    for part in parts:
        draft.add_all(part.facts)
    known = [part.captured_at for part in parts if not isinstance(part.captured_at, Unavailable)]
    times = [*known, *(part.captured_at for part in parts)]
    nothing = Unavailable(reason="absent: there is no part", source="import")
    return Facts(captured_at=times[0] if times else nothing, facts=draft.facts())


def _entry(fact: Fact) -> str:
    return f"{fact.value} ({fact.source})"


def _list_fact(path: str, items: list[str]) -> Fact:
    return Fact(path=path, value=tuple(items), source="import")


def _more_exact(path: str, old: Value, new: Value) -> Value:
    """The more exact of two readings that say the same; None for a contradiction."""
    if not isinstance(old, str) or not isinstance(new, str):
        return None
    if old.lower() == new.lower():
        return old
    leaf = find_leaf(path)
    version = leaf is not None and leaf.kind is Kind.VERSION
    for short, long in ((old, new), (new, old)):
        if version and re.match(rf"{re.escape(short)}(?:[.+-]|$)", long):
            return long
        if path.endswith(".name") and _shortens(short, long):
            return long
        if path.endswith("bus_id") and long.lower().endswith(short.lower().lstrip("0")):
            return long
    return None


def _shortens(short: str, long: str) -> bool:
    """Whether a name is the other one cut off or without its maker: `NVIDIA GeForce ...`, `TITAN Xp`."""
    stem, whole = (text.lower().removeprefix("nvidia ").strip() for text in (short, long))
    if stem.endswith("..."):
        return whole.startswith(stem[:-3].strip())
    return stem == whole and len(short) < len(long)
