"""`ilora-diag report` for folders that `estimate --out` and `run --out` have written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.cli import main
from ilora_diag.schema import Estimate, Moment, ScriptEnd, ScriptRun, from_json
from reports.write import write_estimate, write_run


@pytest.fixture
def estimate_folder(tmp_path: Path, fixed_estimates: dict[str, Estimate]) -> Path:
    asked = replace(fixed_estimates["opt"], observed_bytes=16 << 30, typed=("llm=opt-125m",))
    write_estimate(asked, tmp_path, "en")
    return tmp_path


@pytest.fixture
def script_folder(tmp_path: Path, fixed_estimates: dict[str, Estimate]) -> Path:
    moment = Moment(step=3, phase="forward", module="head", allocated_bytes=1 << 20, reserved_bytes=2 << 20)
    run = ScriptRun(
        script="train.py", args=(), device="virtual:h100", end=ScriptEnd.FINISHED, exit_code=0, steps=2,
        steps_counted="optimizer", error=None, moment=moment, num_refused=0, estimate=fixed_estimates["opt"],
    )  # fmt: skip
    write_run(run, tmp_path, "en")
    return tmp_path


def report(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["report", *map(str, args)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_an_estimate_is_told_again_in_the_other_language_with_what_was_asked(
    estimate_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    english = (estimate_folder / "report.md").read_text(encoding="utf-8")
    record = (estimate_folder / "estimate.json").read_bytes()
    assert report(estimate_folder, "--format", "md", "--lang", "en") == 0
    assert capsys.readouterr().out == english
    assert report(estimate_folder, "--lang", "ja") == 0
    shown = capsys.readouterr().out
    japanese = (estimate_folder / "report.md").read_text(encoding="utf-8")
    assert japanese != english
    assert "16.0 GiB" in japanese
    assert "llm=opt-125m" in japanese
    assert shown.rstrip().endswith("report.md")
    assert (estimate_folder / "estimate.json").read_bytes() == record
    assert report(estimate_folder, "--check") == 0


def test_the_json_of_a_folder_is_its_record(script_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(script_folder, "--format", "json") == 0
    text = capsys.readouterr().out
    assert json.loads(text)["schema"] == "ilora-diag/run"
    assert from_json(ScriptRun, text) == from_json(ScriptRun, (script_folder / "run.json").read_bytes())


def test_a_script_run_is_told_again_and_checked(script_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(script_folder, "--lang", "ja") == 0
    assert report(script_folder, "--check", "--lang", "en") == 0
    assert "holds" in capsys.readouterr().out
    (script_folder / "figures" / "icicle.svg").unlink()
    assert report(script_folder, "--check", "--lang", "en") == 1
    assert "- figures/icicle.svg is referred to and does not exist\n" in capsys.readouterr().out


def test_a_number_changed_by_hand_is_found(estimate_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (estimate_folder / "report.md").read_text(encoding="utf-8")
    (estimate_folder / "report.md").write_text(text.replace("H100", "H200", 1), encoding="utf-8")
    assert report(estimate_folder, "--check", "--lang", "en") == 1
    assert "- report.md is not what estimate.json renders to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": "ilora-diag/soup"}, "soup"),
        ({"schema": ["ilora-diag/run"]}, "schema"),
        ({"steps": "many"}, "steps"),
        ({"fits": False}, "first card's"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_by_name(
    estimate_folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], complaint: str
) -> None:
    file = estimate_folder / "estimate.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert report(estimate_folder) == 2
    error = capsys.readouterr().err
    assert "estimate.json is no record of a run" in error
    assert complaint in error


def test_a_folder_of_something_else_says_what_would_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.json").write_text("{}")
    assert report(tmp_path) == 2
    assert "holds no run (none of runlog.jsonl" in capsys.readouterr().err


def test_a_page_has_its_figures_inside_in_its_language_and_the_folder_stays_as_it_is(
    script_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in script_folder.rglob("*") if path.is_file()}
    (script_folder / "figures" / "icicle.svg").unlink()
    assert report(script_folder, "--format", "html", "--lang", "ja") == 0
    page = capsys.readouterr().out
    assert page.startswith('<!DOCTYPE html>\n<html lang="ja">')
    assert page.count("<figure><svg") == 3
    assert "モジュール別" in page
    after = {path: path.read_bytes() for path in script_folder.rglob("*") if path.is_file()}
    assert after == {path: content for path, content in before.items() if path.name != "icicle.svg"}
