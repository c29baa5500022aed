"""One item of the recording in a process of its own: `python -P -m benchmarks.truth.process REQUEST ANSWER`.

REQUEST is a JSON file {"kind": "workload" | "machine" | "micro", ...}; the answer is written to the file ANSWER. A
process that dies writes none, which its parent records.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(argv: list[str]) -> int:
    """Do what the request says. Returns the exit code."""
    request = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    begin = time.perf_counter()
    answer = {"workload": workload, "machine": machine_facts, "micro": micro}[request["kind"]](request)
    answer["seconds"] = round(time.perf_counter() - begin, 2)
    Path(argv[1]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def workload(request: dict[str, Any]) -> dict[str, Any]:
    """Run one configuration; the card's memory is read before and after, and which attention ran is read at the end."""
    from benchmarks.truth import machine
    from benchmarks.truth.steps import run
    from benchmarks.truth.workload import Workload

    what = Workload.from_dict(request["workload"])
    before = machine.device_used_bytes()
    answer = run(what, "cuda")
    after = machine.used()
    answer["device"] = {"used_before_bytes": before, **after}
    answer["attention_ops"] = attention_ops(what) if answer["outcome"] == "ok" else []
    return answer


def attention_ops(what: Any) -> list[str]:
    """Names of the attention ops in one more step on a fresh model of one layer, as the profiler saw them."""
    import dataclasses
    import gc

    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.truth.steps import run

    gc.collect()
    torch.cuda.empty_cache()
    small = dataclasses.replace(what, layers=1, steps=1, events=False, loop="plain")
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run(small, "cuda")
    return sorted({event.key for event in seen.key_averages() if "attention" in event.key and "aten::" in event.key})


def machine_facts(request: dict[str, Any]) -> dict[str, Any]:
    """Facts of the machine; the context first, before anything else touches the card."""
    from benchmarks.truth import machine

    facts: dict[str, Any] = {"context": machine.context()}
    facts["versions"] = machine.versions()
    facts["attention_choices"] = machine.attention_choices()
    return facts


def micro(request: dict[str, Any]) -> dict[str, Any]:
    """All small probes in one process, after cuBLAS has its workspaces; a probe that fails says why."""
    import gc

    import torch

    from benchmarks.truth import machine
    from benchmarks.truth.micro import probes, sequence

    answer: dict[str, Any] = {"workspaces": machine.workspaces()}
    found: dict[str, Any] = {}
    warm = torch.zeros(64, 64, device="cuda", requires_grad=True)
    (warm @ warm).sum().backward()
    for name, make in probes().items():
        try:
            found[name] = sequence(make("cuda"))
        except (RuntimeError, AttributeError) as error:  # a backend that this card or type has not
            found[name] = str(error).splitlines()[0][:120]
        gc.collect()
    answer["probes"] = found
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
