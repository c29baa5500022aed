"""English, of comparisons."""

from __future__ import annotations

MESSAGES = {
    "compare.title": "{a} against {b}",
    "compare.equal": "Equal: no difference matters (tolerance {percent} %).",
    "compare.differs": "They differ: {num} differences matter.",
    "compare.side": " ({kind}: {name})",
    "compare.same": "The same in both: {counts}.",
    "compare.count": "{group} {num}",
    "compare.not_compared": "Not compared: {group} ({reason}).",
    "compare.more": "{num} more; --json has all of them.",
    "compare.absent": "-",
    "compare.unknown": "unknown: {reason}",
    "compare.other": "differs",
    "compare.column.what": "What",
    "compare.column.change": "B against A",
    "compare.kind.train": "training",
    "compare.kind.estimate": "estimate",
    "compare.kind.run": "run of a script",
    "compare.kind.bisect": "investigation",
    "compare.kind.snapshot": "snapshot",
    "compare.group.outcome": "Outcome",
    "compare.group.requested": "Settings as typed",
    "compare.group.effective": "Settings in force",
    "compare.group.versions": "Versions and device",
    "compare.group.memory": "Memory at the peak",
    "compare.group.category": "Memory by category",
    "compare.group.module": "Memory by module",
    "compare.group.operator": "Memory by operator",
    "compare.group.metric": "Metrics",
}
