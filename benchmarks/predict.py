"""Runs one recorded case, or one workload of the grid, on the virtual device and says what it would need.

`python -m benchmarks.predict CASE` prints one JSON line; `benchmarks.accuracy` starts one process per case, so that
none inherits another's memory.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case

MAX_EVENTS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the virtual device said of a case's window; bytes.

    Attributes:
        before_bytes: `memory_allocated` when the window began.
        after_bytes: the same at its end.
        device_bytes: used memory of the card at the end, context included (`mem_get_info`).
        out_of_memory: the message, if it ran out.
        parameter_bytes: weights alive at the peak.
        events: the window's trace events, if they were asked for.
    """

    allocated_bytes: int
    reserved_bytes: int
    before_bytes: int
    after_bytes: int
    device_bytes: int
    out_of_memory: str | None
    seconds: float
    parameter_bytes: int = 0
    events: tuple[dict[str, Any], ...] = ()


def run_case(case: Case, *, record: bool = False) -> Prediction:
    """Build, prepare and run the case's window under the virtual device.

    Args:
        case: what to run.
        record: keep the events of the window.
    """
    import torch

    from probes.virtual import virtual_cuda

    begin = time.perf_counter()
    message = None
    before = 0
    events: list[dict[str, Any]] = []
    with virtual_cuda(case.gpu, memory=case.memory_bytes, torch_version=case.torch_version, environ={}) as card:
        program = None
        try:
            program = case.build("cuda")
            program.prepare()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            if record:
                torch.cuda.memory._record_memory_history(enabled="all", max_entries=MAX_EVENTS)
            program.window()
        except torch.OutOfMemoryError as error:
            message = str(error).splitlines()[0]
        if record:
            traces = torch.cuda.memory._snapshot()["device_traces"]
            events = list(traces[0]) if traces else []
        free, total = torch.cuda.mem_get_info()
        seconds = time.perf_counter() - begin
        return Prediction(
            allocated_bytes=torch.cuda.max_memory_allocated(),
            reserved_bytes=torch.cuda.max_memory_reserved(),
            before_bytes=before,
            after_bytes=torch.cuda.memory_allocated(),
            device_bytes=total - free,
            out_of_memory=message,
            seconds=seconds,
            parameter_bytes=parameter_bytes(card.ledger),
            events=tuple(events),
        )


def parameter_bytes(ledger: Any) -> int:
    """Requested bytes of the weights that are alive at the peak."""
    live = peak = place = 0
    for index, event in enumerate(ledger.events):
        live += ledger.sizes[event] if event > 0 else -ledger.sizes[-event]
        if live > peak:
            peak, place = live, index + 1
    return sum(ledger.sizes[n] for n in ledger.live_at(place) if ledger.category(n).value == "parameter")


def main(argv: list[str]) -> int:
    """Run the named case of the given rows and print its prediction as one JSON line."""
    from benchmarks.cases.load import load_cases

    case = next(each for each in load_cases(Path(argv[1]))[0] if each.id == argv[0])
    print(json.dumps(dataclasses.asdict(run_case(case))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
