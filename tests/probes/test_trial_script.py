"""Trials of scripts: each way to end, what the card refused, where a trial stops, and what it says of itself."""

from __future__ import annotations

import multiprocessing
import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora_diag.schema import from_json, to_json
from ilora_diag.schema.trial_answer import PeakParts, TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, Target, TrialRequest
from probes.trial_script import run_script_trial

SCRIPTS = Path(__file__).parent / "scripts"
MIB = 1 << 20
# Forked from a process that holds nothing of earlier tests: their models and optimizers would be taken for its own.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["probes.trial_script"])
HEAD = """
    import sys, torch
    from torch import nn
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = nn.Sequential(nn.Linear(1024, 1024), nn.Linear(1024, 1024)).to(device)
    optimizer = torch.optim.SGD(model.parameters())
    def step(rows=8):
        model(torch.ones(rows, 1024, device=device)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
"""


def _child(request: TrialRequest, folder: Path) -> None:
    out = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    torch.set_num_threads(1)
    channel = os.open(folder / "early", os.O_WRONLY | os.O_CREAT)
    (folder / "answer").write_text(to_json(run_script_trial(request, str(channel))), encoding="utf-8")
    os._exit(0)


@pytest.fixture
def tried(tmp_path: Path) -> Any:
    """Runs a trial of a text, or of one of the scripts, in a process of its own."""

    def run(script: str, *args: str, **given: Any) -> TrialAnswer:
        path = SCRIPTS / script
        if "\n" in script:
            path = tmp_path / "train.py"
            path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(script), encoding="utf-8")
        settings = tuple(given.pop("settings", {}).items())
        request = TrialRequest(
            **{
                "id": "T-1", "target": Target.SCRIPT, "script": str(path), "script_args": args, "device": "virtual:t4",
                "settings": settings, **given,
            }
        )  # fmt: skip
        process = CLEAN.Process(target=_child, args=(request, tmp_path))
        process.start()
        process.join(60)
        assert process.exitcode == 0, (tmp_path / "output").read_text()
        told = [text for name in ("early", "answer") if (text := _text(tmp_path / name))]
        assert len(told) == 1
        return from_json(TrialAnswer, told[0])

    return run


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def stages(answer: TrialAnswer) -> list[Stage]:
    return [use.stage for use in answer.stages]


def metric(answer: TrialAnswer, name: str) -> Any:
    return next(one.value for one in answer.metrics if one.name == name)


def test_a_script_passes_with_its_stages_and_what_was_in_force(tried: Any) -> None:
    answer = tried("\nfor _ in range(9):\n    step()\n", settings={"device.memory_bytes": 3000 * MIB}, steps=3)
    assert (answer.end, answer.stage, answer.steps_done, answer.error) == (TrialEnd.PASSED, Stage.DONE, 3, None)
    assert stages(answer) == [
        Stage.IMPORT, Stage.CUDA_INIT, Stage.LOAD, Stage.PLACE_LLM, Stage.FORWARD, Stage.BACKWARD, Stage.OPTIMIZER,
        Stage.STEP_2, Stage.STEP_3,
    ]  # fmt: skip
    effective = dict(answer.effective)
    assert effective["card.memory_bytes"] == 3000 * MIB
    assert effective["parameters.trainable"] == 2 * (1024 * 1024 + 1024)
    assert effective["version.torch"] == torch.__version__
    assert isinstance(answer.peak, PeakParts)
    assert not answer.peak.at_failure
    assert answer.peak.allocated_bytes == metric(answer, "peak_allocated_bytes")
    assert answer.failed_request is None


def test_the_last_stage_asked_for_is_the_last_that_runs(tried: Any) -> None:
    answer = tried("\nstep()\n", stop_after=Stage.FORWARD)
    assert (answer.end, answer.stage, answer.steps_done) == (TrialEnd.PASSED, Stage.FORWARD, 0)
    assert stages(answer)[-1] is Stage.FORWARD


def test_a_validation_after_the_steps_is_part_of_the_trial(tried: Any) -> None:
    script = """
    for _ in range(5):
        for _ in range(2):
            step()
        model.eval()
        with torch.no_grad():
            model(torch.ones(400 * 1024, 1024, device=device))
        model.train()
    """
    answer = tried(script, steps=2, settings={"device.memory_bytes": 3000 * MIB})
    assert (answer.end, answer.stage, answer.steps_done) == (TrialEnd.FAILED, Stage.VALIDATION, 2)
    roomy = tried(script, steps=2)
    assert (roomy.end, roomy.steps_done) == (TrialEnd.PASSED, 2)
    assert stages(roomy)[-3:] == [Stage.STEP_2, Stage.VALIDATION, Stage.STEP_3], "it ends when backward begins again"
    early = tried(script, steps=3, stop_after=Stage.STEP_3)
    assert (early.end, early.steps_done) == (TrialEnd.PASSED, 3), "validation between the steps does not end it"
    assert Stage.VALIDATION not in stages(early)


