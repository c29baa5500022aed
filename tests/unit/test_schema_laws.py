"""Each record refuses the values that contradict each other; the nearest ones that do not are accepted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ilora_diag import schema as s
from ilora_diag.schema import LawError, Unavailable
from ilora_diag.schema.known import is_ordered, value_or

UNKNOWN = Unavailable(reason="not asked")
SIGNATURE = s.FailureSignature(family=s.ErrorFamily.PYTHON, stage="train", top_frame="a.py:f", code="ValueError")
TRIAL = s.Trial(
    id="T-01", probe="p", requested=(), effective=(), status=s.Status.OK, started_at=0.0, seconds=0.0, reason=""
)
METRIC = s.Metric(name="m", value=1, unit="1")
FINDING = s.Finding(
    code="X001",
    category="unknown",
    severity=s.Severity.NOTE,
    confidence=s.Confidence.HYPOTHESIS,
    title="t",
    consequence="c",
)
EVIDENCE = s.Evidence(path="facts:a", observed=1, expected="2", source="s")
EVAL = s.EvalMetric(
    name="hr@1",
    value=0.5,
    low=0.4,
    high=0.6,
    num_samples=10,
    num_correct=5,
    chance=UNKNOWN,
    split="test",
)
DEVICE = s.DeviceMemory(allocated_bytes=1, reserved_bytes=2, peak_allocated_bytes=3, peak_reserved_bytes=4)
ERROR = s.TrainError(phase="train", type="E", message="", traceback="")
OUTCOME = s.TrainOutcome(state=s.TrainState.FINISHED, last_phase="eval", resume_from=UNKNOWN)
MODEL = s.ModelSummary(llm="x", dtype="float32", num_parameters=9, num_trainable=3, trainable_by_group=(("a", 3),))
REPORT = s.Report(run_id="r", kind="train", created_at=0.0, tool_version="0", facts=UNKNOWN)
STEP = s.Step(
    step=1,
    loss=1.0,
    lr=1.0,
    grad_norm=1.0,
    num_tokens=1,
    num_samples=1,
    seconds=1.0,
    tokens_per_s=1.0,
    hybrid=0.0,
    rss_bytes=1,
    device=UNKNOWN,
)
RUN = s.TrainRun(
    run_id="r",
    started_at=1.0,
    ended_at=2.0,
    num_attempts=1,
    requested=UNKNOWN,
    effective=UNKNOWN,
    environment=UNKNOWN,
    data=UNKNOWN,
    model=UNKNOWN,
    plan=UNKNOWN,
    phases=(),
    steps=(STEP, replace(STEP, step=2)),
    metrics=UNKNOWN,
    outcome=OUTCOME,
)
PROBE = s.Probe(name="n", module="m", question="q", needs_device=False, deadline_s=1.0)
BLOCK = s.Block(
    size_bytes=4,
    requested_bytes=3,
    state=s.BlockState.ACTIVE_ALLOCATED,
    category=s.Category.INPUT,
    module="m",
    op="o",
)


@pytest.mark.parametrize(
    ("record", "changes", "law"),
    [
        (UNKNOWN, {"reason": ""}, "has a reason"),
        (s.Fact(path="a", value=1, source="s"), {"path": ""}, "has a path"),
        (s.Facts(captured_at=0.0), {"facts": (s.Fact(path="a", value=1, source="s"),) * 2}, "every fact stands once"),
        (PROBE, {"deadline_s": 0.0}, "deadline_s is positive"),
        (s.Intent(id="T", probe="p", requested=(), started_at=0.0), {"id": ""}, "has an id"),
        (TRIAL, {"id": ""}, "has an id"),
        (TRIAL, {"seconds": -0.1}, "seconds >= 0"),
        (TRIAL, {"seconds": float("nan")}, "seconds >= 0"),
        (TRIAL, {"signature": SIGNATURE}, "no failure signature"),
        (TRIAL, {"status": s.Status.OOM}, "oom has a signature"),
        (TRIAL, {"status": s.Status.SAME}, "same has a signature"),
        (TRIAL, {"status": s.Status.OTHER}, "other has a signature"),
        (TRIAL, {"status": s.Status.SKIPPED}, "skipped has a reason"),
        (TRIAL, {"status": s.Status.INVALID}, "invalid has a reason"),
        (TRIAL, {"status": s.Status.GARBLED}, "garbled has a reason"),
        (TRIAL, {"status": s.Status.CONTAMINATED}, "contaminated has a reason"),
        (TRIAL, {"exit_code": 0, "signal": "SIGKILL"}, "by an exit code or by a signal"),
        (TRIAL, {"metrics": (METRIC, METRIC)}, "every metric stands once"),
        (FINDING, {"code": ""}, "has a code"),
        (FINDING, {"confidence": s.Confidence.CONFIRMED}, "confirmed names its evidence"),
        (FINDING, {"confidence": s.Confidence.STRONGLY_SUGGESTED}, "strongly_suggested names its evidence"),
        (FINDING, {"confidence": s.Confidence.UNKNOWN}, "says what would decide it"),
        (EVAL, {"low": 0.51}, "low <= value <= high"),
        (EVAL, {"high": 0.49}, "low <= value <= high"),
        (EVAL, {"value": UNKNOWN, "low": 0.7}, "low <= value <= high"),
        (EVAL, {"num_correct": 11}, "no more correct than samples"),
        (EVAL, {"name": ""}, "has a name"),
        (DEVICE, {"allocated_bytes": -1}, "allocated_bytes is not negative"),
        (DEVICE, {"allocated_bytes": 3}, "allocated <= reserved"),
        (DEVICE, {"peak_allocated_bytes": 5}, "peak allocated <= peak reserved"),
        (DEVICE, {"peak_allocated_bytes": 0}, "now <= peak"),
        (DEVICE, {"reserved_bytes": 5}, "now <= peak"),
        (OUTCOME, {"state": s.TrainState.FAILED}, "a failed run has an error"),
        (OUTCOME, {"error": ERROR}, "a failed run has an error"),
        (MODEL, {"num_trainable": 4}, "the groups sum to 3, trainable are 4"),
        (MODEL, {"num_parameters": 2}, "no more parameters train than there are"),
        (RUN, {"ended_at": 0.0}, "ends after it starts"),
        (RUN, {"steps": (STEP, STEP)}, "every step stands once"),
        (RUN, {"steps": (replace(STEP, step=2), STEP)}, "steps are in order"),
        (REPORT, {"run_id": ""}, "has a run id"),
        (REPORT, {"kind": ""}, "has a kind"),
        (REPORT, {"trials": (TRIAL, TRIAL)}, "every trial stands once"),
        (BLOCK, {"requested_bytes": 5}, "0 <= requested_bytes <= size_bytes"),
        (BLOCK, {"requested_bytes": -1}, "0 <= requested_bytes <= size_bytes"),
        (BLOCK, {"state": s.BlockState.INACTIVE}, "nothing is requested of an inactive block"),
    ],
)
def test_a_contradiction_is_refused_in_words(record: Any, changes: dict[str, Any], law: str) -> None:
    with pytest.raises(LawError) as caught:
        replace(record, **changes)
    assert law in str(caught.value)


def test_no_more_bad_rows_are_shown_than_were_counted() -> None:
    row = s.BadRow(file="f", line=1, reason="r")
    counts: dict[str, Any] = dict.fromkeys(("source", "licence", "num_users", "num_items", "num_interactions"), UNKNOWN)
    s.DataSummary(rows=UNKNOWN, num_bad_rows=1, bad_rows=(row,), **counts)
    with pytest.raises(LawError, match="no more bad rows"):
        s.DataSummary(rows=UNKNOWN, num_bad_rows=0, bad_rows=(row,), **counts)


def test_a_peak_of_unknown_size_is_no_peak() -> None:
    sample = s.MemorySample(
        t_s=0.0,
        step=0,
        phase="load",
        requested_bytes=UNKNOWN,
        allocated_bytes=UNKNOWN,
        active_bytes=UNKNOWN,
        reserved_bytes=UNKNOWN,
        device_used_bytes=0,
    )
    with pytest.raises(LawError, match="the bytes allocated at a peak are known"):
        s.Peak(sample=sample, by_category=(), by_module=(), segments=UNKNOWN)


def test_the_peak_is_one_of_the_samples_and_they_are_in_order() -> None:
    sample = s.MemorySample(
        t_s=1.0,
        step=1,
        phase="forward",
        requested_bytes=0,
        allocated_bytes=0,
        active_bytes=0,
        reserved_bytes=8,
        device_used_bytes=UNKNOWN,
    )
    peak = s.Peak(sample=sample, by_category=(), by_module=(), segments=UNKNOWN)
    timeline = s.MemoryTimeline(device="d", samples=(sample,), peak=peak, num_dropped_events=0)
    assert peak.external_fragmentation_bytes == 8
    assert replace(peak, sample=replace(sample, active_bytes=UNKNOWN)).external_fragmentation_bytes == UNKNOWN
    with pytest.raises(LawError, match="the peak is one of the samples"):
        replace(timeline, samples=(replace(sample, t_s=2.0),))
    with pytest.raises(LawError, match="ordered by time"):
        replace(timeline, samples=(sample, replace(sample, t_s=0.5)))
    with pytest.raises(LawError, match="ordered by step"):
        replace(timeline, samples=(sample, replace(sample, t_s=2.0, step=0)))
    with pytest.raises(LawError, match="num_dropped_events is not negative"):
        replace(timeline, num_dropped_events=-1)


def test_blocks_that_disagree_with_the_sample_are_refused() -> None:
    sample = s.MemorySample(
        t_s=1.0,
        step=1,
        phase="forward",
        requested_bytes=3,
        allocated_bytes=4,
        active_bytes=4,
        reserved_bytes=4,
        device_used_bytes=UNKNOWN,
    )
    shares: dict[str, Any] = {
        "by_category": (s.CategoryShare(category=s.Category.INPUT, size_bytes=4),),
        "by_module": (s.ModuleShare(module="m", size_bytes=4),),
    }
    segments = (s.Segment(size_bytes=4, stream=0, blocks=(BLOCK,)),)
    s.Peak(sample=sample, segments=segments, **shares)
    with pytest.raises(LawError, match="the blocks add up to 3 requested bytes, the sample says 2"):
        s.Peak(sample=replace(sample, requested_bytes=2), segments=segments, **shares)
    with pytest.raises(LawError, match="the blocks add up to 4 reserved bytes, the sample says 5"):
        s.Peak(sample=replace(sample, reserved_bytes=5), segments=segments, **shares)


def test_a_fact_that_was_never_collected_is_unavailable_and_says_so() -> None:
    facts = s.Facts(captured_at=0.0, facts=(s.Fact(path="a", value=None, source="s"),))
    assert facts.get("a") is None
    assert facts.get("b") == Unavailable(reason="not collected", source="b")


def test_the_unknown_neither_breaks_an_order_nor_becomes_a_number() -> None:
    assert is_ordered(1, UNKNOWN, 2)
    assert not is_ordered(2, UNKNOWN, 1)
    assert value_or(UNKNOWN, "?") == "?"
    assert value_or(0, "?") == 0
