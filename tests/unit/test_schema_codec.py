"""The JSON form of the records: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ilora_diag import schema as s
from ilora_diag.schema import SchemaError, from_data, from_json, to_data, to_json

DOCUMENTS: tuple[Any, ...] = (
    s.Facts,
    s.Probe,
    s.Intent,
    s.Trial,
    s.Finding,
    s.MemoryTimeline,
    s.TrainRun,
    s.Report,
)
RECORDS = [
    found for found in vars(s).values() if isinstance(found, type) and is_dataclass(found) and found is not s.Codec
]
TRIAL = s.Trial(
    id="T-01",
    probe="train",
    requested=(("train.lr", 0.1), ("lora.target_modules", ("q", "v"))),
    effective=s.Unavailable(reason="it never started", source="config.effective.yaml"),
    status=s.Status.OK,
    started_at=1.0,
    seconds=2.0,
    metrics=(s.Metric(name="steps", value=3, unit="1"),),
)


@pytest.fixture(scope="module")
def v1(repo_root: Path) -> Path:
    return repo_root / "tests" / "fixtures" / "schema" / "v1"


def changed(**values: object) -> str:
    return json.dumps({**to_data(TRIAL), **values})


@pytest.mark.parametrize("cls", DOCUMENTS, ids=lambda cls: cls.SCHEMA)
def test_a_file_of_schema_version_1_loads_and_loses_nothing(cls: Any, v1: Path) -> None:
    text = (v1 / f"{cls.SCHEMA}.json").read_text()
    record = from_json(cls, text)
    written = json.loads(to_json(record))
    assert {**written, "schema_version": "1.0"} == json.loads(text)


def test_every_kind_has_its_file_of_version_1(v1: Path) -> None:
    assert {path.stem for path in v1.glob("*.json")} == {cls.SCHEMA for cls in DOCUMENTS}


def test_the_values_of_an_old_file_are_the_ones_meant(v1: Path) -> None:
    report = from_json(s.Report, (v1 / "report.json").read_bytes())
    trial, run = report.trials[0], report.train
    assert trial.status is s.Status.OOM
    assert trial.signature is not None
    assert trial.signature.family is s.ErrorFamily.OOM_TORCH
    assert trial.requested[1] == ("lora.target_modules", ("q_proj", "v_proj"))
    assert run is not None
    assert isinstance(run.steps, tuple)
    assert run.steps[0].grad_norm == s.Unavailable(
        reason="grad_norm of the step event is null", source="runlog.jsonl:9"
    )
    assert isinstance(run.environment, s.TrainerEnvironment)
    assert run.environment.torch_cuda is None
    assert report.timelines[0].peak.internal_fragmentation_bytes == (1 << 20) - 1_000_000  # type: ignore[union-attr]


def test_a_document_names_its_schema_and_version_first() -> None:
    assert list(to_data(TRIAL))[:2] == ["schema", "schema_version"]
    assert to_data(TRIAL)["schema"] == "ilora-diag/trial"
    assert to_data(TRIAL)["schema_version"] == s.SCHEMA_VERSION == "1.0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "document is '': allowed is JSON (Expecting value: line 1 column 1 (char 0))"),
        ('{"a": ', "document is '{\"a\": ': allowed is JSON (Expecting value: line 1 column 7 (char 6))"),
        ("[1]", "document is [1]: allowed is an object with schema 'ilora-diag/trial'"),
        ("{}", "schema is missing: allowed is 'ilora-diag/trial'"),
        (changed(schema="ilora-diag/facts"), "schema is 'ilora-diag/facts': allowed is 'ilora-diag/trial'"),
        (changed(schema_version="2.0"), "at most 1.x; a newer ilora-diag wrote this, update to read it"),
        (changed(schema_version="0.9"), "schema_version is '0.9': allowed is 1.0 to 1.x"),
        (changed(schema_version=1), "schema_version is 1: allowed is MAJOR.MINOR"),
        (changed(status="fine"), "status is 'fine': allowed is ok | same | other | invalid | oom"),
        (changed(status=["ok"]), "status is ['ok']: allowed is ok | same"),
        (changed(id=None), "id is None: allowed is a string"),
        (changed(exit_code=True), "exit_code is True: allowed is integer or null"),
        (changed(seconds="2"), "seconds is '2': allowed is number or unavailable"),
        (changed(started_at={"float": "12"}), "started_at is {'float': '12'}: allowed is a number"),
        (changed(started_at=10**400), "allowed is a number"),
        (changed(seconds={"unavailable": ""}), "seconds is {'unavailable': ''}: allowed is {\"unavailable\": reason"),
        (changed(effective={"unavailable": "x", "source": 1}), "effective.source is 1: allowed is a string"),
        (changed(requested=[["a"]]), "requested[0] is ['a']: allowed is an array of 2"),
        (
            changed(requested=[["a", {}]]),
            "requested[0][1] is {}: allowed is string or integer or number or boolean or null or array",
        ),
        (changed(requested={}), "requested is {}: allowed is an array"),
        (changed(metrics=[{"name": "m", "value": 1}]), "metrics[0].unit is missing: allowed is a value"),
        (changed(metrics=["m"]), "metrics[0] is 'm': allowed is an object"),
        (changed(signature={"family": "x"}), "signature.family is 'x': allowed is oom_torch"),
        (changed(seconds=-1.0), "seconds >= 0, got -1.0"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place_and_what_would(text: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        from_json(s.Trial, text)
    assert message in str(caught.value)


def test_a_broken_law_in_a_file_is_a_schema_error_and_not_a_crash(v1: Path) -> None:
    document = json.loads((v1 / "memory-timeline.json").read_text())
    document["samples"][1]["reserved_bytes"] = 7
    with pytest.raises(SchemaError, match=r"samples\[1\] is .*requested <= allocated <= active <= reserved"):
        from_data(s.MemoryTimeline, document)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"a":' * 200_000, '{"schema": NaN}', "9" * 10_000, b"\xff\xfe\x00", b'{"schema": "\xff"}'],
    ids=["deep array", "deep object", "NaN", "endless number", "no text", "no UTF-8"],
)
def test_hostile_text_is_refused_in_words(text: str | bytes) -> None:
    with pytest.raises(SchemaError) as caught:
        from_json(s.Trial, text)
    assert len(str(caught.value)) < 300


def test_a_default_stands_for_a_field_an_older_minor_version_did_not_write() -> None:
    document = to_data(TRIAL)
    del document["fingerprint"], document["metrics"]
    assert from_data(s.Trial, document) == replace(TRIAL, metrics=())


def test_a_whole_number_is_read_where_a_float_belongs() -> None:
    seconds = from_json(s.Trial, changed(seconds=2)).seconds
    assert (seconds, type(seconds)) == (2.0, float)


def test_an_upgrader_reaches_its_record_inside_another() -> None:
    def metric_from_1(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "unit": {"B": "bytes"}[old["unit"]]}

    def trial_from_2(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "probe": old.pop("question")}

    codec = s.Codec(major=3, minor=0, upgraders={(s.Metric, 1): metric_from_1, (s.Trial, 2): trial_from_2})
    old = to_data(replace(TRIAL, metrics=(s.Metric(name="m", value=1, unit="B"),)))
    old["question"] = old.pop("probe")
    new = codec.from_data(s.Trial, old)
    assert (new.probe, new.metrics[0].unit) == ("train", "bytes")
    assert codec.to_data(new)["schema_version"] == "3.0"


def test_two_arms_that_look_alike_in_json_are_refused_when_the_record_is_first_used() -> None:
    @dataclass(frozen=True)
    class Ambiguous:
        SCHEMA: ClassVar[str] = "ambiguous"
        value: s.Metric | s.Decider

    Ambiguous.__annotations__["value"] = s.Metric | s.Decider  # a local class: its names cannot be looked up
    with pytest.raises(TypeError, match=r"two arms of .* are written as object"):
        from_data(Ambiguous, {"schema": "ilora-diag/ambiguous", "schema_version": "1.0", "value": {}})


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_records_are_frozen_slotted_and_built_by_keyword(cls: Any) -> None:
    assert "__slots__" in vars(cls)
    assert cls.__dataclass_params__.frozen
    assert all(spec.kw_only for spec in fields(cls))


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TRIAL.status = s.Status.OOM  # type: ignore[misc]