def test_out_of_memory_has_numbers_frames_and_what_memory_was(tried: Any) -> None:
    answer = tried(
        "\nstep()\nstep(600 * 1024)\n", settings={"device.memory_bytes": 4000 * MIB, "device.other_bytes": MIB}
    )
    assert (answer.end, answer.stage, answer.steps_done) == (TrialEnd.FAILED, Stage.STEP_2, 1)
    assert answer.error is not None
    assert answer.error.type == "torch.OutOfMemoryError"
    assert answer.error.traceback.count("train.py") == 2
    assert "probes" not in answer.error.traceback
    request = answer.failed_request
    assert request is not None
    assert (request.requested_bytes, request.capacity_bytes) == (2400 * MIB, 4000 * MIB)
    assert request.other_processes_bytes == MIB
    assert isinstance(answer.peak, PeakParts)
    assert answer.peak.at_failure
    assert answer.peak.allocated_bytes == request.allocated_bytes


def test_a_script_that_handles_a_full_card_and_goes_on_has_passed(tried: Any) -> None:
    answer = tried("too_large.py", settings={"device.memory_bytes": 14000 * MIB})
    assert (answer.end, answer.steps_done) == (TrialEnd.PASSED, 2)
    assert metric(answer, "num_ooms") == 1
    assert answer.failed_request is None
    assert "the script caught 1 out-of-memory errors and went on" in answer.notes


@pytest.mark.parametrize("ending", ["print('full')", "sys.exit(3)", "raise ValueError('no luck')", "sys.exit(0)"])
def test_a_script_that_hides_a_full_card_has_failed(tried: Any, ending: str) -> None:
    script = f"""
    try:
        step()
        step(600 * 1024)
    except RuntimeError:
        failed = True
    if failed:
        {ending}
    """
    answer = tried(script, settings={"device.memory_bytes": 2000 * MIB})
    assert (answer.end, answer.stage) == (TrialEnd.FAILED, Stage.STEP_2)
    assert answer.error is not None
    assert answer.error.message.startswith("CUDA out of memory. Tried to allocate")
    assert "train.py" in answer.error.traceback
    assert ("no luck" in answer.error.traceback) == ("no luck" in ending)
    assert answer.failed_request is not None


def test_an_exit_code_is_no_pass(tried: Any) -> None:
    answer = tried("plain.py", "--exit", "7", steps=20)
    assert (answer.end, answer.steps_done) == (TrialEnd.SCRIPT_EXIT, 8)
    assert answer.error is not None
    assert answer.error.message == "7"
    changed = tried("plain.py", "--exit", "7", steps=20, settings={"arg.--exit": 0, "arg.--width": 32})
    assert (changed.end, changed.steps_done) == (TrialEnd.PASSED, 8)


def test_what_the_device_cannot_carry_is_told_apart(tried: Any) -> None:
    answer = tried("outside.py")
    assert answer.end is TrialEnd.NOT_CARRIED
    assert answer.error is not None
    assert "torch.nn.LSTM" in answer.error.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": {"train.batch_size": 4}}, "a script takes env, device, apply and arg"),
        ({"settings": {"parts.components": "llm"}}, "a script takes env, device, apply and arg"),
        ({"settings": {"apply.magic": True}}, "apply.magic: allowed are release"),
        ({"settings": {"device.colour": 1}}, "device.colour"),
        ({"settings": {"apply.release": ("history",)}}, "apply.release: 'history' is no name of a holder"),
        ({"script_is_module": False, "name": "no_such.py"}, "there is no such file"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_the_reason(tried: Any, given: dict[str, Any], said: str) -> None:
    answer = tried(given.pop("name", "plain.py"), **given)
    assert answer.end is TrialEnd.REFUSED
    assert answer.error is not None
    assert said in answer.error.message


def test_a_pass_in_which_nothing_was_let_go_proves_nothing(tried: Any) -> None:
    script = "\nkept = []\nfor _ in range(4):\n    step()\n    kept.append(torch.ones(1024, 1024, device=device))\n"
    given = {"steps": 4, "settings": {"apply.release": ("script:nobody",)}}
    assert tried(script, **given).end is TrialEnd.REFUSED
    mended = tried(script, steps=4, settings={"apply.release": ("script:kept",)})
    assert mended.end is TrialEnd.PASSED
    assert any(note.startswith("script:kept: ") for note in mended.notes)


def test_growth_is_followed_where_it_is_asked_for(tried: Any) -> None:
    script = "\nkept = []\nwhile True:\n    step()\n    kept.append(torch.ones(1024, 1024, device=device))\n"
    retention = tried(script, growth_steps=5).retention
    assert retention is not None
    assert retention.is_growing
    assert retention.grown[0].holder.name == "script:kept"
    assert retention.slope_bytes == pytest.approx(4 * MIB, rel=0.01)


def test_a_stubborn_script_is_ended_with_an_answer(tried: Any) -> None:
    answer = tried("stubborn.py", steps=2)
    assert (answer.end, answer.steps_done) == (TrialEnd.PASSED, 2)


def test_without_an_optimizer_backward_is_a_step(tried: Any) -> None:
    answer = tried("by_hand.py", steps=3)
    assert (answer.end, answer.steps_done) == (TrialEnd.PASSED, 3)


def test_on_the_host_there_are_stages_and_no_bytes(tried: Any) -> None:
    answer = tried("\nfor _ in range(9):\n    step()\n", device="cpu", watch=("stateless_optimizer", "autocast_bf16"))
    assert (answer.end, answer.steps_done) == (TrialEnd.PASSED, 3)
    assert stages(answer)[-1] is Stage.STEP_3
    assert not isinstance(answer.peak, PeakParts)
    assert {found.name for found in answer.opportunities} == {"autocast_bf16"}
