"""Trials as the search runs them: forked from a server or in an interpreter of their own, with the same answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ilora_diag.engine.fork_server import is_supported
from ilora_diag.engine.trial_run import Ran, TrialRunner, kind_of, read_request, spec_of
from ilora_diag.schema.trial import ErrorFamily, Status
from ilora_diag.schema.trial_answer import TrialAnswer
from ilora_diag.schema.trial_request import Stage, Target, TrialRequest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_supported(), reason="fork servers need Linux"),
]
MIB = 1 << 20
DEADLINE_S = 120.0


def request(number: int, *settings: tuple[str, Any], **fields: Any) -> TrialRequest:
    given = {"config": "tiny", "device": "virtual:t4", "steps": 2} | fields
    return TrialRequest(id=f"T-{number:02d}", target=Target.CONFIG, settings=settings, **given)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialRunner]:
    with TrialRunner(tmp_path_factory.mktemp("run")) as made:
        yield made


def forked(runner: TrialRunner, asked: TrialRequest) -> Ran:
    ran = runner.run(asked, fresh=False, deadline_s=DEADLINE_S)
    assert (ran.is_fresh, ran.notes) == (False, ())
    return ran


def decided(answer: TrialAnswer | None) -> TrialAnswer:
    """The answer without what no two runs share: seconds, and resident memory."""
    assert answer is not None
    stages = tuple(replace(use, seconds=0.0) for use in answer.stages)
    kept = tuple(one for one in answer.metrics if one.name != "rss_peak_bytes")
    return replace(answer, id="", stages=stages, metrics=kept)


def test_a_forked_trial_answers_what_one_in_an_interpreter_of_its_own_answers(runner: TrialRunner) -> None:
    asked = request(1, ("device.other_bytes", 13 << 30), ("train.batch_size", 64), device="virtual:h100")
    one, other = forked(runner, asked), runner.run(replace(asked, id="T-02"), fresh=True, deadline_s=DEADLINE_S)
    assert other.is_fresh
    assert decided(one.answer) == decided(other.answer)
    assert one.trial.status is other.trial.status


def test_one_trial_leaves_nothing_to_the_next(runner: TrialRunner) -> None:
    small = ("device.memory_bytes", 340 * MIB)
    first = forked(runner, request(3, small))
    assert first.trial.status is Status.OOM
    forked(runner, request(4, ("train.precision", "fp16"), device="virtual:h100"))
    again = forked(runner, request(5, small))
    assert decided(first.answer) == decided(again.answer)


def test_the_folder_of_a_trial_holds_what_was_asked_and_said(runner: TrialRunner) -> None:
    asked = request(6, ("device.memory_bytes", 340 * MIB))
    ran = forked(runner, asked)
    assert (ran.trial.status, ran.trial.journal) == (Status.OOM, "trials/T-06")
    assert ran.trial.signature is not None
    assert ran.trial.signature.family is ErrorFamily.OOM_TORCH
    folder = runner._folder / "trials" / "T-06"
    assert sorted(file.name for file in folder.iterdir()) == [
        "answer.json",
        "request.json",
        "stderr.txt",
        "stdout.txt",
    ]
    assert read_request(folder) == asked
    assert runner.answer_of("T-06") == ran.answer
    assert "[ilora-diag] stage place_llm" in (folder / "stderr.txt").read_text()


def test_a_refused_trial_is_invalid_and_quick(runner: TrialRunner) -> None:
    ran = forked(runner, request(7, ("train.use_reentrant", True)))
    assert (ran.trial.status, ran.trial.effective) == (Status.INVALID, ())
    assert ran.trial.reason.startswith("train.use_reentrant=true: allowed is false")


def test_a_server_that_was_killed_is_replaced_by_processes_and_that_is_said(runner: TrialRunner) -> None:
    asked = request(8, stop_after=Stage.LOAD)
    forked(runner, asked)
    kind = kind_of(asked, spec_of(asked, Path("x"), 1.0).env)
    os.kill(runner._servers.obtain(kind).pid, signal.SIGKILL)
    ran = runner.run(replace(asked, id="T-09"), fresh=False, deadline_s=DEADLINE_S)
    assert (ran.trial.status, ran.is_fresh) == (Status.OK, True)
    assert "the server has died" in ran.notes[0]


def test_environment_asked_for_is_there_when_the_process_starts(runner: TrialRunner) -> None:
    asked = request(10, ("env.PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64"), stop_after=Stage.CUDA_INIT)
    ran = runner.run(asked, fresh=True, deadline_s=DEADLINE_S)
    assert ran.answer is not None
    found = dict(ran.answer.effective)
    assert found["allocator.variable"] == "PYTORCH_CUDA_ALLOC_CONF"
    assert found["allocator.max_split_size_bytes"] == 64 * MIB
