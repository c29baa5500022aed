"""What two torch builds ask for, lined up: same, another size, another operator, another moment of release."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.across_torch import differences, main, record
from benchmarks.truth.workload import Workload

TINY = Workload(model="tiny", batch=1, length=8, steps=1, events=False, layers=1)


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    return record(TINY, "h100", "2.13.0")


def test_the_same_configuration_twice_does_not_differ(one: dict[str, Any]) -> None:
    assert differences(one, record(TINY, "h100", "2.13.0")) == []
    assert len(one["sizes"]) == len(one["ops"]) == len(one["modules"]) == max(one["events"])


def test_rules_of_another_version_differ_where_that_version_does(one: dict[str, Any]) -> None:
    found = differences(one, record(TINY, "h100", "2.15.0"))
    # cuBLAS's workspace is asked for at every product.
    assert sum("+" in line and "33,554,432" in line for line in found) > 2


@pytest.mark.parametrize(("part", "other"), [("sizes", 12345), ("ops", "aten::other"), ("modules", "elsewhere")])
def test_one_request_that_differs_is_shown_at_its_place(one: dict[str, Any], part: str, other: Any) -> None:
    changed = {**one, part: [*one[part][:5], other, *one[part][6:]]}
    found = differences(one, changed)
    assert found[0] == "at request 5:"
    assert [line[2] for line in found[1:]] == ["-", "+"]


def test_a_release_at_another_moment_is_told(one: dict[str, Any]) -> None:
    events = list(one["events"])
    place = next(index for index, number in enumerate(events) if number < 0)
    events[place], events[place + 1] = events[place + 1], events[place]
    (told,) = differences(one, {**one, "events": events})
    assert told.startswith(f"released at other times, first at event {place}: ")


def test_compare_counts_and_its_exit_code_tells(
    tmp_path: Path, one: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "one.gz", tmp_path / "other.gz"]
    for file, size in zip(files, (one["sizes"][3], 777), strict=True):
        changed = {**one, "sizes": [*one["sizes"][:3], size, *one["sizes"][4:]]}
        with gzip.open(file, "wt", encoding="utf-8") as stream:
            stream.write(json.dumps(changed) + "\n")
    assert main(["compare", str(files[0]), str(files[0])]) == 0
    assert "1 the same, 0 differ" in capsys.readouterr().out
    assert main(["compare", str(files[0]), str(files[1])]) == 1
    assert "777" in capsys.readouterr().out
