"""Whether two torch builds lead to the same requests: the grid of `make gpu-truth` on the virtual device under each.

`python -m benchmarks.across_torch record FILE [--rules 2.13.0 ...] [--gpu h100 ...]` runs every configuration of the
grid, shortened to two layers, and writes every request: its size, the operator that asked, when it was given back.
The same command is run with another interpreter, whose torch is another; `compare ONE OTHER` lines both up. With
`--rules` the workspaces, the choice of attention and so on are those of a fixed version, so that what differs comes
from the installed operators; `--rules installed` lets each follow its own.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.truth.grid import grid
from benchmarks.truth.workload import Workload

LAYERS = 2
INSTALLED = "installed"
SAID = ("outcome", "peak_allocated_bytes", "peak_reserved_bytes", "attention", "notes")


def shortened(layers: int = LAYERS) -> list[Workload]:
    """The grid, its language models cut to a few layers: every layer asks for the same."""
    return [replace(each, layers=None if each.model == "sasrec" else layers, events=False, steps=2) for each in grid()]


def record(workload: Workload, gpu: str, rules: str) -> dict[str, Any]:
    """One configuration on the virtual device: its requests, its peaks, what the device could not know.

    Args:
        workload: what to run.
        gpu: the card.
        rules: torch version whose rules hold, or `installed`.
    """
    import torch

    from benchmarks.truth.steps import run
    from probes.virtual import virtual_cuda

    version = None if rules == INSTALLED else rules
    with virtual_cuda(gpu, torch_version=version, environ=workload.environ) as machine:
        answer = run(workload, "cuda")
        ledger = machine.ledger
        return {
            "name": workload.name,
            "gpu": gpu,
            "rules": rules,
            "torch": torch.__version__,
            "outcome": answer["outcome"],
            "peak_allocated_bytes": max(phase["peak"]["allocated_bytes"] for phase in answer["phases"]),
            "peak_reserved_bytes": max(phase["peak"]["reserved_bytes"] for phase in answer["phases"]),
            "attention": dict(sorted(machine.attention.items())),
            "notes": sorted(machine.notes.counts),
            "events": list(ledger.events),
            "sizes": ledger.sizes[1:],
            "ops": ledger.ops[1:],
            "modules": ledger.modules[1:],
            "phases": ledger.phases[1:],
        }


def read(file: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The records of a file, by configuration, card and rules."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return {(each["name"], each["gpu"], each["rules"]): each for each in found}


def stretches(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[int, list[str], list[str]]]:
    """Where the requests of two records differ in size, operator or module: (place, only in one, only in other)."""
    left, right = _requests(one), _requests(other)
    matcher = difflib.SequenceMatcher(a=left, b=right, autojunk=False)
    for tag, begin, end, first, last in matcher.get_opcodes():
        if tag != "equal":
            yield begin, left[begin:end], right[first:last]


def _requests(each: dict[str, Any]) -> list[str]:
    together = zip(each["sizes"], each["ops"], each["phases"], each["modules"], strict=True)
    return [f"{size:>13,d}  {op:<40.40}  {phase:<10}  {module}" for size, op, phase, module in together]


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What two records of one configuration do not share, in words; empty where they are the same."""
    found = [f"{key}: {one[key]} and {other[key]}" for key in SAID if one[key] != other[key]]
    parts = ("sizes", "ops", "phases", "modules")
    if any(one[part] != other[part] for part in parts):
        for place, left, right in stretches(one, other):
            found.append(f"at request {place}:")
            found += [f"  - {line}" for line in left] + [f"  + {line}" for line in right]
    elif one["events"] != other["events"]:
        found.append(_released(one["events"], other["events"], _requests(one)))
    return found


def _released(one: Sequence[int], other: Sequence[int], requests: Sequence[str]) -> str:
    """Same requests, other releases: the first place in which the order of events differs."""
    place = next(index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return f"released at other times, first at event {place}: {requests[abs(one[place]) - 1].strip()}"


def _record(arguments: argparse.Namespace) -> int:
    chosen = [each for each in shortened() if arguments.only in each.name]
    with gzip.open(arguments.file, "wt", encoding="utf-8") as file:
        for rules in arguments.rules:
            for gpu in arguments.gpu:
                for workload in chosen:
                    answer = record(workload, gpu, rules)
                    file.write(json.dumps(answer) + "\n")
                    print(f"{rules} {gpu} {answer['name']}: {len(answer['sizes'])} requests", file=sys.stderr)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    one, other = read(arguments.one), read(arguments.other)
    shared = [key for key in one if key in other]
    print(f"{len(shared)} in both, {len(one) + len(other) - 2 * len(shared)} in one alone")
    verdicts: Counter[str] = Counter()
    for key in shared:
        found = differences(one[key], other[key])
        verdicts["differ" if found else "same"] += 1
        if found:
            print(f"\n{' '.join(key)}: {one[key]['torch']} and {other[key]['torch']}")
            print("\n".join(found[: arguments.limit]))
    print(f"\n{verdicts['same']} the same, {verdicts['differ']} differ")
    return int(verdicts["differ"] > 0)


def main(argv: list[str] | None = None) -> int:
    """Record, or compare two recordings. Returns the exit code: 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.across_torch", description=__doc__)
    commands = parser.add_subparsers(required=True)
    writes = commands.add_parser("record")
    writes.add_argument("file", type=Path)
    writes.add_argument("--rules", nargs="+", default=[INSTALLED], help="versions, or 'installed'")
    writes.add_argument("--gpu", nargs="+", default=["h100"], help="cards of the table")
    writes.add_argument("--only", default="", help="configurations whose name contains this")
    writes.set_defaults(act=_record)
    compares = commands.add_parser("compare")
    compares.add_argument("one", type=Path)
    compares.add_argument("other", type=Path)
    compares.add_argument("--limit", type=int, default=40, help="lines per configuration")
    compares.set_defaults(act=_compare)
    arguments = parser.parse_args(argv)
    result: int = arguments.act(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())
