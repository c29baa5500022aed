"""The stages of a trial: when the last one asked for is over, and what each took."""

from __future__ import annotations

import time

import pytest

from ilora_diag.schema import Unavailable
from ilora_diag.schema.trial_request import Stage
from probes.run_enough import Enough
from probes.trial_clock import StageClock
from probes.trial_stages import Levels, stage_uses


def clock(stop_after: Stage = Stage.DONE, *, rec_first: bool = False) -> StageClock:
    return StageClock(time.perf_counter(), stop_after, rec_first=rec_first)


def stages(of: StageClock) -> list[Stage]:
    return [span.stage for span in of.spans]


def test_a_trial_ends_where_a_later_stage_than_the_last_one_begins() -> None:
    watch = clock(Stage.FORWARD)
    for stage in (Stage.LOAD, Stage.PLACE_LLM, Stage.FORWARD):
        watch.enter(stage)
    with pytest.raises(Enough):
        watch.enter(Stage.BACKWARD)
    assert watch.stopped
    assert (watch.now, stages(watch)[-1]) == (Stage.FORWARD, Stage.FORWARD)
    assert watch.spans[-1].end_s is not None


def test_the_forward_pass_of_a_second_micro_batch_does_not_end_a_trial_that_wants_backward() -> None:
    watch = clock(Stage.BACKWARD)
    for stage in (Stage.FORWARD, Stage.BACKWARD, Stage.DATA, Stage.FORWARD, Stage.BACKWARD):
        watch.enter(stage)
    with pytest.raises(Enough):
        watch.enter(Stage.OPTIMIZER)


def test_with_the_recommender_first_the_language_model_is_placed_after_it() -> None:
    watch = clock(Stage.PLACE_LLM, rec_first=True)
    watch.enter(Stage.PLACE_REC)
    watch.enter(Stage.PLACE_LLM)
    with pytest.raises(Enough):
        watch.enter(Stage.DATA)
    other = clock(Stage.PLACE_REC, rec_first=True)
    other.enter(Stage.PLACE_REC)
    with pytest.raises(Enough):
        other.enter(Stage.PLACE_LLM)


def test_the_same_stage_again_goes_on() -> None:
    watch = clock()
    watch.enter(Stage.DATA)
    watch.enter(Stage.DATA)
    assert stages(watch) == [Stage.IMPORT, Stage.DATA]


def test_every_stage_is_announced_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    clock().enter(Stage.LOAD)
    assert capfd.readouterr().err.splitlines() == ["[ilora-diag] stage import", "[ilora-diag] stage load"]


def test_a_stage_that_comes_back_is_one_record_with_the_bytes_at_its_last_end() -> None:
    watch, now = clock(), [0]
    watch.position = lambda: now[0]
    for stage, event in ((Stage.FORWARD, 2), (Stage.BACKWARD, 4), (Stage.FORWARD, 6), (Stage.BACKWARD, 8)):
        watch.enter(stage)
        now[0] = event
    watch.close()
    levels = Levels(allocated=[1, 2, 9, 3, 4, 7, 5, 6], reserved=[10, 10, 10, 10, 20, 20, 20, 20])
    uses = {use.stage: use for use in stage_uses(watch.spans, levels, None)}
    forward, backward = uses[Stage.FORWARD], uses[Stage.BACKWARD]
    assert (forward.allocated_bytes, forward.peak_allocated_bytes, forward.reserved_bytes) == (7, 7, 20)
    assert (backward.allocated_bytes, backward.peak_allocated_bytes, backward.peak_reserved_bytes) == (6, 9, 20)
    assert [use.stage for use in stage_uses(watch.spans, levels, None)] == [
        Stage.IMPORT,
        Stage.FORWARD,
        Stage.BACKWARD,
    ]


def test_a_stage_that_failed_has_a_peak_and_no_end() -> None:
    watch, now = clock(), [0]
    watch.position = lambda: now[0]
    watch.enter(Stage.FORWARD)
    now[0] = 2
    watch.close()
    (_, use) = stage_uses(watch.spans, Levels([4, 3], [8, 8]), Stage.FORWARD)
    assert isinstance(use.allocated_bytes, Unavailable)
    assert (use.peak_allocated_bytes, use.peak_reserved_bytes) == (4, 8)
