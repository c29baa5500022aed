"""Request by request: what a card was asked for in a recorded step, and what the virtual device was asked for.

`python -m benchmarks.sequence CASE [--snapshots DIR] [--limit N]` runs the case under the virtual device with its
history recorded, lines the two sequences of requested sizes up, and prints what only one of them has, with the op and
the frames that asked. What the card has and the device has not is hidden memory still to be modelled.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Frames of what carries the virtual device are no more of interest than torch's own.
OWN = re.compile(r"/(probes/virtual|ilora_diag/memory)/")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Request:
    """One allocation of a recording.

    Attributes:
        size: bytes asked for.
        op: name of the innermost ATen op, "" where frames hold none.
        frame: innermost Python frame outside of torch, "" where there is none (backward runs without).
        lifetime: allocations made before it was freed; None if it outlived the recording.
    """

    size: int
    op: str
    frame: str
    lifetime: int | None

    def __str__(self) -> str:
        return f"{self.size:>12,d}  {self.op or '?':<28.28}  {self.frame}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A stretch in which the two sequences differ; `index` counts the recorded requests before it."""

    index: int
    recorded: tuple[Request, ...]
    predicted: tuple[Request, ...]


def requests_of(events: Iterable[Mapping[str, Any]]) -> list[Request]:
    """The allocations among a device's trace events (`device_traces` of a snapshot), in order."""
    found: list[dict[str, Any]] = []
    live: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["action"] == "alloc":
            entry = {"size": event["size"], "frames": event.get("frames", ()), "freed": None}
            found.append(entry)
            live[event["addr"]] = entry
        elif event["action"] == "free_requested":
            entry = live.pop(event["addr"], None)
            if entry is not None:
                entry["freed"] = len(found)
    return [
        Request(
            entry["size"],
            op_of(entry["frames"]),
            frame_of(entry["frames"]),
            None if entry["freed"] is None else entry["freed"] - index - 1,
        )
        for index, entry in enumerate(found)
    ]


def op_of(frames: Sequence[Mapping[str, Any]]) -> str:
    """The innermost ATen op of a stack with C++ frames, or the op the virtual device names, or ""."""
    for frame in frames:
        match = re.match(r"(?:at::_ops::|aten::|aten\.)(\w+)", str(frame["name"]))
        if match:
            return match[1]
        if "setWorkspaceForHandle" in str(frame["name"]):
            return "cublas_workspace"
    return ""


def frame_of(frames: Sequence[Mapping[str, Any]]) -> str:
    """`file:line:function` of the innermost Python frame that is not torch's own, or ""."""
    for frame in frames:
        file = str(frame["filename"]).replace("\\", "/")
        if file.endswith(".py") and "/torch/" not in file and "/einops/" not in file and not OWN.search(file):
            return f"{file.rsplit('/', 1)[-1]}:{frame['line']}:{frame['name']}"
    return ""


def differences(recorded: Sequence[Request], predicted: Sequence[Request]) -> Iterator[Difference]:
    """Where the two sequences of sizes differ, after lining them up (difflib's longest matching blocks)."""
    matcher = difflib.SequenceMatcher(
        a=[request.size for request in recorded], b=[request.size for request in predicted], autojunk=False
    )
    for tag, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if tag != "equal":
            yield Difference(a_start, tuple(recorded[a_start:a_end]), tuple(predicted[b_start:b_end]))


def lifetimes_off(recorded: Sequence[Request], predicted: Sequence[Request], *, least_bytes: int) -> list[str]:
    """Requests of the same place in both whose lifetimes differ by more than two allocations, large ones only."""
    if len(recorded) != len(predicted):
        return []
    lines = []
    for index, (one, two) in enumerate(zip(recorded, predicted, strict=True)):
        if one.size != two.size or one.size < least_bytes:
            continue
        a, b = (sys.maxsize if each.lifetime is None else each.lifetime for each in (one, two))
        if abs(a - b) > 2:
            lines.append(f"{index:6d} {one}  lives {one.lifetime}, predicted {two.lifetime}")
    return lines


def report(recorded: Sequence[Request], predicted: Sequence[Request], *, limit: int) -> list[str]:
    """Lines of a comparison: totals, what is missing by op and size, and the first stretches in full."""
    found = list(differences(recorded, predicted))
    missing = [request for each in found for request in each.recorded]
    extra = [request for each in found for request in each.predicted]
    lines = [
        f"recorded {len(recorded)} requests, predicted {len(predicted)}; "
        f"{len(recorded) - len(missing)} in common, {len(missing)} only recorded, {len(extra)} only predicted"
    ]
    for title, group in (("only recorded", missing), ("only predicted", extra)):
        counted = Counter((request.op, request.size) for request in group)
        lines += [f"{title}, by op and size:"] if counted else []
        lines += [
            f"  {number:5d} x {size:>12,d}  {op or '?'}"
            for (op, size), number in sorted(counted.items(), key=lambda item: -item[0][1] * item[1])[:limit]
        ]
    for each in found[:limit]:
        lines.append(f"at {each.index}:")
        lines += [f"  - {request}" for request in each.recorded[:limit]]
        lines += [f"  + {request}" for request in each.predicted[:limit]]
    return lines


def recorded_requests(file: Path) -> list[Request]:
    """The requests of a recorded snapshot: of the device with most events."""
    from ilora_diag.memory.snapshot_file import read_snapshot

    traces = read_snapshot(file).device_traces
    return requests_of(max(traces, key=len, default=()))


def predicted_requests(case_id: str, file: Path) -> list[Request]:
    """The requests of the case's window on the virtual device."""
    from benchmarks.cases.load import load_cases
    from benchmarks.predict import run_case

    cases, left_out = load_cases(file)
    case = next((each for each in cases if each.id == case_id), None)
    if case is None:
        raise KeyError(f"no case {case_id}: {left_out.get(case_id, 'unknown')}")
    return requests_of(run_case(case, record=True).events)


def main(argv: list[str] | None = None) -> int:
    """Compare one case, or list the ones with a recording. Returns the exit code."""
    from benchmarks.cases.load import load_cases

    parser = argparse.ArgumentParser(prog="python -m benchmarks.sequence", description=__doc__)
    parser.add_argument("case", nargs="?", help="row id; without it the ids that have a recording are listed")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with memory_cases.jsonl and snapshots/")
    parser.add_argument("--limit", type=int, default=20, help="lines per section")
    arguments = parser.parse_args(argv)
    rows = arguments.data / "memory_cases.jsonl"
    if not rows.is_file():
        print(f"no {rows.name} in {arguments.data}: give the folder with --data", file=sys.stderr)
        return 4
    cases = {case.id: case for case in load_cases(rows)[0] if case.snapshot is not None}
    if arguments.case not in cases:
        print("\n".join(sorted(cases)), file=sys.stdout if arguments.case is None else sys.stderr)
        return 0 if arguments.case is None else 2
    snapshot = arguments.data / "snapshots" / str(cases[arguments.case].snapshot)
    recorded, predicted = recorded_requests(snapshot), predicted_requests(arguments.case, rows)
    print("\n".join(report(recorded, predicted, limit=arguments.limit)))
    print("\n".join(lifetimes_off(recorded, predicted, least_bytes=2**20)[: arguments.limit]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
