"""The planted defects: each fails as stated, its healthy twin does not, and the one right relaxation mends it for real.

Every trial is a forked process of its own. The twins, and relaxations that have nothing to do with the defect, are run
for a few scenarios only, and those with large weights not at all; with ILORA_DIAG_ALL_SCENARIOS=1 everything is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from ilora_diag.bisect.catalogue import INTERVENTIONS
from ilora_diag.schema import from_json, to_json
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Target, TrialRequest

HERE = Path(__file__).parent
SCENARIOS: list[dict[str, Any]] = json.loads((HERE / "scenarios.json").read_text(encoding="utf-8"))
ALL = os.environ.get("ILORA_DIAG_ALL_SCENARIOS") == "1"
THOROUGH = ("padding to the maximum", "validation without inference mode", "eager attention at long sequence")
HEAVY = (
    "second copy of the language model",
    "old embedding kept after resize",
    "optimizer over all parameters after unfreezing",
    "teacher outputs kept on the device",
    "model too large for the card",
)
TRIED = [row for row in SCENARIOS if ALL or row["name"] not in HEAVY]
WATCHED = tuple(name for name in INTERVENTIONS if name not in ("release", "drop_copy"))
named = pytest.mark.parametrize("scenario", TRIED, ids=[row["name"] for row in TRIED])


@pytest.fixture(scope="module", autouse=True)
def _imports() -> None:
    """Once, before the forks."""
    import peft  # noqa: F401
    from transformers import LlamaForCausalLM, OPTForCausalLM  # noqa: F401

    import probes.trial_script  # noqa: F401


def _child(request: TrialRequest, environ: dict[str, str], folder: Path) -> None:
    import torch

    from probes.trial_script import run_script_trial

    os.environ.update(environ)
    out = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    torch.set_num_threads(1)
    answer = to_json(run_script_trial(request))
    (folder / "answer.json").write_text(answer, encoding="utf-8")
    os._exit(0)


def tried(
    scenario: dict[str, Any], folder: Path, relax: dict[str, Any] | None = None, *, twin: bool = False
) -> TrialAnswer:
    """One trial of a scenario, from a folder in which nothing tells what it is."""
    row = {**scenario, **(scenario.get("twin_settings") or {})} if twin else scenario
    text = (HERE / "scripts" / row["script"]).read_text(encoding="utf-8")
    if twin and row["twin"]:
        faulty, healthy = (f"{line}\n" for line in row["twin"])
        assert text.count(faulty) == 1
        text = text.replace(faulty, healthy)
    folder.mkdir()
    (folder / "train.py").write_text(text, encoding="utf-8")
    (folder / "_parts.py").write_text((HERE / "scripts" / "_parts.py").read_text(encoding="utf-8"), encoding="utf-8")
    settings = {f"device.{name}": row[name] for name in ("memory_bytes", "other_bytes", "vmm")}
    settings.update({name: tuple(value) if isinstance(value, list) else value for name, value in (relax or {}).items()})
    removed = {name.removeprefix("env.") for name in settings if name.startswith("env.")}
    request = TrialRequest(
        id="trial",
        target=Target.SCRIPT,
        script=str(folder / "train.py"),
        script_args=tuple(row["args"]),
        device=row["device"],
        settings=tuple((name, value) for name, value in settings.items() if value is not None),
        steps=row["steps"],
        watch=() if relax or twin else WATCHED,
    )
    environ = {name: value for name, value in row["env"].items() if name not in removed}
    process = multiprocessing.get_context("fork").Process(target=_child, args=(request, environ, folder))
    process.start()
    process.join(120)
    answer = folder / "answer.json"
    assert answer.exists(), (folder / "output").read_text(encoding="utf-8")[-3000:]
    return from_json(TrialAnswer, answer.read_text(encoding="utf-8"))


def fails_as_stated(scenario: dict[str, Any], answer: TrialAnswer) -> bool:
    return answer.end is TrialEnd.FAILED and answer.error is not None and scenario["error"] in answer.error.message


@named
def test_a_planted_defect_fails_and_its_right_relaxation_passes(scenario: dict[str, Any], tmp_path: Path) -> None:
    faulty = tried(scenario, tmp_path / "faulty")
    assert fails_as_stated(scenario, faulty), faulty.error
    assert faulty.error is not None
    assert "train.py" in faulty.error.traceback
    assert "probes" not in faulty.error.traceback
    if not scenario["relax"]:
        return
    (setting,) = scenario["relax"]
    name = setting.removeprefix("apply.")
    if name in WATCHED:
        assert name in {found.name for found in faulty.opportunities}
    relaxed = tried(scenario, tmp_path / "relaxed", scenario["relax"])
    assert relaxed.end is TrialEnd.PASSED, relaxed.error


@pytest.mark.parametrize(
    "scenario",
    [row for row in SCENARIOS if ALL or row["name"] in THOROUGH],
    ids=[row["name"] for row in SCENARIOS if ALL or row["name"] in THOROUGH],
)
def test_its_healthy_twin_passes_and_an_unrelated_relaxation_changes_nothing(
    scenario: dict[str, Any], tmp_path: Path
) -> None:
    assert tried(scenario, tmp_path / "twin", twin=True).end is TrialEnd.PASSED
    other = tried(scenario, tmp_path / "other", scenario["unrelated"])
    assert fails_as_stated(scenario, other), other.error


def test_scripts_tell_nothing_of_their_defects_and_every_twin_differs_in_one_line() -> None:
    names = {row["name"] for row in SCENARIOS}
    assert len(names) == len(SCENARIOS)
    assert sum(row["kind"] == "fault" for row in SCENARIOS) >= 18
    assert sum(row["kind"] == "control" for row in SCENARIOS) >= 4
    for row in SCENARIOS:
        text = (HERE / "scripts" / row["script"]).read_text(encoding="utf-8")
        assert not {"leak", "fault", "defect", "bug", "fixme", "twin", "wrong"} & set(text.lower().split())
        assert not row["category"] or row["category"] not in text
        assert "#" not in text, "no comment could give it away"
        assert (row["twin"] is None) == ("twin_settings" in row)
        if row["twin"]:
            assert text.count(f"{row['twin'][0]}\n") == 1
