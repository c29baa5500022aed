"""`ilora-diag snapshot` as others see it: real processes, exit statuses, streams."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ilora_diag.schema import Snapshot, from_json


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    names = ("FORCE_COLOR", "NO_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "LC_ALL", "LC_MESSAGES", "LANG")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-P", "-m", "ilora_diag", "snapshot", *args],
        cwd=cwd,
        env={**clean, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path, recordings: SimpleNamespace) -> Path:
    for name, program in (("leak", recordings.leaking(4)), ("oom", recordings.failing())):
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(program.snapshot(), protocol=4))
    return tmp_path


def test_the_first_line_tells_the_peak_and_its_largest_part_and_tables_follow(folder: Path) -> None:
    result = run("leak.pickle", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    first, *rest = result.stdout.splitlines()
    assert first.startswith("Peak of device 0: ")
    assert "proj/train.py:30 train" in "\n".join(rest)
    assert "a leak, or a cache" in result.stdout
    assert "\x1b" not in result.stdout
    assert "/home/alice" not in result.stdout


def test_out_of_memory_comes_first_with_what_it_lacked(folder: Path) -> None:
    result = run("oom.pickle", cwd=folder)
    assert result.stdout.startswith("Out of memory on device 0: 50.0 MiB did not fit")
    assert "Missing were 30.0 MiB" in result.stdout


def test_json_is_one_document_with_the_names_of_the_contract(folder: Path) -> None:
    result = run("leak.pickle", "--json", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["schema"] == "ilora-diag/snapshot"
    (device,) = document["devices"]
    contract = {
        "index", "end", "before_window", "peak", "num_events", "num_dropped_events", "oom_events", "by_op", "by_stack",
        "growth",
    }  # fmt: skip
    assert contract <= set(device)
    for moment in ("end", "before_window", "peak"):
        assert {"allocated_bytes", "reserved_bytes"} <= set(device[moment])
    assert sum(part["size_bytes"] for part in device["by_op"]) == device["peak"]["allocated_bytes"]
    assert from_json(Snapshot, result.stdout).devices[0].index == 0
    assert "/home/alice" not in result.stdout
    assert "/home/alice" in run("leak.pickle", "--json", "--full-paths", cwd=folder).stdout


def test_both_languages_markdown_rows_and_devices_can_be_chosen(folder: Path) -> None:
    assert run("leak.pickle", "--lang", "ja", cwd=folder).stdout.startswith("デバイス 0 のピーク")
    markdown = run("leak.pickle", "--md", "--top", "1", cwd=folder).stdout
    assert markdown.startswith("# Peak of device 0")
    assert "the other" in markdown
    assert run("leak.pickle", "--device", "0", cwd=folder).returncode == 0


def test_a_figure_is_written_where_asked_and_nothing_else(folder: Path) -> None:
    before = set(folder.iterdir())
    result = run("leak.pickle", "--figure", "course.svg", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "figure: course.svg\n")
    assert set(folder.iterdir()) - before == {folder / "course.svg"}
    text = (folder / "course.svg").read_text()
    assert "proj/model.py:20 forward" in text
    assert "peak 2" in text


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ((), "expected one FILE or KEY=VALUE..., got 0"),
        (("none.pickle",), "none.pickle: no such file; expected a FILE"),
        (("llm=opt-125n",), "Did you mean llm=opt-125m?"),
        (("leak.pickle", "oom.pickle"), "expected one FILE or KEY=VALUE..., got 2"),
        (("hostile.pickle",), "hostile.pickle asks for posix.system, which is refused and was not run"),
        (("cut.pickle",), "cut.pickle is cut short"),
        (("leak.pickle", "--device", "3"), "--device 3: leak.pickle has nothing of it; devices in it: 0"),
        (
            ("leak.pickle", "--max-size", "1KiB"),
            "holds more than 1024 bytes once unpacked, the limit; --max-size raises",
        ),
        (("leak.pickle", "--max-size", "1GB"), "ambiguous"),
        (("leak.pickle", "--json", "--md"), "exclude each other"),
        (("leak.pickle", "--figure", "no/such/folder.svg"), "cannot be written"),
        (("leak.pickle", "--device", "cuda"), "--device cuda: allowed is the number of a device in leak.pickle: 0"),
        (("leak.pickle", "--gpu", "t4"), "--gpu t4: only settings are recorded, not leak.pickle"),
        (("llm=tiny", "--device", "tpu"), "--device tpu: allowed is cuda, virtual:NAME, such as virtual:t4, or"),
        (("llm=tiny", "--device", "virtual:"), "--device virtual:: allowed is cuda, virtual:NAME"),
        (("llm=tiny", "--device", "virtual:t4", "--gpu", "h100"), "--device virtual:t4 names another"),
        (("llm=tiny", "--device", "cuda", "--memory", "8GiB"), "--memory is of a modelled card"),
        (("llm=tiny", "--device", "virtual:t44"), "nearest: t4"),
        (("llm=tiny", "--dump", "no/such/x.pickle"), "--dump no/such/x.pickle: there is no folder no/such"),
    ],
)
def test_bad_input_is_two_and_named(folder: Path, args: tuple[str, ...], complaint: str) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, ("touch made",))

    (folder / "hostile.pickle").write_bytes(pickle.dumps({"segments": [], "device_traces": [Hostile()]}, protocol=4))
    (folder / "cut.pickle").write_bytes((folder / "leak.pickle").read_bytes()[:500])
    result = run(*args, cwd=folder)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "made").exists()


def test_a_file_without_events_is_told_and_has_no_course_to_draw(folder: Path, recordings: SimpleNamespace) -> None:
    content = recordings.leaking(2).snapshot() | {"device_traces": []}
    (folder / "state.pickle").write_bytes(pickle.dumps(content, protocol=4))
    assert "the file has no events" in run("state.pickle", cwd=folder).stdout
    drawn = run("state.pickle", "--figure", "x.svg", cwd=folder)
    assert (drawn.returncode, "no events to draw" in drawn.stderr) == (1, True)
    (folder / "empty.pickle").write_bytes(pickle.dumps({"segments": [], "device_traces": []}, protocol=4))
    assert run("empty.pickle", cwd=folder).stdout == "The snapshot holds no memory and no events.\n"


def test_settings_are_recorded_on_the_card_that_is_named(folder: Path) -> None:
    settings = ("llm=tiny-opt", "data.source=synthetic", "data.max_seq_len=64", "train.batch_size=2")
    result = run(*settings, "--device", "virtual:t4", "--json", "--dump", "kept.pickle", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    recorded = from_json(Snapshot, result.stdout)
    assert recorded.devices[0].peak.allocated_bytes > 1 << 20
    again = from_json(Snapshot, run("kept.pickle", "--json", "--device", "0", cwd=folder).stdout)
    assert again.devices == recorded.devices


@pytest.mark.skipif(torch.version.cuda is not None, reason="says what a build without CUDA is told")
def test_without_a_card_it_is_said_so_and_a_virtual_one_proposed(folder: Path) -> None:
    result = run("llm=tiny", "--device", "cuda", cwd=folder)
    assert (result.returncode, result.stdout) == (4, "")
    assert "--device cuda: torch sees no CUDA device here (torch" in result.stderr
    assert "say --device virtual:NAME" in result.stderr
