"""Scripts under the recorder: each way to end, what is counted, and that the figures are the allocator's."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora_diag.schema import Category, Estimate, ScriptEnd, ScriptRun, Unavailable, from_json
from probes import run_script

SCRIPTS = Path(__file__).parent / "scripts"
MIB = 1 << 20


@dataclass(frozen=True)
class Told:
    document: dict[str, Any]
    output: str
    code: int

    @property
    def run(self) -> ScriptRun:
        return from_json(ScriptRun, json.dumps(self.document))

    @property
    def estimate(self) -> Estimate:
        found = self.run.estimate
        assert isinstance(found, Estimate), found
        return found


def _child(argv: list[str], folder: Path) -> None:
    """As a process of its own would be: its output in a file, its document on a descriptor."""
    os.chdir(folder)
    out = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    answer = os.open(folder / "answer", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.environ[run_script.RESULT_FD] = str(answer)
    torch.set_num_threads(1)
    code = run_script.main(argv)
    os._exit(code)


@pytest.fixture
def begin(tmp_path: Path) -> Any:
    """Starts a script in a forked process: torch need not be imported again."""

    def run(script: str, *args: str, options: tuple[str, ...] = ("--device=virtual:h100",)) -> Any:
        where = script if script.endswith("nothing") or "-m" in options else str(SCRIPTS / script)
        argv = [*options, "--", where, *args]
        process = multiprocessing.get_context("fork").Process(target=_child, args=(argv, tmp_path))
        process.start()
        return process

    return run


@pytest.fixture
def told(begin: Any, tmp_path: Path) -> Any:
    def run(script: str, *args: str, options: tuple[str, ...] = ("--device=virtual:h100",)) -> Told:
        process = begin(script, *args, options=options)
        process.join(120)
        assert process.exitcode is not None
        text = (tmp_path / "answer").read_text()
        return Told(json.loads(text), (tmp_path / "output").read_text(), process.exitcode)

    return run


def test_an_ordinary_script_runs_to_its_end_with_its_arguments(told: Any, tmp_path: Path) -> None:
    found = told("plain.py", "--width", "128", "--save", str(tmp_path / "model.pt"))
    run, estimate = found.run, found.estimate
    assert (run.end, run.exit_code, run.steps, run.steps_counted) == (ScriptEnd.FINISHED, 0, 8, "optimizer")
    assert run.moment.allocated_bytes > 0
    assert "step 7 1.0 cuda" in found.output
    assert "arguments ['--width', '128'" in found.output
    assert estimate.fits is True
    notes = " ".join(estimate.assumptions)
    assert "torch.compile was left out" in notes
    assert "files with tensors of the card hold none of their values" in notes
    assert not (tmp_path / "model.pt").exists()
    assert torch.load(tmp_path / "model.pt.steps") == {"step": 7}
    parameters = {share.category: share.size_bytes for share in estimate.by_category}[Category.PARAMETER]
    # weights and biases, each in blocks of 512 bytes
    assert parameters == sum(-(-4 * count // 512) * 512 for count in (16 * 128, 128, 128 * 10, 10))
    assert {share.module for share in estimate.by_module} >= {"0", "2"}


def test_empty_tensors_take_nothing_and_have_no_share(told: Any) -> None:
    found = told("nothing_in_it.py")
    assert found.run.end is ScriptEnd.FINISHED
    assert [share.size_bytes for share in found.estimate.by_category] == [4096]
    assert Category.INPUT not in found.estimate.curve_categories


def test_steps_end_a_script_and_only_that_many_are_told(told: Any) -> None:
    found = told("plain.py", options=("--device=virtual:h100", "--max-steps=2"))
    assert (found.run.end, found.run.steps, found.run.exit_code) == (ScriptEnd.STOPPED, 2, 0)
    assert max(phase.step for phase in found.estimate.by_phase) == 2
    assert "step 1" not in found.output
    all_of_them = told("plain.py", options=("--device=virtual:h100", "--max-steps=9"))
    assert (all_of_them.run.end, all_of_them.run.steps) == (ScriptEnd.FINISHED, 8)


def test_a_script_that_catches_everything_is_ended_all_the_same(told: Any) -> None:
    found = told("stubborn.py", options=("--device=virtual:h100", "--max-steps=2"))
    assert (found.run.end, found.run.steps, found.code) == (ScriptEnd.STOPPED, 2, 0)


def test_without_an_optimizer_backward_is_counted(told: Any) -> None:
    found = told("by_hand.py", options=("--device=virtual:h100", "--max-steps=3"))
    assert (found.run.end, found.run.steps, found.run.steps_counted) == (ScriptEnd.STOPPED, 3, "backward")
    assert any("every call of backward (3) was counted" in text for text in found.estimate.assumptions)


def test_a_closure_is_forward_and_backward_not_optimizer(told: Any) -> None:
    estimate = told("closure.py").estimate
    peaks = {phase.phase: phase.allocated_bytes for phase in estimate.by_phase if phase.step == 2}
    assert set(peaks) == {"forward", "backward", "optimizer"}
    assert max(peaks, key=peaks.__getitem__) == "optimizer", "where Adam's temporaries are"
    modules = {share.module: share.size_bytes for share in estimate.by_module}
    assert not any(name.startswith("(parameter group") for name in modules)
    named = sum(size for name, size in modules.items() if name in ("0", "1"))
    assert named >= 0.99 * estimate.peak.allocated_bytes


def test_the_figures_are_those_the_script_itself_would_read(told: Any) -> None:
    found = told("closure.py")
    peak = found.estimate.peak
    assert f"peaks {peak.allocated_bytes} {peak.reserved_bytes}" in found.output
    assert max(phase.reserved_bytes for phase in found.estimate.by_phase) == peak.reserved_bytes
    assert max(sum(point.sizes) for point in found.estimate.curve) == peak.allocated_bytes


def test_the_exit_code_of_a_script_is_kept(told: Any) -> None:
    found = told("plain.py", "--exit", "7")
    assert (found.run.end, found.run.exit_code, found.run.error) == (ScriptEnd.EXITED, 7, None)
    assert found.run.steps == 8


def test_out_of_memory_is_an_answer_with_its_place(told: Any) -> None:
    found = told("too_large.py", options=("--device=virtual:t4", f"--memory={2200 * MIB}"))
    run, oom = found.run, found.estimate.cards[0].oom
    assert (run.end, run.exit_code, run.num_refused) == (ScriptEnd.OUT_OF_MEMORY, 1, 2)
    assert oom is not None
    assert (oom.step, oom.phase, oom.module, oom.op) == (2, "forward", "second", "aten::addmm")
    assert oom.requested_bytes == 200 * 1024 * 1024 * 4
    assert oom.message.startswith("CUDA out of memory. Tried to allocate 800.00 MiB")
    assert run.error is not None
    assert run.error.traceback.startswith("Traceback")
    assert "too_large.py" in run.error.traceback.splitlines()[1]
    assert run.moment.module == "second"
    assert run.moment.allocated_bytes > 1600 * MIB, "what it held then, not after it was unwound"
    assert found.estimate.fits is False
    shares = {share.category: share.size_bytes for share in found.estimate.by_category}
    assert shares[Category.ACTIVATION] >= 800 * MIB, "what the first layer kept is no temporary"


@pytest.mark.parametrize(("memory_mib", "is_certain"), [(2500, True), (2640, False)])
def test_running_out_by_less_than_the_context_is_uncertain_by_is_no_certain_no(
    told: Any, memory_mib: int, is_certain: bool
) -> None:
    found = told("too_large.py", options=("--device=virtual:t4", f"--memory={memory_mib * MIB}"))
    assert found.run.end is ScriptEnd.OUT_OF_MEMORY
    assert isinstance(found.estimate.fits, Unavailable) is not is_certain
    assert any("memory ran out by less" in text for text in found.estimate.assumptions) is not is_certain


def test_with_room_enough_the_same_script_ends_well(told: Any) -> None:
    found = told("too_large.py", options=("--device=virtual:t4", f"--memory={14000 * MIB}"))
    assert (found.run.end, found.run.num_refused) == (ScriptEnd.FINISHED, 1)
    assert any("caught 1 out-of-memory" in text for text in found.estimate.assumptions)


def test_what_is_outside_the_device_is_named_even_if_the_script_wraps_it(told: Any) -> None:
    found = told("outside.py")
    assert found.run.end is ScriptEnd.NOT_CARRIED
    assert found.run.error is not None
    assert "torch.nn.LSTM" in found.run.error.message


def test_words_that_no_card_says_count_as_outside_the_device(told: Any) -> None:
    found = told("nested.py")
    assert found.run.end is ScriptEnd.NOT_CARRIED
    assert found.run.error is not None
    # A CPU build and a CUDA build on a machine without a card.
    words = ("not linked with support for cuda", "Found no NVIDIA driver", "No CUDA GPUs are available")
    assert any(each in found.run.error.message for each in words)


def test_threads_of_a_script_see_the_card(told: Any) -> None:
    found = told("threads.py")
    assert found.run.end is ScriptEnd.FINISHED
    assert "cuda:0" in found.output
    assert found.estimate.peak.allocated_bytes >= 1 << 20


def test_a_failure_is_told_with_traceback_module_and_memory(told: Any) -> None:
    found = told("mistaken.py")
    run = found.run
    assert (run.end, run.exit_code) == (ScriptEnd.FAILED, 1)
    assert run.error is not None
    assert run.error.type == "KeyError"
    assert "no such thing among 3" in run.error.message
    assert (run.moment.phase, run.moment.module, run.moment.step) == ("forward", "1", 1)
    assert run.moment.allocated_bytes > 0
    assert "KeyError" in found.output, "as Python would have printed it"
    assert isinstance(found.estimate.fits, Unavailable)
    assert run.made_up == ()


def test_a_script_that_fails_on_made_up_numbers_is_told_with_them(told: Any) -> None:
    run = told("routed.py").run
    assert (run.end, run.error.type) == (ScriptEnd.FAILED, "RuntimeError")
    assert run.made_up == ("int64 values read from the card are taken to be 0 (2 times)",)


def test_a_script_without_a_card_has_no_figures(told: Any) -> None:
    found = told("on_the_host.py")
    assert found.run.end is ScriptEnd.FINISHED
    assert isinstance(found.run.estimate, Unavailable)


def test_modules_run_like_files(told: Any) -> None:
    found = told("json.tool", "--help", options=("--device=virtual:h100", "-m"))
    assert (found.run.end, found.run.script) == (ScriptEnd.FINISHED, "json.tool")
    assert "usage" in found.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_still_leaves_a_report(begin: Any, tmp_path: Path, number: int) -> None:
    process = begin("waits.py")
    for _ in range(600):
        if "waiting" in (tmp_path / "output").read_text() if (tmp_path / "output").exists() else False:
            break
        time.sleep(0.1)
    os.kill(process.pid, number)
    process.join(60)
    run = from_json(ScriptRun, (tmp_path / "answer").read_text())
    assert (run.end, run.steps) == (ScriptEnd.INTERRUPTED, 1)
    assert run.moment.allocated_bytes > 0, "what the script held, not what was left when it was gone"
    assert isinstance(run.estimate, Estimate)


@pytest.mark.parametrize(
    ("options", "code", "status", "said"),
    [
        (("--device=virtual:h1000",), 2, "usage", "h100"),
        (("--device=cpu",), 2, "usage", "virtual:NAME"),
        (("--device=virtual:h100", "--torch=banana"), 2, "usage", "--torch 'banana'"),
    ],
)
def test_what_cannot_begin_says_why(told: Any, options: tuple[str, ...], code: int, status: str, said: str) -> None:
    found = told("plain.py", options=options)
    assert (found.code, found.document["status"]) == (code, status)
    assert said in found.document["message"]


def test_allocator_settings_that_cannot_be_read_are_named_with_their_variable(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandble_segments:True")
    found = told("plain.py")
    assert (found.code, found.document["status"]) == (2, "usage")
    assert "PYTORCH_ALLOC_CONF=expandble_segments:True: " in found.document["message"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is told without a card")
def test_without_a_card_the_virtual_one_is_proposed(told: Any) -> None:
    found = told("plain.py", options=("--device=cuda",))
    assert (found.code, found.document["status"]) == (4, "no device")
    assert "virtual:h100" in found.document["message"]
