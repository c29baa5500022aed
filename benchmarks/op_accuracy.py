"""Single operators on the virtual device against what was measured on a card, to the byte.

`python -m benchmarks.op_accuracy [--data DIR]` runs every determined row of op_cases.jsonl and prints both figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from benchmarks.accuracy import SHARED, quantile, relative
from benchmarks.op_cases.recipes import OpCase, load_op_cases

CALLS = 3


def peak_of(case: OpCase) -> int:
    """Peak allocated bytes of a later call, as the harness of the rows reads it."""
    import torch

    from probes.virtual import virtual_cuda

    with virtual_cuda(case.gpu, torch_version=case.torch_version, environ={}):
        call = case.build()
        for _ in range(CALLS):
            torch.cuda.reset_peak_memory_stats()
            call()
        return int(torch.cuda.max_memory_allocated())


def main(argv: list[str] | None = None) -> int:
    """Print the comparison. Returns 4 where there is nothing to compare with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.op_accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with op_cases.jsonl")
    file = parser.parse_args(argv).data / "op_cases.jsonl"
    if not file.is_file():
        print(f"nothing to compare with: no {file.name} in {file.parent}", file=sys.stderr)
        return 4
    cases, left_out = load_op_cases([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])
    errors = []
    for case in cases:
        predicted = peak_of(case)
        errors.append(relative(predicted, case.measured_bytes))
        print(
            f"{case.id:<12} {case.op:<28} {case.gpu:<10} torch {case.torch_version:<7} {predicted:>14,d} "
            f"{case.measured_bytes:>14,d} {predicted - case.measured_bytes:>+13,d} B {errors[-1]:+9.4%}",
            flush=True,
        )
    exact = sum(error == 0 for error in errors)
    figures = " ".join(f"{quantile(map(abs, errors), share):.4%}" for share in (0.5, 0.9, 1.0))
    print(f"\n{len(cases)} rows, {exact} to the byte; median, p90, worst: {figures}")
    print(f"left out: {len(left_out)} rows")
    for reason, number in Counter(left_out.values()).most_common():
        print(f"  {number:3d}  {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
