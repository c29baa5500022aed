"""Does `bisect-oom` name planted defects? `python -m benchmarks.planted_faults [--only TEXT] [--out FILE]`.

Each row of `tests/scenarios/scenarios.json` is a script with one small defect, or a control without one. It is copied
to a neutral name and investigated by the command, as a user would type it; nothing of the row reaches the command but
what describes the machine. Rows already in FILE are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = ROOT / "tests" / "scenarios"
DEADLINE_S = 1500.0


def main(argv: list[str] | None = None) -> int:
    """Run and score. Returns the number of causes that were claimed wrongly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_faults", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--out", type=Path, help="file of results, a JSON object a line; added to")
    arguments = parser.parse_args(argv)
    rows = [row for row in json.loads((SCENARIOS / "scenarios.json").read_text()) if arguments.only in row["name"]]
    known = _known(arguments.out)
    results = []
    for row in rows:
        result = known.get(row["name"]) or _investigated(row)
        results.append(result)
        print(_line(result), flush=True)
        if arguments.out is not None and row["name"] not in known:
            with arguments.out.open("a") as file:
                file.write(json.dumps(result) + "\n")
    faults = [one for one in results if one["kind"] == "fault"]
    wrong = [one for one in results if one["verdict"] == "wrong"]
    named = sum(one["verdict"] == "named" for one in faults)
    print(f"{named} of {len(faults)} faults named first; {len(wrong)} wrong causes claimed")
    return len(wrong)


def _investigated(row: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="investigated-") as place:
        folder = Path(place)
        shutil.copy(SCENARIOS / "scripts" / row["script"], folder / "train.py")
        shutil.copy(SCENARIOS / "scripts" / "_parts.py", folder / "_parts.py")
        begin = time.perf_counter()
        try:
            done = subprocess.run(
                _command(row), cwd=folder, env={**os.environ, **row["env"]}, capture_output=True, text=True,
                timeout=DEADLINE_S,
            )  # fmt: skip
            found = json.loads(done.stdout) if done.stdout.strip() else {"outcome": done.stderr[-400:]}
        except subprocess.TimeoutExpired:
            found = {"outcome": "timed out"}
        seconds = time.perf_counter() - begin
    cause = found.get("cause") or {}
    return {
        "name": row["name"],
        "kind": row["kind"],
        "expected": row["category"],
        "outcome": found["outcome"],
        "category": cause.get("category", ""),
        "factors": [one["name"] for one in cause.get("factors", ())],
        "confidence": cause.get("confidence", ""),
        "num_trials": found.get("num_trials", 0),
        "seconds": round(seconds, 1),
        "verdict": _verdict(row, found["outcome"], cause),
    }


def _command(row: dict[str, Any]) -> list[str]:
    words = [sys.executable, "-P", "-m", "ilora_diag", "bisect-oom", "--json", "--device", row["device"]]
    words += ["--memory", str(row["memory_bytes"])] if row["memory_bytes"] else []
    words += ["--other-processes", str(row["other_bytes"])] if row["other_bytes"] else []
    words += ["--no-vmm"] if row["vmm"] is False else []
    return [*words, "--", "train.py", *row["args"]]


def _verdict(row: dict[str, Any], outcome: str, cause: dict[str, Any]) -> str:
    """named, wrong (a cause that is none of the right ones), or missed (none was claimed)."""
    if outcome != "cause_found":
        return "missed" if row["category"] else "named"
    right = [row["category"], *row["also_right"]]
    return "named" if cause["category"] in right else "wrong"


def _line(result: dict[str, Any]) -> str:
    told = (
        f"{result['category']} {result['confidence']} {result['factors']}" if result["category"] else result["outcome"]
    )
    return f"{result['verdict']:<7} {result['name']:<55} {told}  {result['num_trials']} trials, {result['seconds']} s"


def _known(file: Path | None) -> dict[str, dict[str, Any]]:
    if file is None or not file.exists():
        return {}
    return {one["name"]: one for one in map(json.loads, file.read_text().splitlines())}


if __name__ == "__main__":
    sys.exit(main())
