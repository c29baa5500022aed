"""Predictions of the virtual device against everything that was measured on a card.

`python -m benchmarks.accuracy [--only PATTERN] [--data DIR]` runs every comparable row of memory_cases.jsonl and every
recording under tests/fixtures/gpu on the virtual device, each in a process of its own, and prints predicted and
measured bytes with their relative error; per family the median, the 90th and 95th percentile and the worst; two rules
of thumb on the same cases; every prediction that says "fits" where the card said no; and the rows that are left out,
with the reason. Rows with a recorded snapshot are compared with the snapshot's replay where the file is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case
from benchmarks.naive_rules import FLOAT32, accelerate_rule, formula
from benchmarks.recordings import Recording, read_recordings
from benchmarks.replayed import with_replay

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
FIXTURES = ROOT / "tests" / "fixtures" / "gpu"
DEADLINE_S = 900.0
QUANTITIES = ("allocated", "reserved", "after")
RULES = {"accelerate estimate-memory": accelerate_rule, "weights+gradients+states": formula}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison.

    Attributes:
        errors: quantity -> (predicted - measured) / measured, for the quantities that were measured.
        predicted: quantity -> bytes.
        measured: quantity -> bytes.
        verdict: "", "false fits", "false does not fit", or what went wrong.
        seconds: the prediction took.
        origin: where the measured figures come from: the row, or the replay of its recording.
        rules: rule of thumb -> error on peak allocated.
    """

    id: str
    family: str
    errors: dict[str, float]
    predicted: dict[str, int]
    measured: dict[str, int]
    verdict: str
    seconds: float
    origin: str = "row"
    rules: dict[str, float] = field(default_factory=dict)


def compare(case: Case, answer: dict[str, Any]) -> Row:
    """A case and the answer of `benchmarks.predict`, or of a process that failed ({"failed": reason})."""
    measured = {
        name: value
        for name, value in (
            ("allocated", case.measured.allocated_bytes),
            ("reserved", case.measured.reserved_bytes),
            ("after", case.measured.after_bytes),
            ("device", case.measured.device_bytes),
        )
        if value is not None and not case.measured.out_of_memory
    }
    if "failed" in answer:
        return Row(
            id=case.id,
            family=case.family,
            errors={},
            predicted={},
            measured=measured,
            verdict=answer["failed"],
            seconds=0,
        )
    predicted = {name: int(answer[f"{name}_bytes"]) for name in ("allocated", "reserved", "after")}
    if "device" in measured:
        predicted["device"] = nearest_within(predicted["reserved"], case.outside_bytes, measured["device"])
    out_of_memory = answer["out_of_memory"] is not None
    verdict = ""
    if case.measured.out_of_memory and not out_of_memory:
        verdict = "false fits"
    elif out_of_memory and not case.measured.out_of_memory:
        verdict = "false does not fit"
    errors = {} if out_of_memory else {name: relative(predicted[name], value) for name, value in measured.items()}
    return Row(
        id=case.id,
        family=case.family,
        errors=errors,
        predicted=predicted,
        measured=measured,
        verdict=verdict,
        seconds=float(answer["seconds"]),
        origin=case.measured.origin,
        rules=rule_errors(case, int(answer.get("parameter_bytes", 0))) if errors else {},
    )


def nearest_within(reserved: int, outside: tuple[int, int], measured: int) -> int:
    """What of a whole card's used memory is predicted, given how much may lie outside the allocator.

    The bounds are known, the value between them is not, so it is the one that comes nearest to the reading.
    """
    least, most = outside
    return min(max(measured, reserved + least), reserved + most)


def rule_errors(case: Case, parameter_bytes: int) -> dict[str, float]:
    """What the rules of thumb miss peak allocated by; parameters are counted here where the row does not say."""
    if case.outline is None or case.measured.allocated_bytes is None:
        return {}
    adapters = (case.outline.adapter_params or 0) * FLOAT32
    num_params = case.outline.num_params or (parameter_bytes - adapters) // case.outline.weight_bytes
    return {
        name: relative(rule(case.outline, num_params), case.measured.allocated_bytes) for name, rule in RULES.items()
    }


