"""The comparison: errors, verdicts, quantiles, and alignment of two sequences of requests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import compare, compare_recording, quantile, summary
from benchmarks.cases.case import Case, Measured, Program, nothing
from benchmarks.recordings import read_recordings
from benchmarks.sequence import differences, lifetimes_off, op_of, report, requests_of


def _case(**measured: Any) -> Case:
    return Case(
        id="row", family="f", gpu="h100", torch_version="2.11.0",
        build=lambda device: Program(prepare=nothing, window=nothing), measured=Measured(**measured),
    )  # fmt: skip


def _answer(**values: Any) -> dict[str, Any]:
    return {
        "allocated_bytes": 100,
        "reserved_bytes": 220,
        "after_bytes": 50,
        "out_of_memory": None,
        "seconds": 1.0,
    } | values


def test_errors_are_relative_to_what_was_measured_and_only_of_that() -> None:
    row = compare(_case(allocated_bytes=80, reserved_bytes=200), _answer())
    assert row.errors == {"allocated": pytest.approx(0.25), "reserved": pytest.approx(0.1)}
    assert row.verdict == ""


@pytest.mark.parametrize(
    ("happened", "predicted", "verdict"),
    [(True, None, "false fits"), (True, "CUDA out of memory", ""), (False, "CUDA out of memory", "false does not fit")],
)
def test_a_wrong_answer_to_does_it_fit_is_named(happened: bool, predicted: str | None, verdict: str) -> None:
    row = compare(_case(allocated_bytes=80, out_of_memory=happened), _answer(out_of_memory=predicted))
    assert row.verdict == verdict
    assert predicted is None or row.errors == {}


def test_a_prediction_that_failed_has_no_errors_and_is_counted() -> None:
    row = compare(_case(allocated_bytes=80), {"failed": "exit 1: boom"})
    assert (row.errors, row.verdict) == ({}, "exit 1: boom")
    assert summary([row])[-1] == "without a prediction: 1 row"


def test_quantiles_are_values_that_occurred() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.9) == 3.0
    assert quantile([1.0], 0.5) == 1.0
    assert math.isnan(quantile([], 0.5))


def test_a_recording_is_summed_up_over_its_phases_and_compared(tmp_path: Path) -> None:
    def phase(name: str, peak: int, end: int) -> dict[str, Any]:
        return {
            "phase": name, "step": 1, "peak": {"allocated_bytes": peak, "reserved_bytes": 2 * peak},
            "end": {"allocated_bytes": end},
        }  # fmt: skip

    answer = {
        "request": {"kind": "workload", "workload": {"model": "opt-125m", "adapter": "lora"}},
        "outcome": "ok",
        "phases": [phase("forward", 10, 8), phase("backward", 30, 5)],
    }
    document = {"schema": "ilora-diag/gpu-truth", "schema_version": 1, "device": "NVIDIA H100", "torch": "2.11.0"}
    (tmp_path / "h100.json").write_text(json.dumps(document | {"answers": {"w": answer}}))

    (recording,) = read_recordings(tmp_path)

    assert recording.peaks == {"allocated": 30, "reserved": 60, "after": 5}
    peaks = {"allocated": 33, "reserved": 60, "after": 5}
    row = compare_recording(recording, {"outcome": "ok", "peaks": peaks, "seconds": 1})
    assert row.errors == {"allocated": pytest.approx(0.1), "reserved": 0.0, "after": 0.0}


def test_a_recording_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"schema": "something"}')
    with pytest.raises(ValueError, match=r"x\.json"):
        list(read_recordings(tmp_path))


def _trace(*sizes: int) -> list[dict[str, Any]]:
    return [{"action": "alloc", "size": size, "addr": index, "frames": []} for index, size in enumerate(sizes)]


def test_what_only_the_card_asked_for_is_found() -> None:
    recorded, predicted = requests_of(_trace(512, 8519680, 1024, 2048)), requests_of(_trace(512, 1024, 2048))
    (found,) = differences(recorded, predicted)
    assert [request.size for request in found.recorded] == [8519680]
    assert (found.index, found.predicted) == (1, ())
    assert "1 only recorded, 0 only predicted" in report(recorded, predicted, limit=5)[0]
    assert list(differences(recorded, recorded)) == []


def test_a_block_kept_longer_than_recorded_is_found() -> None:
    long, short = _trace(2**21, 512, 512, 512, 512), _trace(2**21, 512, 512, 512, 512)
    short.insert(1, {"action": "free_requested", "size": 2**21, "addr": 0})
    assert len(lifetimes_off(requests_of(long), requests_of(short), least_bytes=2**20)) == 1
    assert lifetimes_off(requests_of(long), requests_of(long), least_bytes=2**20) == []


def test_the_innermost_op_is_read_from_a_native_stack() -> None:
    frames = [
        {"name": "c10::cuda::malloc", "filename": "", "line": 0},
        {"name": "at::_ops::bmm::redispatch(c10::DispatchKeySet)", "filename": "", "line": 0},
        {"name": "at::_ops::einsum::call", "filename": "", "line": 0},
    ]
    assert op_of(frames) == "bmm"
    assert op_of([{"name": "forward", "filename": "m.py", "line": 1}]) == ""
