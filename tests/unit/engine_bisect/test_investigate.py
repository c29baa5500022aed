"""Whole investigations over trials on paper: every way in which one can end, and going on after any interruption."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.bisect.certificate import verify
from ilora_diag.engine.bisect.investigate import Investigation, UnknownFactorError
from ilora_diag.engine.bisect.oracle import Told
from ilora_diag.engine.journal import JOURNAL_NAME, Journal, JournalError
from ilora_diag.engine.trial_run import Ran
from ilora_diag.schema.bisect import Bisect, Factor, Outcome
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.trial import ErrorFamily, Status
from ilora_diag.schema.trial_request import Target, TrialRequest
from tests.analytic import MIB, OUT_OF_MEMORY, AnalyticRunner, Failure, Model

REQUEST = BisectRequest(
    target=Target.CONFIG,
    config="incident",
    overrides=("train.batch_size=32", "train.loop=lightning", "data.num_workers=2"),
    device="cpu",
)


class Silent:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.trials: list[Told] = []
        self.names: tuple[str, ...] = ()

    def told(self, told: Told) -> None:
        self.trials.append(told)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def factors(self, factors: tuple[Factor, ...]) -> None:
        self.names = tuple(factor.name for factor in factors)


def batch_of(settings: dict[str, object]) -> int:
    value = settings.get("train.batch_size", 32)
    assert isinstance(value, int)
    return value


def too_large(limit: int) -> Model:
    """Out of memory above a batch size."""

    def model(settings: dict[str, object]) -> tuple[int, Failure | None]:
        peak = batch_of(settings) * 100 * MIB
        return peak, OUT_OF_MEMORY if batch_of(settings) > limit else None

    return model


def investigate(
    folder: Path,
    model: Model,
    request: BisectRequest = REQUEST,
    *,
    listener: Silent | None = None,
    stop: Callable[[], bool] = lambda: False,
    runners: list[AnalyticRunner] | None = None,
) -> Bisect:
    def make(place: Path) -> AnalyticRunner:
        made = AnalyticRunner(place, model)
        if runners is not None:
            runners.append(made)
        return made

    return Investigation(
        request=request, folder=folder, command="ilora-diag bisect-oom ...", listener=listener or Silent(), stop=stop,
        tool_version="0", make_runner=make,
    ).run()  # fmt: skip


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def essence(found: Bisect) -> object:
    """What must not depend on interruptions."""
    return (
        found.outcome,
        found.cause,
        found.boundary,
        found.ruled_out,
        found.fixes,
        found.num_trials,
        found.num_untested,
    )


# -- how it can end ----------------------------------------------------------------------------------------------------


def test_a_batch_that_is_too_large_is_found_with_its_boundary_and_a_certificate_that_holds(tmp_path: Path) -> None:
    listener = Silent()
    found = investigate(tmp_path, too_large(8), listener=listener)
    assert found.outcome is Outcome.CAUSE_FOUND
    assert found.cause is not None
    assert [(one.name, one.failing, one.passing) for one in found.cause.factors] == [("batch_size", "32", "8")]
    assert found.cause.category == "batch_too_large"
    assert found.boundary is not None
    assert found.num_trials == len(listener.trials) == len(found.steps)
    assert verify(found) == ()


def test_two_defects_that_are_needed_together_are_both_named(tmp_path: Path) -> None:
    def model(settings: dict[str, object]) -> tuple[int, Failure | None]:
        bad = batch_of(settings) > 8, settings.get("train.loop") != "plain"
        return 100 * MIB, OUT_OF_MEMORY if any(bad) else None

    found = investigate(tmp_path, model)
    assert found.cause is not None
    assert {one.name for one in found.cause.factors} == {"batch_size", "loop"}
    assert verify(found) == ()


def test_what_does_not_fail_is_not_reproduced(tmp_path: Path) -> None:
    found = investigate(tmp_path, too_large(64))
    assert (found.outcome, found.cause) == (Outcome.NOT_REPRODUCED, None)


def test_what_fails_whatever_is_relaxed_lies_outside(tmp_path: Path) -> None:
    assert investigate(tmp_path, too_large(0)).outcome is Outcome.OUTSIDE_FACTORS


def test_what_fails_in_another_way_each_time_is_said_to(tmp_path: Path) -> None:
    codes = iter(range(1000))

    def model(settings: dict[str, object]) -> tuple[int, Failure | None]:
        return MIB, (ErrorFamily.PYTHON, f"ValueError: {chr(97 + next(codes))}")

    assert investigate(tmp_path, model).outcome is Outcome.FAILS_DIFFERENTLY


def test_a_relaxation_that_fails_in_another_way_is_a_side_effect_and_never_a_fix(tmp_path: Path) -> None:
    def model(settings: dict[str, object]) -> tuple[int, Failure | None]:
        if settings.get("train.gradient_checkpointing") is False:
            return MIB, (ErrorFamily.PYTHON, "RuntimeError: Trying to backward through the graph a second time")
        return too_large(8)(settings)

    found = investigate(tmp_path, model, replace(REQUEST, mode="full"))
    assert found.cause is not None
    assert [one.name for one in found.cause.factors] == ["batch_size"]
    assert "checkpointing" in {one.factor for one in found.side_effects}
    assert all("checkpointing" in one.factor for one in found.side_effects)
    assert verify(found) == ()


def test_a_configuration_that_is_refused_is_not_searched(tmp_path: Path) -> None:
    class Refusing(AnalyticRunner):
        def run(self, request: TrialRequest, **options: object) -> Ran:  # type: ignore[override]
            ran = super().run(request, fresh=True, deadline_s=1.0)
            trial = replace(ran.trial, status=Status.INVALID, reason="llm.path=x: no such file", signature=None)
            return Ran(trial=trial, answer=None)

    found = Investigation(
        request=REQUEST, folder=tmp_path, command="x", listener=Silent(), stop=lambda: False, tool_version="0",
        make_runner=lambda place: Refusing(place, too_large(8)),
    ).run()  # fmt: skip
    assert (found.outcome, found.num_trials) == (Outcome.CANNOT_RUN, 1)


def test_an_unknown_factor_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownFactorError, match=r"--skip-factors batchsize: allowed are .*batch_size"):
        investigate(tmp_path, too_large(8), replace(REQUEST, skip=("batchsize",)))


def test_factors_left_out_on_request_are_named_and_not_searched(tmp_path: Path) -> None:
    listener = Silent()
    found = investigate(tmp_path, too_large(8), replace(REQUEST, only=("batch_size", "seq_len")), listener=listener)
    assert listener.names == ("batch_size", "seq_len")
    assert "optimizer" in {one.what for one in found.not_applicable}


def test_a_clock_that_runs_backwards_changes_nothing(tmp_path: Path) -> None:
    class Backwards(AnalyticRunner):
        at = 2e9

        def run(self, request: TrialRequest, **options: object) -> Ran:  # type: ignore[override]
            ran = super().run(request, fresh=True, deadline_s=1.0)
            Backwards.at -= 3600.0
            return replace(ran, trial=replace(ran.trial, started_at=Backwards.at))

    found = Investigation(
        request=REQUEST, folder=tmp_path, command="x", listener=Silent(), stop=lambda: False, tool_version="0",
        make_runner=lambda place: Backwards(place, too_large(8)),
    ).run()  # fmt: skip
    assert found.outcome is Outcome.CAUSE_FOUND
    assert verify(found) == ()


# -- going on ----------------------------------------------------------------------------------------------------------


def test_a_budget_ends_it_with_what_is_known_and_the_rest_is_run_later(tmp_path: Path) -> None:
    whole = investigate(_made(tmp_path / "a"), too_large(8))
    (tmp_path / "b").mkdir()
    runners: list[AnalyticRunner] = []
    first = investigate(tmp_path / "b", too_large(8), replace(REQUEST, max_trials=5), runners=runners)
    assert (first.outcome, first.num_trials) == (Outcome.BUDGET_SPENT, 5)
    second = investigate(tmp_path / "b", too_large(8), runners=runners)
    assert essence(second) == essence(whole)
    assert sum(len(runner.requests) for runner in runners) == whole.num_trials, "no trial was run twice"
    assert sum(step.reused for step in second.steps) == 5


def test_a_stop_leaves_a_run_that_can_be_gone_on_with(tmp_path: Path) -> None:
    asked = iter(range(1000))
    first = investigate(tmp_path, too_large(8), stop=lambda: next(asked) > 8)
    assert first.outcome is Outcome.INTERRUPTED
    assert investigate(tmp_path, too_large(8)).outcome is Outcome.CAUSE_FOUND


def test_a_journal_that_was_cut_in_the_middle_of_a_line_is_gone_on_with(tmp_path: Path) -> None:
    whole = investigate(tmp_path, too_large(8))
    journal = tmp_path / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:9]) + lines[9][: len(lines[9]) // 2])
    again = investigate(tmp_path, too_large(8))
    assert (again.outcome, again.cause) == (whole.outcome, whole.cause)
    assert verify(again) == ()


def test_trials_of_other_code_are_not_used_again_and_that_is_said(tmp_path: Path) -> None:
    investigate(tmp_path, too_large(8), replace(REQUEST, max_trials=4))
    journal = tmp_path / JOURNAL_NAME
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({**one, "fingerprint": "of-yesterday"}) + "\n" for one in told))
    listener, runners = Silent(), []
    found = investigate(tmp_path, too_large(8), listener=listener, runners=runners)
    assert any("4 trials are of other code" in line for line in listener.lines)
    assert len(runners[0].requests) == found.num_trials
    assert not any(step.reused for step in found.steps)


def test_two_investigations_in_one_folder_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / JOURNAL_NAME), pytest.raises(JournalError, match="another process"):
        investigate(tmp_path, too_large(8))


def test_a_full_disk_ends_it_and_keeps_what_was_run(tmp_path: Path) -> None:
    class Full(AnalyticRunner):
        def run(self, request: TrialRequest, **options: object) -> Ran:  # type: ignore[override]
            if len(self.requests) == 6:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().run(request, fresh=True, deadline_s=1.0)

    work = Investigation(
        request=REQUEST, folder=tmp_path, command="x", listener=Silent(), stop=lambda: False, tool_version="0",
        make_runner=lambda place: Full(place, too_large(8)),
    )  # fmt: skip
    with pytest.raises(OSError, match="No space left"):
        work.run()
    runners: list[AnalyticRunner] = []
    found = investigate(tmp_path, too_large(8), runners=runners)
    assert found.outcome is Outcome.CAUSE_FOUND
    assert sum(step.reused for step in found.steps) == 6


_CHILD = """
import sys
from pathlib import Path
from tests.unit.engine_bisect.test_investigate import REQUEST, Silent, too_large
from tests.analytic import AnalyticRunner
from ilora_diag.engine.bisect.investigate import Investigation
Investigation(request=REQUEST, folder=Path(sys.argv[1]), command="x", listener=Silent(), stop=lambda: False,
    tool_version="0", make_runner=lambda place: AnalyticRunner(place, too_large(8), pause_s=0.05)).run()
"""


@pytest.mark.slow
def test_a_journal_survives_being_killed_at_any_point(tmp_path: Path, repo_root: Path) -> None:
    whole = investigate(_made(tmp_path / "whole"), too_large(8))
    folder = tmp_path / "killed"
    folder.mkdir()
    rng = random.Random(7)
    environ = {**os.environ, "PYTHONPATH": str(repo_root)}
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(folder)], env=environ)
        deadline = time.monotonic() + 60.0
        while not (folder / JOURNAL_NAME).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.6))
        child.send_signal(signal.SIGKILL)
        child.wait()
    found = investigate(folder, too_large(8))
    assert (found.outcome, found.cause, found.boundary is not None) == (whole.outcome, whole.cause, True)
    assert verify(found) == ()