def relative(predicted: int, measured: int) -> float:
    """(predicted - measured) / measured."""
    return (predicted - measured) / measured


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; nan for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def predict(arguments: list[str]) -> dict[str, Any]:
    """The answer of one prediction process."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        environ.pop(name, None)
    command = [sys.executable, "-P", "-W", "ignore", "-m", *arguments]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", env=environ, timeout=DEADLINE_S
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no prediction within {DEADLINE_S:.0f} s"}
    if done.returncode != 0:
        tail = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["no message"]
        return {"failed": f"exit {done.returncode}: {tail[0][:160]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row_line(row: Row) -> str:
    """One line: errors in percent, then bytes in GB."""
    cells = []
    for name in (*QUANTITIES, "device"):
        if name in row.errors:
            gb = f"{row.predicted[name] / 1e9:8.3f}/{row.measured[name] / 1e9:<8.3f}"
            cells.append(f"{name} {gb} {row.errors[name]:+8.3%}")
    text = "   ".join(cells) or ("agrees on whether it fits" if not row.verdict else "")
    rules = "   ".join(f"{name} {error:+.1%}" for name, error in row.rules.items())
    origin = "replay" if row.origin == "replay" else ""
    return f"{row.id:<52.52} {row.seconds:5.1f} s  {text}  {row.verdict}  {origin}  {rules}".rstrip()


def summary(rows: list[Row]) -> list[str]:
    """Per family and quantity: how many, and quantiles of the absolute relative errors; then rules, verdicts, time."""
    lines = [f"{'family':<18} {'quantity':<28} {'n':>3} {'median':>8} {'p90':>8} {'p95':>8} {'worst':>8}"]
    for family in (*dict.fromkeys(row.family for row in rows), "all"):
        members = [row for row in rows if family in ("all", row.family)]
        for name in (*QUANTITIES, "device"):
            lines += _figures(family, name, [row.errors[name] for row in members if name in row.errors])
        for name in RULES:
            lines += _figures(family, name, [row.rules[name] for row in members if name in row.rules])
    verdicts = Counter(row.verdict for row in rows)
    lines += [f"{verdict}: {verdicts[verdict]}" for verdict in ("false fits", "false does not fit")]
    times = [row.seconds for row in rows if row.seconds]
    lines += [f"seconds per prediction: median {quantile(times, 0.5):.1f}, worst {max(times):.1f}"] if times else []
    failed = [row.id for row in rows if row.verdict and not row.verdict.startswith("false")]
    return [*lines, f"without a prediction: {len(failed)} {', '.join(failed)}".rstrip()]


def _figures(family: str, name: str, errors: list[float]) -> list[str]:
    if not errors:
        return []
    figures = " ".join(f"{quantile(map(abs, errors), share):8.3%}" for share in (0.5, 0.9, 0.95, 1.0))
    return [f"{family:<18} {name:<28} {len(errors):3d} {figures}"]


def compare_recording(recording: Recording, answer: dict[str, Any]) -> Row:
    """A recorded workload against the same workload on the virtual device: the peaks of the whole run."""
    measured = recording.peaks
    out_of_memory = recording.outcome == "oom"
    if "failed" in answer:
        return Row(
            id=recording.name, family=recording.family, errors={}, predicted={}, measured=measured,
            verdict=answer["failed"], seconds=0,
        )  # fmt: skip
    predicted = {name: int(value) for name, value in answer["peaks"].items()}
    verdict = ""
    if out_of_memory != (answer["outcome"] == "oom"):
        verdict = "false fits" if out_of_memory else "false does not fit"
    either = out_of_memory or answer["outcome"] == "oom"
    return Row(
        id=recording.name,
        family=recording.family,
        errors={} if either else {name: relative(predicted[name], value) for name, value in measured.items()},
        predicted=predicted,
        measured={} if out_of_memory else measured,
        verdict=verdict,
        seconds=float(answer["seconds"]),
    )


def main(argv: list[str] | None = None) -> int:
    """Print the comparison. Returns 1 where a prediction falsely says "fits", 4 where there is nothing to compare."""
    from benchmarks.cases.load import load_cases

    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default="*", help="ids to compare, with * and ?")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with memory_cases.jsonl")
    parser.add_argument("--fixtures", type=Path, default=FIXTURES, help="folder of this project's own recordings")
    parser.add_argument("--jobs", type=int, default=1, help="predictions at the same time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    arguments = parser.parse_args(argv)
    file = arguments.data / "memory_cases.jsonl"
    cases, left_out = load_cases(file) if file.is_file() else ([], {})
    recordings = list(read_recordings(arguments.fixtures))
    if not cases and not recordings:
        print(f"nothing to compare with: no {file.name} in {arguments.data} and no recording", file=sys.stderr)
        return 4
    cases = [case for case in cases if fnmatch.fnmatch(case.id, arguments.only)]
    recordings = [recording for recording in recordings if fnmatch.fnmatch(recording.name, arguments.only)]
    rows: list[Row] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        answers = pool.map(lambda case: predict(["benchmarks.predict", case.id, str(file)]), cases)
        for case, answer in zip(cases, answers, strict=True):
            rows.append(compare(with_replay(case, arguments.data / "snapshots"), answer))
            print(row_line(rows[-1]), flush=True)
        answers = pool.map(lambda each: predict(["benchmarks.recordings", each.file, each.name]), recordings)
        for recording, answer in zip(recordings, answers, strict=True):
            rows.append(compare_recording(recording, answer))
            print(row_line(rows[-1]), flush=True)
    print("\n" + "\n".join(summary(rows)))
    print(f"\nleft out: {len(left_out)} rows")
    for reason, number in Counter(left_out.values()).most_common():
        print(f"  {number:3d}  {reason}")
    if arguments.json:
        text = json.dumps([dataclasses.asdict(row) for row in rows], indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 1 if any(row.verdict == "false fits" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
