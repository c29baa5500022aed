"""Records what only a CUDA card can tell: what real training steps ask of it, phase by phase and request by request.

`python -m benchmarks.gpu_truth` runs the grid of `benchmarks.truth` on the first CUDA card, each configuration in a
fresh process with random weights, offline, and writes one file per card and torch version into tests/fixtures/gpu.
Results are kept as they come in: a run that was cut off goes on where it stopped. Without a card it says so, exit 4.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.truth.grid import grid
from benchmarks.truth.workload import Workload, fingerprint
from ilora.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "fixtures" / "gpu"
WORK = ROOT / "build" / "gpu-truth"
SCHEMA, SCHEMA_VERSION = "ilora-diag/gpu-truth", 1
MAX_FILE_BYTES = 5_000_000
DEADLINE_S = 300.0
UNANSWERED = ("crash", "timeout")
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NO_DEVICE = 0, 1, 2, 4


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to record: its name, the request for its process, and the variables that process needs."""

    name: str
    request: dict[str, Any]
    environ: dict[str, str]


def items(workloads: Iterable[Workload]) -> list[Item]:
    """Machine facts and small probes first, then the grid."""
    found = [Item("machine", {"kind": "machine"}, {}), Item("micro", {"kind": "micro"}, {})]
    found.extend(Item(w.name, {"kind": "workload", "workload": w.to_dict()}, w.environ) for w in workloads)
    return found


def record(item: Item, deadline_s: float) -> dict[str, Any]:
    """Run one item in a fresh process. A crash or a missed deadline is its answer."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        request.write_text(json.dumps(item.request), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "benchmarks.truth.process", str(request), str(answer)]
        environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
        environ |= item.environ
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, errors="replace", env=environ, timeout=deadline_s
            )
        except subprocess.TimeoutExpired:
            return {"outcome": "timeout", "message": f"no answer within {deadline_s:.0f} s"}
        if done.returncode == 0 and answer.exists():
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return found
        tail = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["no message"]
        return {"outcome": "crash", "exit_code": done.returncode, "message": tail[0][:300]}


def collect(
    wanted: list[Item], machine: dict[str, str], work: Path, *, resume: bool, deadline_s: float
) -> dict[str, Any]:
    """All answers by name; each is written to the working folder as soon as it is there."""
    work.mkdir(parents=True, exist_ok=True)
    answers: dict[str, Any] = {}
    begin = time.monotonic()
    for number, item in enumerate(wanted, start=1):
        kept = work / f"{fingerprint(item.request, machine)}.json"
        reused = resume and kept.exists()
        if reused:
            answer = json.loads(kept.read_text(encoding="utf-8"))
        else:
            answer = record(item, deadline_s)
            if answer.get("outcome") not in UNANSWERED:  # what crashed or hung is worth another try
                with atomic_write(kept) as file:
                    file.write(json.dumps(answer).encode())
        answers[item.name] = {"request": item.request, **answer}
        state = "kept" if reused else answer.get("outcome", "ok")
        print(f"[{number:3d}/{len(wanted)}] {time.monotonic() - begin:6.0f} s  {state:8s} {item.name}", flush=True)
    return answers


def write(answers: dict[str, Any], machine: dict[str, str], folder: Path) -> Path:
    """Write the recording; over the size limit, event sequences are dropped, longest first, and their names kept."""
    dropped: list[str] = []
    document = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **machine, "dropped_events": dropped}
    document["answers"] = answers
    while len(data := json.dumps(document, separators=(",", ":")).encode()) > MAX_FILE_BYTES:
        longest = max(answers, key=lambda name: len(answers[name].get("events", {}).get("stream", "")))
        if not answers[longest].pop("events", None):
            break
        dropped.append(longest)
    name = f"{machine['device']}-torch-{machine['torch']}".lower().replace(" ", "-").replace("+", "-")
    file = folder / f"{name}.json"
    with atomic_write(file) as stream:
        stream.write(data + b"\n")
    return file


def here() -> dict[str, str] | None:
    """Card and torch version of this machine; None without a CUDA card. Asked in a child: CUDA stays untouched here."""
    script = (
        "import json, torch\n"
        "ok = torch.cuda.is_available()\n"
        "print(json.dumps({'device': torch.cuda.get_device_name(0) if ok else None, 'torch': torch.__version__}))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], check=False, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"device": None, "torch": "?"}
    if found["device"] is None:
        print(f"no CUDA device for torch {found['torch']}: nothing was recorded")
        return None
    return {"device": str(found["device"]), "torch": str(found["torch"])}


def main(argv: list[str] | None = None) -> int:
    """Run the grid and write the recording. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_truth", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the configurations and stop")
    parser.add_argument("--only", metavar="PATTERN", help="names to run, with * and ?; the file is then not written")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help="reuse kept results")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of results as they come in")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the recording")
    parser.add_argument("--deadline", type=float, default=DEADLINE_S, metavar="S", help="seconds per configuration")
    arguments = parser.parse_args(argv)
    wanted = items(grid())
    if arguments.only:
        wanted = [item for item in wanted if fnmatch.fnmatch(item.name, arguments.only)]
        if not wanted:
            print(f"--only {arguments.only}: no such configuration; --list prints them", file=sys.stderr)
            return EXIT_USAGE
    if arguments.list:
        print("\n".join(item.name for item in wanted))
        return EXIT_OK
    machine = here()
    if machine is None:
        return EXIT_NO_DEVICE
    answers = collect(wanted, machine, arguments.work, resume=arguments.resume, deadline_s=arguments.deadline)
    failed = [name for name, answer in answers.items() if answer.get("outcome") in UNANSWERED]
    if not arguments.only:
        file = write(answers, machine, arguments.out)
        print(f"recorded {len(answers)} items in {file.name}, {file.stat().st_size} bytes")
    if failed:
        print(f"without an answer: {', '.join(failed)}", file=sys.stderr)
    return EXIT_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
