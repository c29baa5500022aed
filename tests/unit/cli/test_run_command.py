"""`ilora-diag run` as others see it: real processes, exit statuses, streams, the folder it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.run_command import RunOptions, _request, exit_code
from ilora_diag.engine.run_script import ScriptResult, script_argv
from ilora_diag.schema import Moment, ScriptEnd, ScriptError, ScriptRun, Unavailable, from_json
from reports.markdown import render_document
from reports.view.run import run_document, run_headline

SCRIPT = """
import sys
import torch

weight = torch.nn.Parameter(torch.ones(1 << 20, device="cuda"))
optimizer = torch.optim.SGD([weight])
for step in range(4):
    weight.sum().backward()
    optimizer.step()
    print("done", step, sys.argv[1:])
if "--grow" in sys.argv:
    kept = [torch.empty(1 << 28, device="cuda") for _ in range(1 << 20)]
"""


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    names = ("FORCE_COLOR", "NO_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "LC_ALL", "LC_MESSAGES", "LANG")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-P", "-m", "ilora_diag", "run", *args],
        cwd=cwd,
        env={**clean, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def ended(end: ScriptEnd, code: int = 0) -> ScriptRun:
    error = ScriptError(type="builtins.E", message="first line\nsecond", traceback="Traceback ...")
    return ScriptRun(
        script="train.py",
        args=("--lr", "1"),
        device="virtual:h100",
        end=end,
        exit_code=code,
        steps=2,
        steps_counted="optimizer",
        error=error if end in (ScriptEnd.FAILED, ScriptEnd.NOT_CARRIED, ScriptEnd.OUT_OF_MEMORY) else None,
        moment=Moment(step=3, phase="forward", module="head", allocated_bytes=1 << 20, reserved_bytes=2 << 20),
        num_refused=0,
        estimate=Unavailable(reason="the script put nothing on the card", source="run"),
    )


def test_json_alone_is_on_stdout_and_what_the_script_prints_on_stderr(folder: Path) -> None:
    result = run("--device", "virtual:h100", "--max-steps", "3", "--json", "--", "train.py", "--lr", "2", cwd=folder)
    assert result.returncode == 0, result.stderr
    found = from_json(ScriptRun, result.stdout)
    assert (found.end, found.steps, found.args) == (ScriptEnd.STOPPED, 3, ("--lr", "2"))
    assert "done 1 ['--lr', '2']" in result.stderr
    assert json.loads(result.stdout)["schema"] == "ilora-diag/run"


def test_out_of_memory_is_told_with_its_place_and_written_with_figures(folder: Path) -> None:
    out = folder / "report"
    result = run("--device", "virtual:t4", "--lang", "en", "--out", str(out), "train.py", "--grow", cwd=folder)
    assert result.returncode == 1, result.stderr
    first = result.stdout.splitlines()[0]
    assert first.startswith("train.py ran out of memory after 4 optimizer steps: CUDA out of memory. Tried to allocate")
    text = (out / "report.md").read_text()
    assert "# train.py on T4" in text
    assert "torch.empty(1 << 28" in text
    assert (out / "run.json").exists()
    assert list((out / "figures").glob("*.svg"))


def test_options_end_where_the_script_begins(folder: Path) -> None:
    request = _request(RunOptions(command=("-m", "json.tool", "--x"), device="virtual:h100"))
    assert (request.script, request.is_module, request.args) == ("json.tool", True, ("--x",))
    argv = script_argv(request)
    assert argv[argv.index("--") :] == ("--", "json.tool", "--x")
    assert "-m" in argv[3:]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (RunOptions(command=()), "expected a script"),
        (RunOptions(command=("nowhere.py",)), "nowhere.py: no such file"),
        (RunOptions(command=("-m",)), "-m needs"),
        (RunOptions(command=(), module="no_such_module_at_all"), "there is no module"),
        (RunOptions(command=(), module="json", memory="16GiB"), "--device virtual:NAME"),
        (RunOptions(command=(), module="json", device="virtual:h100", memory="0"), "above 0"),
        (RunOptions(command=(), module="json", device="virtual:h100", memory="big"), "--memory"),
    ],
)
def test_mistakes_are_told_before_anything_runs(options: RunOptions, said: str) -> None:
    with pytest.raises(CommandError) as caught:
        _request(options)
    assert caught.value.code is ExitCode.USAGE
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        (ScriptEnd.FINISHED, 0, ExitCode.OK),
        (ScriptEnd.STOPPED, 0, ExitCode.OK),
        (ScriptEnd.EXITED, 9, ExitCode.FAILURE),
        (ScriptEnd.FAILED, 1, ExitCode.FAILURE),
        (ScriptEnd.OUT_OF_MEMORY, 1, ExitCode.FAILURE),
        (ScriptEnd.NOT_CARRIED, 1, ExitCode.INCONCLUSIVE),
        (ScriptEnd.INTERRUPTED, 130, ExitCode.INTERRUPTED),
    ],
)
def test_every_end_has_its_exit_status_and_its_sentence(end: ScriptEnd, code: int, status: ExitCode) -> None:
    made = ended(end, code)
    assert exit_code(ScriptResult(run=made, timed_out=False, stopped=False)) is status
    for lang in ("en", "ja"):
        line = run_headline(made, lang)
        assert "train.py" in line
        assert "second" not in line, "one line"
        assert render_document(run_document(made, lang))


def test_a_deadline_counts_before_the_end_it_caused() -> None:
    late = ScriptResult(run=ended(ScriptEnd.INTERRUPTED, 130), timed_out=True, stopped=False)
    assert exit_code(late) is ExitCode.DEADLINE
    assert exit_code(replace(late, timed_out=False)) is ExitCode.INTERRUPTED


STARTER = """
import os, subprocess, sys
import torch
from torch.utils.data import DataLoader

def elsewhere():
    pass

if __name__ == "__main__":
    weight = torch.nn.Parameter(torch.ones(1 << 20, device="cuda"))
    for _ in DataLoader([0, 1], num_workers=1):
        weight.sum().backward()
    subprocess.run(["uname"], stdout=subprocess.DEVNULL)
    if "--alone" not in sys.argv:
        subprocess.run([sys.executable, "-c", "import os"])
        os.system("python3 -c 'import sys'")
        torch.multiprocessing.get_context("fork").Process(target=elsewhere).start()
"""


def test_processes_that_may_train_unseen_are_told_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "starter.py").write_text(STARTER)
    found = from_json(ScriptRun, run("--device", "virtual:l4", "--json", "--", "starter.py", cwd=tmp_path).stdout)
    program, shell, function = found.started
    assert program.startswith("python")
    assert program.endswith("-c import os")
    assert shell == "python3 -c 'import sys'"
    assert function == "multiprocessing: __main__.elsewhere"
    for lang, said in (
        ("en", "not in these figures"),
        ("ja", "\u6570\u5024\u306b\u542b\u307e\u308c\u307e\u305b\u3093"),
    ):
        assert said in render_document(run_document(found, lang))
    alone = run("--device", "virtual:l4", "--json", "--", "starter.py", "--alone", cwd=tmp_path)
    assert from_json(ScriptRun, alone.stdout).started == ()
