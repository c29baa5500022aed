"""The command line as others see it: real processes, exit statuses, streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ilora_diag.cli import main
from ilora_diag.cli.streams import Lang, chosen_lang
from ilora_diag.cli.train_command import exit_code
from ilora_diag.engine.journal import Journal
from ilora_diag.engine.run_folder import TrainRequest, prepare_run
from ilora_diag.schema import Status, Trial

EXPECTED = Path(__file__).resolve().parents[2] / "golden" / "expected"


def run(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`ilora-diag ARGS` in a folder, without what this environment says of colours and languages."""
    names = ("FORCE_COLOR", "NO_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "LC_ALL", "LC_MESSAGES", "LANG")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-P", "-m", "ilora_diag", *args],
        cwd=cwd,
        env={**clean, "PYTHONIOENCODING": "utf-8", **(env or {})},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was prepared and logged a little, but never ended."""
    monkeypatch.chdir(tmp_path)
    folder = prepare_run(TrainRequest(config="tiny", run_dir=Path("run")), now=0.0).folder
    events = (
        {"event": "phase", "t": 1.0, "phase": "import", "status": "end", "seconds": 1.0},
        {"event": "train_begin", "t": 2.0, "max_steps": 4, "start_step": 0},
        *({"event": "step", "t": 2.0 + n, "step": n, "loss": 3.0 / n, "tokens_per_s": 9.0} for n in (1, 2, 3)),
    )
    (folder / "runlog.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return tmp_path / folder


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("train", "train.btch=3"), "Did you mean train.batch_size?"),
        (("train", "train.lr=fast"), "train.lr=fast: allowed is a number"),
        (("train", "--config", "nowhere.yaml"), "No such file."),
        (("train", "--device", "virtual:h1oo"), "nearest: h100"),
        (("train", "--device", "tpu"), "tpu: allowed is auto, cuda, cpu or virtual:NAME"),
        (("train", "--deadline", "0"), "allowed is a number of seconds above 0"),
        (("train", "--resume", "x", "--config", "tiny"), "leave out --config and --run-dir"),
        (("train", "--resume", "nowhere"), "holds no run to resume"),
        (("report", "nowhere"), "holds no run"),
        (("report",), "Missing argument 'RUN'"),
        (("train", "--lang", "fr"), "'en', 'ja'"),
        (("bisect",), "No such command 'bisect'"),
    ],
)
def test_a_usage_error_is_two_says_what_is_allowed_and_leaves_nothing(
    args: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    result = run(*args, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_with_the_command_that_resumes(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    result = run("train", "--config", "tiny", "--run-dir", "mine", cwd=tmp_path)
    assert result.returncode == 2
    assert "ilora-diag train --resume mine" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["x"]


def test_a_run_reports_itself_without_colour_or_cut_cells_in_a_pipe(run_folder: Path) -> None:
    result = run("report", "run", cwd=run_folder.parent, env={"FORCE_COLOR": "1", "COLUMNS": "40"})
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert "\N{HORIZONTAL ELLIPSIS}" not in result.stdout
    assert "crashed in phase import, after step 3 of 4" in result.stdout
    assert result.stdout.endswith("report: run/report.md\n")
    assert (run_folder / "figures" / "loss.svg").is_file()


def test_formats_go_to_stdout_alone_and_write_nothing(run_folder: Path) -> None:
    before = sorted(path.name for path in run_folder.iterdir())
    document = run("report", "run", "--format", "json", cwd=run_folder.parent)
    assert json.loads(document.stdout)["schema"] == "ilora-diag/report"
    markdown = run("report", "run", "--format", "md", "--lang", "ja", cwd=run_folder.parent)
    assert markdown.stdout.startswith("# 学習実行の失敗に関する調査報告書: run\n")
    assert (document.stderr, markdown.stderr) == ("", "")
    assert sorted(path.name for path in run_folder.iterdir()) == before


def test_check_is_one_when_the_report_does_not_hold(run_folder: Path) -> None:
    assert run("report", "run", cwd=run_folder.parent).returncode == 0
    good = run("report", "run", "--check", cwd=run_folder.parent)
    assert (good.returncode, "holds" in good.stdout) == (0, True)
    (run_folder / "figures" / "loss.svg").unlink()
    bad = run("report", "run", "--check", cwd=run_folder.parent)
    assert bad.returncode == 1
    assert "- figures/loss.svg is referred to and does not exist" in bad.stdout


def test_a_run_under_way_has_no_report_yet(run_folder: Path) -> None:
    with Journal(run_folder / "journal.jsonl"):
        result = run("report", "run", cwd=run_folder.parent)
    assert (result.returncode, result.stdout) == (3, "")
    assert "still being trained in" in result.stderr


def test_a_reader_that_leaves_early_is_no_failure(run_folder: Path) -> None:
    command = f"{sys.executable} -P -m ilora_diag report run --format json | head -c 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=run_folder.parent, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_full_disk_is_said_and_the_old_report_stays(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "report.md").write_text("old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    # The door to the disk: what a full one does when the bytes are to be made durable.
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(run_folder)])
    assert ended.value.code == 1
    assert "cannot write the report" in capsys.readouterr().err
    assert (run_folder / "report.md").read_text() == "old"


@pytest.mark.parametrize("debug", [False, True])
def test_an_internal_error_is_seventy_and_its_traceback_can_be_found(
    debug: bool, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise RuntimeError("nobody foresaw this")

    # A door to the outside that fails in a way no code of ours expects.
    monkeypatch.setattr("socket.gethostname", broken)
    monkeypatch.setattr("tempfile.tempdir", str(run_folder))
    with pytest.raises(SystemExit) as ended:
        main([*(["--debug"] if debug else []), "report", str(run_folder)])
    assert ended.value.code == 70
    stderr = capsys.readouterr().err
    assert "nobody foresaw this" in stderr
    assert ("Traceback" in stderr) == debug
    written = list(run_folder.glob("ilora-diag-error-*.txt"))
    assert len(written) == (0 if debug else 1)
    for path in written:
        assert str(path) in stderr
        assert "RuntimeError: nobody foresaw this" in path.read_text()


def test_version_and_help_are_plain_text(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout == "ilora-diag 0.1.0\n"
    result = run("train", "--help", cwd=tmp_path, env={"FORCE_COLOR": "1"})
    assert result.returncode == 0
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("environ", "lang"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_MESSAGES": "ja", "LANG": "en_US.UTF-8"}, "ja"),
        ({"LC_ALL": "", "LANG": "ja"}, "ja"),
    ],
)
def test_the_language_is_that_of_the_locale(environ: dict[str, str], lang: str) -> None:
    assert chosen_lang(None, environ) == lang
    assert chosen_lang(Lang.EN, environ) is Lang.EN


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (Status.OK, "", 0),
        (Status.OOM, "", 1),
        (Status.CRASHED, "", 1),
        (Status.GARBLED, "exit code 0, but ...", 1),
        (Status.INVALID, "ConfigError: train.lr=x: allowed is a number", 2),
        (Status.INVALID, "ConfigError: --device=cuda: allowed is auto or cpu on this machine", 4),
        (Status.SKIPPED, "cannot start python: No such file", 4),
        (Status.TIMED_OUT, "still running after its 5 s", 124),
        (Status.INTERRUPTED, "stopped on request", 130),
    ],
)
def test_how_a_training_ended_is_the_exit_status(status: Status, reason: str, code: int) -> None:
    from ilora_diag.schema import ErrorFamily, FailureSignature

    failed = status in (Status.OOM, Status.CRASHED, Status.INVALID)
    signature = FailureSignature(family=ErrorFamily.PYTHON, stage="train", top_frame="a.py:f", code="x")
    trial = Trial(
        id="T-01", probe="train", requested=(), effective=(), status=status, started_at=0.0, seconds=1.0, reason=reason,
        signature=signature if failed else None,
    )  # fmt: skip
    assert exit_code(trial) == code
