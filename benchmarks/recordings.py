"""This project's own recordings (`make gpu-truth`): reading them, and running their workloads on the virtual device.

`python -m benchmarks.recordings FILE NAME` runs the named workload of a recording on a virtual card of the same kind,
with the same allocator settings, and prints one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = "ilora-diag/gpu-truth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One workload as a card ran it.

    Attributes:
        file: the recording's path.
        name: of the workload.
        family: how it is summed up: by model and adapter.
        outcome: ok or oom.
        peaks: allocated and reserved bytes, the largest of all phases, and allocated bytes after the last phase.
        document: the whole recording's head: device, torch.
        workload: the fields of the workload.
    """

    file: str
    name: str
    family: str
    outcome: str
    peaks: dict[str, int]
    document: dict[str, Any]
    workload: dict[str, Any]


def read_recordings(folder: Path) -> Iterator[Recording]:
    """Every workload with an answer in the folder's recordings.

    Raises:
        ValueError: a file of a newer version, or of something else.
    """
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.get("schema") != SCHEMA or document.get("schema_version") != 1:
            raise ValueError(f"{path.name}: schema {document.get('schema')} {document.get('schema_version')}, not 1")
        for name, answer in document["answers"].items():
            request = answer["request"]
            if request["kind"] == "workload" and answer.get("outcome") in ("ok", "oom"):
                workload = request["workload"]
                yield Recording(
                    file=str(path),
                    name=name,
                    family=f"{workload['model']} {workload['adapter']}",
                    outcome=answer["outcome"],
                    peaks=peaks_of(answer["phases"]),
                    document={key: document[key] for key in ("device", "torch")},
                    workload=workload,
                )


def peaks_of(phases: list[dict[str, Any]]) -> dict[str, int]:
    """The largest allocated and reserved bytes over all phases, and what was allocated at the end of the last."""
    return {
        "allocated": max(phase["peak"]["allocated_bytes"] for phase in phases),
        "reserved": max(phase["peak"]["reserved_bytes"] for phase in phases),
        "after": phases[-1]["end"]["allocated_bytes"],
    }


def predict(recording: Recording) -> dict[str, Any]:
    """The same workload on the virtual device."""
    from benchmarks.truth.steps import run
    from benchmarks.truth.workload import Workload
    from probes.virtual import virtual_cuda

    begin = time.perf_counter()
    workload = Workload.from_dict(recording.workload)
    version = recording.document["torch"].partition("+")[0]
    with virtual_cuda(recording.document["device"], torch_version=version, environ=workload.environ):
        answer = run(workload, "cuda")
    return {
        "outcome": answer["outcome"],
        "peaks": peaks_of(answer["phases"]),
        "phases": answer["phases"],
        "seconds": time.perf_counter() - begin,
    }


def main(argv: list[str]) -> int:
    """Predict the named workload of the file and print one JSON line."""
    found = next(
        each for each in read_recordings(Path(argv[0]).parent) if each.file == argv[0] and each.name == argv[1]
    )
    print(json.dumps(predict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
