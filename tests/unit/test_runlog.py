"""The run log: complete lines, honest values, no half line carried on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ilora.runlog import RunLog


def _events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_phases_nest_and_carry_memory(tmp_path: Path) -> None:
    path = tmp_path / "run" / "runlog.jsonl"
    log = RunLog(path)
    with log.phase("train"):
        log.event("step", step=1, loss=2.5)
    log.close()
    begin, step, end = _events(path)
    assert (begin["phase"], begin["status"], end["status"]) == ("train", "begin", "end")
    assert step["loss"] == 2.5
    assert int(str(end["rss_bytes"])) > 0
    assert end["device"] is None


def test_an_error_names_the_phase_it_happened_in(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    log = RunLog(path)
    with pytest.raises(KeyError) as caught, log.phase("data"):
        raise KeyError("gone")
    log.failure(caught.value)
    log.close()
    last = _events(path)[-1]
    assert (last["event"], last["phase"], last["type"]) == ("error", "data", "KeyError")
    assert "gone" in str(last["traceback"])


def test_not_a_number_becomes_null(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    log = RunLog(path)
    log.event("step", loss=float("nan"), device={"x": float("inf")})
    log.close()
    assert (_events(path)[0]["loss"], _events(path)[0]["device"]) == (None, {"x": None})


def test_a_half_line_of_a_killed_run_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    path.write_text('{"event": "step"}\n{"event": "st')
    log = RunLog(path)
    log.event("resumed")
    log.close()
    assert [event["event"] for event in _events(path)] == ["step", "resumed"]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    log = RunLog(None)
    with log.phase("train"):
        log.event("step")
    log.close()
    assert list(tmp_path.iterdir()) == []
