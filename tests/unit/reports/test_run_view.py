"""A script's run as a document: what it says of a run that something else than memory ended."""

from __future__ import annotations

import pytest

from ilora_diag.schema import Estimate, ScriptEnd, ScriptRun
from ilora_diag.schema.script_run import Moment, ScriptError
from reports.terminal import TerminalRenderer
from reports.view.run import run_document


def told(estimate: Estimate, end: ScriptEnd, *, lang: str = "en", made_up: tuple[str, ...] = ()) -> str:
    ended_well = end in (ScriptEnd.FINISHED, ScriptEnd.STOPPED)
    run = ScriptRun(
        script="train.py",
        args=(),
        device="virtual:t4",
        end=end,
        exit_code=0 if ended_well else 1,
        steps=1,
        steps_counted="optimizer",
        error=None if ended_well else ScriptError(type="builtins.E", message="first", traceback="..."),
        moment=Moment(step=1, phase="forward", module="head", allocated_bytes=1 << 20, reserved_bytes=2 << 20),
        num_refused=0,
        estimate=estimate,
        made_up=made_up,
    )
    renderer = TerminalRenderer(lang, width=None, colour=False, brief=True)
    return renderer.render_document(run_document(run, lang))


@pytest.mark.parametrize("end", [ScriptEnd.FAILED, ScriptEnd.NOT_CARRIED])
def test_a_run_that_was_cut_short_is_no_close_call(fixed_estimates: dict[str, Estimate], end: ScriptEnd) -> None:
    text = told(fixed_estimates["tight"], end)
    assert "that far; whether all of it fits is not known" in text
    assert "too close to say" not in text
    assert "不明" in told(fixed_estimates["tight"], end, lang="ja")


def test_a_run_that_came_to_its_end_may_be_one(fixed_estimates: dict[str, Estimate]) -> None:
    text = told(fixed_estimates["tight"], ScriptEnd.FINISHED)
    assert "too close to say" in text
    assert "Largest batch" not in text
    assert "largest batch unknown" not in text


def test_made_up_values_are_told_where_they_may_be_the_cause(fixed_estimates: dict[str, Estimate]) -> None:
    sentence = "int64 values read from the card are taken to be 0 (2 times)"
    failed = told(fixed_estimates["tight"], ScriptEnd.FAILED, made_up=(sentence,))
    assert f"it had read what nobody computed: {sentence}" in failed
    assert "nobody computed" not in told(fixed_estimates["tight"], ScriptEnd.FINISHED, made_up=(sentence,))
    japanese = told(fixed_estimates["tight"], ScriptEnd.FAILED, lang="ja", made_up=(sentence,))
    assert "カードから読んだ int64 の値は 0 とした" in japanese
