"""`ilora-diag estimate`: options to a process, its answer to tables and an exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.cli.estimate_command import EstimateOptions, exit_code, run_estimate
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.engine.estimate_run import EstimateError, EstimateRequest, estimate_argv, run_estimate_process
from ilora_diag.schema import Estimate, Unavailable


def options(**changes: object) -> EstimateOptions:
    return replace(EstimateOptions(gpus="h100"), **changes)  # type: ignore[arg-type]


def test_what_was_typed_reaches_the_process() -> None:
    request = EstimateRequest(
        overrides=("llm=tiny", "--not-an-option"),
        config="incident",
        gpus="h100,l4",
        memory_bytes=1 << 30,
        torch_version="2.11",
        knobs=False,
    )
    module, *arguments = estimate_argv(request, Path("early.json"))[3:]
    assert module == "probes.estimate"
    assert arguments == [
        "--config=incident", "--gpu=h100,l4", "--torch=2.11", f"--memory={1 << 30}", "--no-knobs",
        "--early=early.json", "--", "llm=tiny", "--not-an-option",
    ]  # fmt: skip


def test_the_exit_status_is_the_first_cards(fixed_estimates: dict[str, Estimate]) -> None:
    assert exit_code(fixed_estimates["opt"]) is ExitCode.OK
    assert exit_code(fixed_estimates["load-oom"]) is ExitCode.FAILURE
    tight = fixed_estimates["tight"]
    assert isinstance(tight.fits, Unavailable)
    assert exit_code(tight) is ExitCode.INCONCLUSIVE


@pytest.mark.parametrize(
    ("option", "text", "named"),
    [
        ("memory", "16GB", "type 16GiB"),
        ("memory", "0", "above 0"),
        ("memory", "16", "16 is 16 bytes"),
        ("observed", "lots", "lots"),
    ],
)
def test_a_size_that_is_none_is_refused_before_anything_runs(option: str, text: str, named: str) -> None:
    with pytest.raises(CommandError, match=named) as caught:
        run_estimate(options(**{option: text}), lang=None)
    assert caught.value.code is ExitCode.USAGE
    assert str(caught.value).startswith(f"--{option}")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(CommandError, match="is a file") as caught:
        run_estimate(options(out=tmp_path / "out"), lang=None)
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gpus": "h1oo"}, "h100"),
        ({"gpus": "a100"}, "a100-80gb"),
        ({"gpus": " , "}, "names no card"),
        ({"overrides": ("llm=opt-125n",)}, "llm=opt-125m"),
        ({"overrides": ("train.batch_size=two",)}, "an integer"),
        ({"config": "no-such-preset"}, "--config=no-such-preset"),
    ],
)
def test_a_name_nobody_knows_is_a_usage_error_with_the_nearest(changes: dict[str, object], named: str) -> None:
    with pytest.raises(CommandError, match=named) as caught:
        run_estimate(options(**changes), lang=None)
    assert caught.value.code is ExitCode.USAGE


def test_a_deadline_ends_it() -> None:
    request = EstimateRequest(overrides=("llm=tiny",), gpus="h100", deadline_s=0.3)
    with pytest.raises(EstimateError) as caught:
        run_estimate_process(request)
    assert caught.value.kind == "timed out"


@pytest.mark.slow
def test_the_cards_are_shown_before_changes_are_looked_into() -> None:
    argv = [sys.executable, "-u", "-m", "ilora_diag", "estimate", "llm=tiny", "data.source=synthetic"]
    argv += ["data.max_seq_len=64", "--gpu", "h100,t4", "--lang", "en"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = [line.rstrip() for line in process.stdout]
    waiting = next(place for place, line in enumerate(lines) if line.startswith("what changes would buy"))
    before, after = lines[:waiting], lines[waiting + 1 :]
    assert [line for line in before if line.startswith(("h100 ", "t4 "))] == before[-2:]
    assert "Fits h100, t4." in before
    assert any("Largest batch" in line for line in after)
    assert not any("Largest batch" in line for line in before)
    assert process.returncode == 0


@pytest.mark.slow
def test_the_command_prints_the_headline_first_and_writes_what_it_is_told_to(tmp_path: Path) -> None:
    typed = ["llm=tiny", "data.source=synthetic", "--gpu", "l4", "--no-knobs", "--observed", "16GiB"]
    argv = [sys.executable, "-m", "ilora_diag", "estimate", *typed, "--lang", "en", "--out", str(tmp_path / "new")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("tiny step: ")
    assert "fits" in first
    assert done.stdout.count(first) == 1
    assert "come from somewhere else" in done.stdout
    written = json.loads((tmp_path / "new" / "estimate.json").read_text(encoding="utf-8"))
    assert written["schema"] == "ilora-diag/estimate"
    assert (tmp_path / "new" / "report.md").is_file()
