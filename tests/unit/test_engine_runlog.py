"""The run log: followed while it grows, and read as the record of a training in which nothing unknown is a number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ilora_diag.engine.runlog import RunFolderError, RunlogTail, begin_train_run, read_settings, read_train_run
from ilora_diag.schema import (
    Checkpoint,
    DeviceMemory,
    EvalMetric,
    TrainRun,
    TrainState,
    Unavailable,
    from_json,
    to_json,
)

MEMORY: dict[str, Any] = {"rss_bytes": 100, "rss_peak_bytes": 120, "device": None}
DEVICE = {"allocated_bytes": 1, "reserved_bytes": 2, "peak_allocated_bytes": 3, "peak_reserved_bytes": 4}


def phase(name: str, status: str, t: float, **more: object) -> dict[str, object]:
    return {"event": "phase", "t": t, "phase": name, "status": status, **MEMORY, **more}


def step(number: int, t: float, **more: object) -> dict[str, object]:
    numbers = {"loss": 3.0, "lr": 1e-3, "grad_norm": 0.5, "seconds": 2.0, "tokens_per_s": 50.0, "hybrid": 0.5}
    counts = {"num_tokens": 100, "num_samples": 4, "rss_bytes": 7, "device": None}
    return {"event": "step", "t": t, "step": number, **numbers, **counts, **more}


ENVIRONMENT = {
    **dict.fromkeys(("python", "torch", "transformers", "peft", "lightning", "platform"), "1.0"),
    "cpu_count": 2,
    "num_threads": 2,
    "device": "cpu",
    "device_name": "x86_64",
    "precision_effective": "fp32",
    "torch_cuda": None,
}
DATA = {
    "source": "ml-100k",
    "licence": "free for research",
    "num_users": 3,
    "num_items": 4,
    "num_interactions": 9,
    "rows": {"train": 5, "val": 1, "test": 1},
    "num_bad_rows": 2,
    "bad_rows": [{"file": "u.item", "line": 7, "reason": "no title"}],
}
MODEL = {
    "llm": "tiny",
    "dtype": "float32",
    "num_parameters": 100,
    "num_trainable": 10,
    "trainable_by_group": {"lora": 6, "router": 4},
}
METRIC = {
    "name": "hr1_scoring",
    "value": 0.5,
    "low": 0.2,
    "high": 0.8,
    "num_samples": 10,
    "num_correct": 5,
    "chance": 0.05,
    "split": "test",
    "note": "n",
}
COMPLETE: list[dict[str, object]] = [
    phase("import", "end", 12.0, seconds=2.0),
    {"event": "environment", "t": 12.0, **ENVIRONMENT},
    phase("data", "begin", 13.0),
    {"event": "data", "t": 13.5, **DATA},
    phase("data", "end", 14.0, seconds=1.0, rss_peak_bytes=130),
    phase("build", "begin", 14.0),
    {"event": "model", "t": 14.0, **MODEL},
    phase("build", "end", 15.0, seconds=1.0),
    phase("train", "begin", 15.0),
    {"event": "train_begin", "t": 15.0, "max_steps": 2, "start_step": 0},
    step(1, 17.0),
    step(2, 19.0, loss=2.5, device=DEVICE),
    {"event": "val_loss", "t": 19.0, "step": 2, "loss": 2.6, "num_samples": 8},
    {"event": "checkpoint", "t": 19.5, "step": 2, "path": "checkpoints/step-2"},
    phase("train", "end", 20.0, seconds=5.0),
    phase("eval", "begin", 20.0),
    {"event": "eval_progress", "t": 20.1, "metric": "hr1_scoring", "done": 10, "total": 10},
    phase("eval", "end", 21.0, seconds=1.0),
    {"event": "metric", "t": 21.0, **METRIC},
    {"event": "artefact", "t": 21.0, "kind": "predictions", "path": "predictions.jsonl"},
    {"event": "warning", "t": 21.0, "text": "mind the gap"},
    {"event": "finished", "t": 22.0, "status": "ok"},
]


def lines(events: list[dict[str, object]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def read(folder: Path, events: list[dict[str, object]]) -> TrainRun:
    (folder / "runlog.jsonl").write_text(lines(events))
    run = read_train_run(folder)
    assert from_json(TrainRun, to_json(run)) == run
    return run


def test_a_complete_log_becomes_a_complete_record(tmp_path: Path) -> None:
    run = read(tmp_path, COMPLETE)
    assert (run.run_id, run.started_at, run.ended_at, run.num_attempts) == (tmp_path.name, 12.0, 22.0, 1)
    assert not isinstance(run.environment, Unavailable)
    assert (run.environment.torch_cuda, run.environment.cpu_count) == (None, 2)
    assert not isinstance(run.data, Unavailable)
    assert run.data.rows == (("train", 5), ("val", 1), ("test", 1))
    assert run.data.bad_rows[0].line == 7
    assert not isinstance(run.model, Unavailable)
    assert run.model.trainable_by_group == (("lora", 6), ("router", 4))
    assert [(found.name, found.seconds, found.started_at) for found in run.phases] == [
        ("import", 2.0, 10.0),
        ("data", 1.0, 13.0),
        ("build", 1.0, 14.0),
        ("train", 5.0, 15.0),
        ("eval", 1.0, 20.0),
    ]
    assert run.phases[1].rss_peak_bytes == 130
    assert not isinstance(run.steps, Unavailable)
    assert [(found.step, found.loss) for found in run.steps] == [(1, 3.0), (2, 2.5)]
    assert run.steps[1].device == DeviceMemory(**DEVICE)
    assert isinstance(run.metrics, tuple)
    assert run.metrics[0] == EvalMetric(**METRIC)  # type: ignore[arg-type]
    assert (run.outcome.state, run.outcome.last_phase) == (TrainState.FINISHED, "eval")
    assert (run.outcome.resume_from, run.outcome.error) == ("checkpoints/step-2", None)
    assert (run.checkpoints, run.val_losses[0].loss) == ((Checkpoint(step=2, path="checkpoints/step-2"),), 2.6)
    assert (run.artefacts[0].path, run.warnings) == ("predictions.jsonl", ("mind the gap",))


def test_an_empty_folder_tells_nothing_and_says_why(tmp_path: Path) -> None:
    run = read_train_run(tmp_path)
    assert (run.num_attempts, run.outcome.state) == (0, TrainState.CUT_OFF)
    reasons = {
        "started_at": "the run log has no event with a time",
        "requested": "there is no config.requested.yaml",
        "effective": "there is no config.effective.yaml",
        "environment": "the run log has no environment event",
        "data": "the run log has no data event",
        "model": "the run log has no model event",
        "plan": "the run log has no train_begin event",
        "steps": "no step was logged; no phase began",
        "metrics": "nothing was evaluated; no phase began",
    }
    assert {name: getattr(run, name).reason for name in reasons} == reasons


@pytest.mark.parametrize("event", [dict(event) for event in COMPLETE], ids=lambda event: event["event"])
def test_an_event_of_nothing_but_its_name_leaves_no_number_behind(event: dict[str, object], tmp_path: Path) -> None:
    run = read(tmp_path, [{"event": event["event"]}])
    text = to_json(run)
    assert run.num_attempts == 1
    for value in (run.environment, run.data, run.model, run.plan):
        numbers = [] if isinstance(value, Unavailable) else [getattr(value, name) for name in value.__slots__]
        assert not [number for number in numbers if isinstance(number, (int, float))], text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"loss": None}, "loss of the step event is null"),
        ({"loss": "3"}, "loss of the step event is not a number"),
        ({"loss": True}, "loss of the step event is not a number"),
        ({"loss": 10**400}, "loss of the step event is not a number"),
    ],
)
def test_a_value_that_is_none_has_a_reason_and_a_place(changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    run = read(tmp_path, [step(1, 1.0, **changes)])
    assert isinstance(run.steps, tuple)
    assert run.steps[0].loss == Unavailable(reason=reason, source="runlog.jsonl:1")
    assert run.steps[0].lr == 1e-3


def test_a_missing_key_is_told_from_a_null(tmp_path: Path) -> None:
    event = step(1, 1.0)
    del event["loss"]
    run = read(tmp_path, [event])
    assert isinstance(run.steps, tuple)
    assert run.steps[0].loss == Unavailable(reason="the step event has no loss", source="runlog.jsonl:1")


def test_values_that_contradict_each_other_are_not_taken(tmp_path: Path) -> None:
    model = {"event": "model", "t": 1.0, **MODEL, "num_trainable": 11}
    metric = {"event": "metric", "t": 1.0, **METRIC, "low": 0.9}
    broken = step(1, 1.0, device={**DEVICE, "reserved_bytes": 0})
    run = read(tmp_path, [model, metric, broken])
    assert isinstance(run.model, Unavailable)
    assert "the groups sum to 10, trainable are 11" in run.model.reason
    assert isinstance(run.metrics, Unavailable)
    assert "low <= value <= high" in run.warnings[0]
    assert isinstance(run.steps, tuple)
    assert isinstance(run.steps[0].device, Unavailable)
    assert "allocated <= reserved" in run.steps[0].device.reason


def test_lines_that_are_no_events_become_warnings_with_their_number(tmp_path: Path) -> None:
    text = '{"event": "st{"event": "phase"}\n[1]\n\xff\n' + lines([step(1, 1.0), {"event": "step", "loss": 1.0}])
    (tmp_path / "runlog.jsonl").write_bytes(text.encode("latin-1"))
    run = read_train_run(tmp_path)
    assert isinstance(run.steps, tuple)
    assert len(run.steps) == 1
    assert [warning.partition(": ")[0] for warning in run.warnings] == [f"runlog.jsonl:{n}" for n in (1, 2, 3, 5)]
    assert "the line is not JSON" in run.warnings[0]
    assert run.warnings[3] == "runlog.jsonl:5: the step event has no step"


def test_a_failed_run_tells_its_error_and_where_to_go_on(tmp_path: Path) -> None:
    error = {"event": "error", "t": 18.0, "phase": "train", "type": "ValueError", "message": "m", "traceback": "tb"}
    run = read(tmp_path, [*COMPLETE[:11], error])
    assert (run.outcome.state, run.outcome.last_phase) == (TrainState.FAILED, "train")
    assert run.outcome.error is not None
    assert run.outcome.error.type == "ValueError"
    train = run.phases[-1]
    assert (train.name, train.seconds) == (
        "train",
        Unavailable(reason="the phase train did not end", source="runlog.jsonl:9"),
    )
    assert run.outcome.resume_from == Unavailable(reason="no checkpoint was written", source="runlog.jsonl")
    assert run.metrics == Unavailable(reason="nothing was evaluated; the last phase was train", source="runlog.jsonl")


def test_a_killed_run_is_cut_off_in_its_innermost_phase(tmp_path: Path) -> None:
    run = read(tmp_path, [*COMPLETE[:11], phase("save", "begin", 18.0)])
    assert (run.outcome.state, run.outcome.last_phase, run.ended_at) == (TrainState.CUT_OFF, "save", 18.0)


@pytest.mark.parametrize(
    "end",
    [
        [{"event": "interrupted", "t": 18.0, "step": 1, "checkpoint": None}],
        [{"event": "interrupted", "t": 18.0}, {"event": "finished", "t": 18.0, "status": "interrupted"}],
        [{"event": "error", "t": 18.0, "phase": "data", "type": "KeyboardInterrupt", "message": "", "traceback": ""}],
    ],
    ids=["interrupted", "interrupted and closed", "before training"],
)
def test_a_stop_on_request_is_no_failure(end: list[dict[str, object]], tmp_path: Path) -> None:
    assert read(tmp_path, [*COMPLETE[:11], *end]).outcome.state is TrainState.INTERRUPTED


def test_a_resumed_run_replaces_what_it_does_again(tmp_path: Path) -> None:
    resumed = [
        phase("import", "end", 32.0, seconds=2.0),
        phase("train", "begin", 33.0),
        {"event": "train_begin", "t": 33.0, "max_steps": 3, "start_step": 1},
        step(2, 34.0, loss=2.0),
    ]
    first = [*COMPLETE[:13], step(3, 20.0, loss=9.0)]
    run = read(tmp_path, [*first, *resumed])
    assert run.num_attempts == 2
    assert isinstance(run.steps, tuple)
    assert [(found.step, found.loss) for found in run.steps] == [(1, 3.0), (2, 2.0)]
    assert run.val_losses == ()
    assert [(found.name, found.attempt) for found in run.phases if found.name in ("import", "train")] == [
        ("import", 1),
        ("train", 1),
        ("import", 2),
        ("train", 2),
    ]
    assert run.outcome.state is TrainState.CUT_OFF


def test_a_recommender_trained_anew_forgets_its_first_attempt(tmp_path: Path) -> None:
    def epoch(number: int, loss: float) -> dict[str, object]:
        return {"event": "rec_epoch", "t": 1.0, "epoch": number, "loss": loss, "val_hr1": 0.1, "seconds": 1.0}

    first = [phase("train_rec", "begin", 1.0), epoch(1, 9.0), epoch(2, 8.0)]
    second = [phase("train_rec", "begin", 2.0), epoch(1, 7.0)]
    run = read(tmp_path, first + second)
    assert [(found.epoch, found.loss) for found in run.rec_epochs] == [(1, 7.0)]


def test_a_clock_that_jumps_back_does_not_end_the_run_before_it_began(tmp_path: Path) -> None:
    run = read(tmp_path, [step(1, 100.0), step(2, 50.0)])
    assert (run.started_at, run.ended_at) == (50.0, 100.0)


def test_what_is_no_folder_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="name one that `ilora-diag train` wrote"):
        read_train_run(tmp_path / "missing")


def test_a_log_is_handed_out_once_and_a_torn_line_waits_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    tail = RunlogTail(path)
    assert tail.poll() == []
    text = lines([step(1, 1.0), step(2, 2.0)])
    for end in range(0, len(text), 50):
        path.write_text(text[:end])
        assert [event.count("step") for event in tail.poll()] in ([], [1])
    path.write_text(text)
    events = tail.poll()
    assert [(event.name, event.line, event.count("step")) for event in events] == [("step", 2, 2)]
    assert tail.poll() == []


def test_a_torn_line_that_a_resumed_trainer_cuts_off_is_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    tail = RunlogTail(path)
    whole = lines([step(1, 1.0)])
    path.write_text(whole + '{"event": "st')
    assert len(tail.poll()) == 1
    path.write_text(whole + lines([step(2, 2.0)]))
    assert [event.count("step") for event in tail.poll()] == [2]


def test_a_run_can_be_followed_while_it_goes_on(tmp_path: Path) -> None:
    builder, tail = begin_train_run(tmp_path), RunlogTail(tmp_path / "runlog.jsonl")
    for end in range(len(COMPLETE) + 1):
        (tmp_path / "runlog.jsonl").write_text(lines(COMPLETE[:end]))
        builder.take(tail.poll())
    assert builder.build() == read_train_run(tmp_path)


def test_settings_are_read_flat_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "config.effective.yaml"
    path.write_text(
        "stage: teacher\ntrain: {lr: 0.0007, deep: {a: null}}\nlora:\n  target_modules: [q, 1, [2]]\nday: 2026-01-02\n"
    )
    assert read_settings(path) == (
        ("stage", "teacher"),
        ("train.lr", 0.0007),
        ("train.deep.a", None),
        ("lora.target_modules", ("q", 1, "[2]")),
        ("day", "2026-01-02"),
    )


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\xfa", b"- 1", b""], ids=["cut", "no text", "a list", "empty"])
def test_settings_that_cannot_be_read_are_unavailable(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.effective.yaml"
    path.write_bytes(content)
    found = read_settings(path)
    assert isinstance(found, Unavailable)
    assert found.source == "config.effective.yaml"
