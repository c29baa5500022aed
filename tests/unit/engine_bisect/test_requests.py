"""What single trials of an investigation ask for."""

from __future__ import annotations

from ilora_diag.engine.bisect.requests import ROOMY_BYTES, discovery, make_requests, ordinary, roomy
from ilora_diag.engine.bisect.script_factors import WATCHED
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.script_run import ScriptError
from ilora_diag.schema.trial import ErrorFamily
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, Target

GIB = 1 << 30
CONFIG = BisectRequest(
    target=Target.CONFIG,
    config="incident",
    device="virtual:t4",
    base=(("device.memory_bytes", 8 * GIB), ("device.other_bytes", GIB)),
)
SCRIPT = BisectRequest(target=Target.SCRIPT, script="train.py", device="virtual:t4")


def _failed(stage: Stage, steps: int) -> TrialAnswer:
    return TrialAnswer(
        id="T-01", end=TrialEnd.FAILED, stage=stage, steps_done=steps,
        error=ScriptError(type="RuntimeError", message="x", traceback="x"), stages=(), effective=(), metrics=(),
        peak=Unavailable(reason="not told"),
    )  # fmt: skip


def test_a_level_wins_over_the_failing_settings_and_none_gives_the_card_its_own_size_back() -> None:
    asked = make_requests(CONFIG)((("train.batch_size", 2), ("device.memory_bytes", None)))
    assert dict(asked.settings) == {"device.other_bytes": GIB, "train.batch_size": 2}


def test_a_real_card_is_told_nothing_of_its_size() -> None:
    real = BisectRequest(target=Target.CONFIG, device="cuda", base=(("device.vmm", False), ("env.A", None)))
    assert make_requests(real)(()).settings == (("env.A", None),)


def test_the_first_trial_of_a_script_runs_until_it_fails_and_looks_for_everything() -> None:
    asked = discovery(make_requests(SCRIPT)(()))
    assert asked.steps >= 1000
    assert (asked.watch, asked.growth_steps) == (WATCHED, asked.steps)


def test_later_trials_of_a_script_go_one_step_past_the_one_that_failed() -> None:
    ask = ordinary(_failed(Stage.STEP_3, 7), ErrorFamily.OOM_TORCH, grows=False)
    assert ask(make_requests(SCRIPT)(())).steps == 8
    assert ask(make_requests(SCRIPT)(())).growth_steps == 0
    assert (
        ordinary(_failed(Stage.STEP_3, 7), ErrorFamily.OOM_TORCH, grows=True)(make_requests(SCRIPT)(())).growth_steps
        == 8
    )


def test_a_driver_error_needs_no_more_than_the_stage_after_it_and_running_out_of_memory_needs_all() -> None:
    driver = ordinary(_failed(Stage.PLACE_LLM, 0), ErrorFamily.CUDA_DRIVER, grows=False)
    assert driver(make_requests(CONFIG)(())).stop_after is Stage.PLACE_REC
    memory = ordinary(_failed(Stage.PLACE_LLM, 0), ErrorFamily.OOM_TORCH, grows=False)
    assert memory(make_requests(CONFIG)(())).stop_after is Stage.DONE


def test_on_the_roomy_card_nobody_else_is_and_nothing_runs_out() -> None:
    asked = roomy(make_requests(CONFIG)(()), 6)
    assert dict(asked.settings) == {"device.memory_bytes": ROOMY_BYTES, "device.other_bytes": 0}
    assert (asked.steps, asked.growth_steps, asked.watch) == (6, 6, ())


def test_two_holders_are_let_go_together_and_each_is_still_told() -> None:
    asked = make_requests(SCRIPT)((("apply.release:script:a", True), ("apply.release:script:b.c", True)))
    assert dict(asked.settings)["apply.release"] == ("script:a", "script:b.c")
    assert dict(asked.settings)["apply.release:script:a"] is True
