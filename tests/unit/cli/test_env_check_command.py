"""`ilora-diag env-check` as others see it: real processes, exit statuses, streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.diagnosis_cases import HEALTHY, facts_of
from ilora_diag.collect.store import save_facts
from ilora_diag.schema import from_json
from ilora_diag.schema.env_check import EnvCheck

ERROR = "RuntimeError: CUDA driver error: operation not supported\n"
REPORT = (
    "PyTorch version: 1.3.1\nCUDA used to build PyTorch: 10.1\nIs CUDA available: No\nNvidia driver version: 410.48\n"
)


def run(*args: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    names = ("FORCE_COLOR", "NO_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "LC_ALL", "LC_MESSAGES", "LANG")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-P", "-m", "ilora_diag", "env-check", *args],
        cwd=cwd,
        env={**clean, "PYTHONIOENCODING": "utf-8"},
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    guest = {"gpu[0].virtualization_mode": "vgpu", "gpu[0].name": "GRID A100-40C", "gpu[1].name": "GRID A100-40C"}
    unknown = {path: value for path, value in HEALTHY.items() if not path.endswith("vmm_supported")}
    save_facts(facts_of(HEALTHY), tmp_path / "healthy.json")
    save_facts(facts_of({**unknown, **guest}), tmp_path / "guest.json")
    save_facts(facts_of({**HEALTHY, "shm.total_bytes": 64 << 20}), tmp_path / "warning.json")
    save_facts(facts_of({**HEALTHY, "cuda.init_code": 2}), tmp_path / "undecided.json")
    (tmp_path / "report.txt").write_text(REPORT)
    (tmp_path / "error.log").write_text(ERROR)
    return tmp_path


def document(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.stderr == ""
    loaded: dict[str, Any] = json.loads(result.stdout)
    return loaded


def test_a_healthy_machine_says_so_first_and_counts_last(folder: Path) -> None:
    result = run("--facts", "healthy.json", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "No problem found."
    assert lines[-1] == "problems: 0, warnings: 0, unknown: 0, skipped: 1"
    assert "\x1b" not in result.stdout


def test_incident_one_from_a_facts_file(folder: Path) -> None:
    result = run("--facts", "guest.json", "--error", "error.log", "--json", cwd=folder)
    assert result.returncode == 1
    answer = document(result)
    assert answer["schema"] == "ilora-diag/env-check"
    finding = answer["findings"][0]
    assert finding["category"] == "expandable_unsupported"
    assert finding["confidence"] == "strongly_suggested"
    assert finding["decide_by"]["command"] == "ilora-diag env-check --deep"
    assert {"code", "category", "severity", "confidence", "title", "evidence", "remedy", "decide_by"} <= set(finding)
    assert from_json(EnvCheck, result.stdout).findings[0].code == "ALC001"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--facts", "warning.json"), 0),
        (("--facts", "warning.json", "--strict"), 1),
        (("--facts", "warning.json", "--strict", "--skip", "SHM001"), 0),
        (("--facts", "undecided.json"), 3),
        (("--facts", "report.txt"), 1),
        (("--facts", "report.txt", "--only", "driver_too_old"), 1),
        (("--facts", "report.txt", "--only", "SHM001,SHM002"), 0),
    ],
)
def test_exit_statuses(args: tuple[str, ...], code: int, folder: Path) -> None:
    assert run(*args, cwd=folder).returncode == code


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--facts", "nowhere.json"), "nowhere.json"),
        (("--facts", "healthy.json", "--error", "nowhere.log"), "nowhere.log"),
        (("--facts", "healthy.json", "--only", "XYZ"), "XYZ"),
        (("--facts", "healthy.json", "--deep"), "--deep"),
        (("--ranks", "nowhere"), "no such folder"),
        (("--facts", "-", "--error", "-"), "stdin"),
        (("--facts", "healthy.json", "--save-facts", "no/such/folder.json"), "--save-facts"),
    ],
)
def test_usage_errors_name_what_is_wrong(args: tuple[str, ...], words: str, folder: Path) -> None:
    result = run(*args, cwd=folder)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff" * 4096, b"<nvidia_smi_log><gpu>", b'{"schema": "ilora-diag/facts"', b"["]
)
def test_bad_facts_are_refused_in_one_line(content: bytes, folder: Path) -> None:
    (folder / "bad").write_bytes(content)
    result = run("--facts", "bad", cwd=folder)
    assert result.returncode in (0, 2)
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr


def test_an_empty_error_text_is_no_error(folder: Path) -> None:
    (folder / "empty.log").write_bytes(b"")
    assert run("--facts", "healthy.json", "--error", "empty.log", cwd=folder).returncode == 0


def test_facts_and_error_from_stdin(folder: Path) -> None:
    assert run("--facts", "-", cwd=folder, stdin=REPORT).returncode == 1
    result = run("--facts", "guest.json", "--error", "-", "--json", cwd=folder, stdin=ERROR)
    assert document(result)["findings"][0]["category"] == "expandable_unsupported"


def test_japanese_and_markdown(folder: Path) -> None:
    result = run("--facts", "report.txt", "--lang", "ja", "--md", cwd=folder)
    assert result.stdout.startswith("# NVIDIA \u30c9\u30e9\u30a4\u30d0")
    assert "sudo ubuntu-drivers install" in result.stdout


def test_verbose_shows_the_facts_of_the_sections(folder: Path) -> None:
    plain, verbose = (run("--facts", "healthy.json", *more, cwd=folder).stdout for more in ((), ("-v",)))
    assert "driver.kmod" not in plain
    assert "driver.kmod" in verbose


def test_this_machine_is_judged_and_its_facts_can_be_judged_elsewhere(folder: Path) -> None:
    live = run("--json", "--save-facts", "mine.json", cwd=folder)
    assert live.returncode in (0, 1, 3)
    again = run("--facts", "mine.json", "--json", cwd=folder)
    found = [one["code"] for one in json.loads(live.stdout)["findings"]]
    assert [one["code"] for one in json.loads(again.stdout)["findings"]] == found


def test_ranks_that_differ_are_named(folder: Path) -> None:
    ranks = folder / "ranks"
    ranks.mkdir()
    save_facts(facts_of({**HEALTHY, "rank.index": 0}), ranks / "a.json")
    save_facts(facts_of({**HEALTHY, "rank.index": 1, "torch.version": "2.6.0+cu126"}), ranks / "b.json")
    result = run("--ranks", "ranks", "--json", cwd=folder)
    answer = document(result)
    assert answer["ranks"] == ["0", "1"]
    assert [one["path"] for one in answer["differences"] if one["matters"]] == ["torch.version"]
    assert result.returncode == 1
    text = run("--ranks", "ranks", cwd=folder).stdout
    assert "torch.version" in text
    assert "2.6.0+cu126" in text


def test_an_error_between_the_lines_of_a_pasted_report_is_read_from_a_file_and_from_stdin(folder: Path) -> None:
    pasted = "GPU: 4x NVIDIA A100-SXM4-40GB\nmy C++ program prints\n> cuInit gave 802, system not yet initialized\n"
    (folder / "pasted.txt").write_text(pasted)
    for args, stdin in ((("--facts", "pasted.txt"), ""), (("--facts", "-"), pasted)):
        result = run(*args, "--json", cwd=folder, stdin=stdin)
        assert document(result)["findings"][0]["category"] == "fabric_manager_missing"
        assert result.returncode == 1


def test_prose_given_as_facts_is_answered_with_the_command_that_takes_it(folder: Path) -> None:
    (folder / "prose.txt").write_text("the loss does not fall, what now?\n")
    result = run("--facts", "prose.txt", cwd=folder)
    assert result.returncode == 2
    assert "ilora-diag explain FILE" in result.stderr
