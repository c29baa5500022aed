"""bisect-oom as it is typed: mistakes are answered before anything is made, an incident is investigated to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def typed(*args: str, cwd: Path, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "ilora_diag", "bisect-oom", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("--device", "virtual:x4"), 2, "nearest: t4"),
        (("--device", "tpu"), 2, "allowed is auto, cuda, cpu or virtual:NAME"),
        (("--device", "virtual:t4", "--memory", "many"), 2, "--memory"),
        (("--device", "cpu", "--memory", "4GiB"), 2, "--memory is for a virtual card"),
        (("--device", "cpu", "--no-vmm"), 2, "--no-vmm is for a virtual card"),
        (("--device", "virtual:t4", "train.batchsize=2"), 2, "Did you mean train.batch_size?"),
        (("--device", "virtual:t4", "--budget", "soon"), 2, "a time such as 15min"),
        (("--device", "virtual:t4", "--alpha", "2"), 2, "between 0 and 1"),
        (("--device", "virtual:t4", "stage=rec"), 2, "allowed is teacher"),
        (("--device", "virtual:t4", "--", "none.py"), 2, "there is no such file"),
        (("--device", "virtual:t4", "train.batch_size=2", "--", "none.py"), 2, "a script takes its own arguments"),
        (("--example", "oom", "train.batch_size=2"), 2, "complete by itself"),
        (("--resume", "nowhere"), 2, "holds no investigation"),
        (("--device", "virtual:t4", "--config", "tiny", "--factors", "batchsize", "--plan"), 2, "allowed are"),
        (("--device", "virtual:t4", "--config", "tiny", "--factors-file", "none.yaml", "--plan"), 2, "cannot be read"),
    ],
)
def test_a_mistake_is_answered_and_nothing_is_made(args: tuple[str, ...], code: int, told: str, tmp_path: Path) -> None:
    result = typed(*args, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_plan_names_factors_and_numbers_and_runs_nothing(tmp_path: Path) -> None:
    result = typed("--example", "oom", "--plan", "--json", cwd=tmp_path)
    assert result.returncode == 0
    plan = json.loads(result.stdout)
    assert plan["schema"] == "ilora-diag/bisect-plan"
    assert plan["factors"][0]["name"] == "other_processes"
    assert plan["least"] <= plan["expected"] <= plan["most"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_driver_error_incident_is_solved_and_its_report_holds(tmp_path: Path) -> None:
    result = typed("--example", "driver-error", "--json", "--lang", "ja", cwd=tmp_path, timeout=240.0)
    assert result.returncode == 1, result.stderr
    found = json.loads(result.stdout)
    assert (found["schema"], found["outcome"]) == ("ilora-diag/bisect", "cause_found")
    assert found["cause"]["category"] == "expandable_unsupported"
    assert found["cause"]["factors"] == [
        {
            "name": "alloc_conf",
            "failing": "expandable_segments:True",
            "passing": "unset",
            "failing_level": 0,
            "passing_level": 1,
        }
    ]
    by_id = {trial["id"]: trial for trial in found["trials"]}
    assert by_id[found["boundary"]["fail"]]["status"] == "same"
    assert by_id[found["boundary"]["pass"]]["status"] == "ok"
    assert {"batch_size", "loop", "components"} <= {one["factor"] for one in found["ruled_out"]}
    assert found["num_trials"] == len(found["trials"])
    report = Path(tmp_path, found["report"])
    assert "強く示唆" in report.read_text(encoding="utf-8")
    check = subprocess.run(
        [sys.executable, "-P", "-m", "ilora_diag", "report", str(report.parent), "--check"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert check.returncode == 0, check.stdout
