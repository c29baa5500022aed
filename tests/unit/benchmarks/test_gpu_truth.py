"""Recording: what happens without a card, after a crash, on a second run, and when the file grows too large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_truth

CARD = {"device": "NVIDIA Test 1", "torch": "2.11.0+cu130"}


def _items(number: int) -> list[gpu_truth.Item]:
    return [gpu_truth.Item(f"item {index}", {"kind": "workload", "index": index}, {}) for index in range(number)]


def test_without_a_card_it_says_so_and_exits_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_truth.main(["--only", "machine"]) == gpu_truth.EXIT_NO_DEVICE
    assert "no CUDA device" in capsys.readouterr().out


def test_a_pattern_that_names_nothing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_truth.main(["--only", "no-such-model*"]) == gpu_truth.EXIT_USAGE
    assert "no-such-model" in capsys.readouterr().err


def test_the_list_names_every_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_truth.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 62


def test_a_process_that_dies_is_an_answer() -> None:
    answer = gpu_truth.record(gpu_truth.Item("x", {"kind": "nonsense"}, {}), 60)
    assert (answer["outcome"], answer["exit_code"]) == ("crash", 1)
    assert "nonsense" in answer["message"]


def test_a_process_that_hangs_is_an_answer() -> None:
    answer = gpu_truth.record(gpu_truth.Item("x", {"kind": "machine"}, {}), 0.01)
    assert answer["outcome"] == "timeout"


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def record(item: gpu_truth.Item, deadline_s: float) -> dict[str, Any]:
        ran.append(item.name)
        return {"outcome": "crash" if item.name == "item 1" else "ok"}

    monkeypatch.setattr(gpu_truth, "record", record)
    gpu_truth.collect(_items(2), CARD, tmp_path, resume=True, deadline_s=1)
    answers = gpu_truth.collect(_items(3), CARD, tmp_path, resume=True, deadline_s=1)
    assert ran == ["item 0", "item 1", "item 1", "item 2"]  # a crash is tried again
    assert list(answers) == ["item 0", "item 1", "item 2"]

    gpu_truth.collect(_items(1), CARD, tmp_path, resume=False, deadline_s=1)
    assert ran[-1] == "item 0"


def test_over_the_limit_the_longest_sequence_goes_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_truth, "MAX_FILE_BYTES", 2000)
    answers = {name: {"outcome": "ok", "events": {"stream": "x" * size}} for name, size in (("a", 100), ("b", 3000))}
    file = gpu_truth.write(answers, CARD, tmp_path)
    document = json.loads(file.read_text())
    assert document["dropped_events"] == ["b"]
    assert "events" in document["answers"]["a"]
    assert file.stat().st_size <= 2001
    assert file.name == "nvidia-test-1-torch-2.11.0-cu130.json"
