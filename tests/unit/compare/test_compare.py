"""Two records side by side: what differs, what of it matters, and what cannot be compared at all."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ilora_diag.cli import main
from ilora_diag.compare.compare import NotComparableError, compare
from ilora_diag.compare.subject import Item, Subject, subject_of
from ilora_diag.schema import Estimate, Facts, Unavailable, from_json, to_json
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.compare import Compare, Difference, Group
from reports.markdown import render_document
from reports.view.compare import compare_document
from reports.write import write_estimate

MIB = 1 << 20
PATHS = ("a", "b")


def _subject(record: object) -> Subject:
    subject = subject_of(record)
    assert subject is not None
    return subject


def _compared(a: object, b: object, tolerance: float = 0.01) -> Compare:
    return compare(_subject(a), _subject(b), paths=PATHS, tolerance=tolerance)


def _pair(first: Item, second: Item, group: Group = Group.METRIC, tolerance: float = 0.01) -> Compare:
    a, b = (Subject(kind="train", name="x", items={group: {"n": item}}) for item in (first, second))
    return compare(a, b, paths=PATHS, tolerance=tolerance)


def _named(found: Compare, group: Group) -> dict[str, Difference]:
    return {one.name: one for one in found.differences if one.group is group}


@pytest.mark.parametrize("name", ["opt", "load-oom", "tight"])
def test_a_record_equals_itself(name: str, fixed_estimates: dict[str, Estimate]) -> None:
    found = _compared(fixed_estimates[name], fixed_estimates[name])
    assert found.is_equal
    assert found.differences == ()
    assert dict(found.num_same)[Group.MEMORY] >= 4


def test_what_differs_between_two_estimates_is_told_with_its_bytes(fixed_estimates: dict[str, Estimate]) -> None:
    a, b = fixed_estimates["opt"], fixed_estimates["tight"]
    found = _compared(a, b)
    memory = _named(found, Group.MEMORY)
    assert memory["allocated_bytes"].delta == b.peak.allocated_bytes - a.peak.allocated_bytes
    for group, shares in ((Group.CATEGORY, "by_category"), (Group.MODULE, "by_module"), (Group.OPERATOR, "by_op")):
        change = sum(one.delta for one in _named(found, group).values() if isinstance(one.delta, int))
        totals = [sum(share.size_bytes for share in getattr(one, shares)) for one in (a, b)]
        assert change == totals[1] - totals[0]
    assert not found.is_equal


def test_swapping_the_sides_turns_the_signs(fixed_estimates: dict[str, Estimate]) -> None:
    a, b = fixed_estimates["opt"], fixed_estimates["tight"]
    there, back = _compared(a, b), _compared(b, a)

    def told(found: Compare, sign: int) -> set[tuple[object, ...]]:
        return {
            (one.group, one.name, one.matters, sign * one.delta)
            for one in found.differences
            if not isinstance(one.delta, Unavailable)
        }

    assert told(there, 1) == told(back, -1)


def test_a_changed_setting_matters_however_small(fixed_estimates: dict[str, Estimate]) -> None:
    opt = fixed_estimates["opt"]
    settings = tuple((key, 0.01 if key == "train.batch_size" else value) for key, value in opt.settings)
    more = replace(opt, settings=(*settings, ("--out", "elsewhere")))
    effective = _named(_compared(opt, more), Group.EFFECTIVE)
    assert list(effective) == ["train.batch_size"]
    assert effective["train.batch_size"].matters


@pytest.mark.parametrize(
    ("first", "second", "matters"),
    [
        (Item(value=100.0, unit="1"), Item(value=100.9, unit="1"), False),
        (Item(value=100.0, unit="1"), Item(value=102.0, unit="1"), True),
        (Item(value=0, unit="1"), Item(value=1, unit="1"), True),
        (Item(value=1.0, unit="s", counts=False), Item(value=9.0, unit="s", counts=False), False),
        (Item(value=900 * MIB, unit="bytes"), Item(value=901 * MIB, unit="bytes"), False),
        (Item(value=900 * MIB, unit="bytes"), Item(value=950 * MIB, unit="bytes"), True),
        (Item(value=0.2, unit="1", interval=(0.1, 0.4)), Item(value=0.3, unit="1", interval=(0.2, 0.5)), False),
        (Item(value=0.2, unit="1", interval=(0.1, 0.3)), Item(value=0.6, unit="1", interval=(0.5, 0.7)), True),
        (Item(value=True), Item(value=False), True),
        (Item(value="a"), Item(value=Unavailable(reason="lost")), True),
        (Item(value=32), Item(value=33), True),
    ],
)
def test_what_matters(first: Item, second: Item, matters: bool) -> None:
    found = _pair(first, second)
    assert [one.matters for one in found.differences] == [matters]
    assert found.is_equal is not matters


def test_two_unknowns_are_no_difference_even_with_other_reasons() -> None:
    found = _pair(Item(value=Unavailable(reason="x")), Item(value=Unavailable(reason="y")))
    assert found.differences == ()


def test_the_tolerance_is_what_was_asked_for() -> None:
    assert not _pair(Item(value=100.0, unit="1"), Item(value=104.0, unit="1")).is_equal
    assert _pair(Item(value=100.0, unit="1"), Item(value=104.0, unit="1"), tolerance=0.05).is_equal


def test_investigations_are_compared_by_cause_and_outcome(fixed_bisects: dict[str, Bisect]) -> None:
    outcome = _named(_compared(fixed_bisects["batch"], fixed_bisects["leak"]), Group.OUTCOME)
    assert (outcome["category"].a, outcome["category"].b) == ("batch_too_large", "retained_outputs")
    assert "outcome" not in outcome
    assert _compared(fixed_bisects["batch"], fixed_bisects["batch"]).is_equal


def test_what_only_one_side_tells_is_said_and_not_counted(fixed_bisects: dict[str, Bisect]) -> None:
    found = _compared(fixed_bisects["batch"], fixed_bisects["allocator"])
    skipped = {entry.what: entry.reason for entry in found.not_compared}
    assert skipped["memory"] == "b: nothing was allocated before the failure"
    assert _named(found, Group.MEMORY) == {}


def test_an_investigation_and_an_estimate_are_refused(
    fixed_bisects: dict[str, Bisect], fixed_estimates: dict[str, Estimate]
) -> None:
    with pytest.raises(NotComparableError, match=r"kind bisect.*kind estimate.*allowed are"):
        _compared(fixed_bisects["batch"], fixed_estimates["opt"])


def test_two_without_a_common_value_are_refused() -> None:
    a = Subject(kind="train", name="x", items={}, missing={Group.MEMORY: "the run used no CUDA device"})
    b = Subject(kind="estimate", name="y", items={Group.MEMORY: {"allocated_bytes": Item(value=1, unit="bytes")}})
    with pytest.raises(NotComparableError, match="no value in common: memory: a: the run used no CUDA device"):
        compare(a, b, paths=PATHS, tolerance=0.0)


def test_between_kinds_only_what_both_name_is_held_against_each_other(fixed_estimates: dict[str, Estimate]) -> None:
    a, b = _subject(fixed_estimates["opt"]), _subject(fixed_estimates["opt"])
    b.kind = "run"
    b.items[Group.VERSIONS] = {"torch": Item(value="9.9"), "python": Item(value="3.11")}
    found = compare(a, b, paths=PATHS, tolerance=0.0)
    assert list(_named(found, Group.VERSIONS)) == ["torch"]
    assert [entry.what for entry in found.not_compared] == ["outcome"]


def test_no_record_of_a_run_has_no_subject() -> None:
    assert subject_of(Facts(captured_at=Unavailable(reason="x"))) is None


def test_the_record_reads_back(fixed_estimates: dict[str, Estimate]) -> None:
    found = _compared(fixed_estimates["opt"], fixed_estimates["tight"])
    assert from_json(Compare, to_json(found)) == found
    assert {spec.name for spec in fields(found)} <= set(json.loads(to_json(found)))


def test_both_languages_tell_the_same_values(fixed_estimates: dict[str, Estimate]) -> None:
    found = _compared(fixed_estimates["opt"], fixed_estimates["tight"])
    english, japanese = (render_document(compare_document(found, lang)) for lang in ("en", "ja"))
    first, second = (
        [re.findall(r"\d[\d.,]*", line) for line in text.splitlines() if line.startswith("| `")]
        for text in (english, japanese)
    )
    assert first == second
    assert "more; --json has all of them" in render_document(compare_document(found, "en", top=2))


def told(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["compare", *map(str, args)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_folders_and_documents_are_compared_and_the_status_tells(
    tmp_path: Path, fixed_estimates: dict[str, Estimate], capsys: pytest.CaptureFixture[str]
) -> None:
    write_estimate(fixed_estimates["opt"], tmp_path, "en")
    document = tmp_path / "other.json"
    document.write_text(to_json(fixed_estimates["tight"]), encoding="utf-8")
    assert told(tmp_path, tmp_path / "estimate.json", "--lang", "en") == 0
    assert "Equal: no difference matters" in capsys.readouterr().out
    assert told(tmp_path, document, "--json") == 1
    assert json.loads(capsys.readouterr().out)["schema"] == "ilora-diag/compare"
    assert told(tmp_path, document, "--md", "--lang", "ja") == 1
    assert capsys.readouterr().out.startswith("# ")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{}", "without a schema"),
        ('{"schema": "ilora-diag/facts"}', "allowed are ilora-diag/report"),
        ("no json", "no document of ours"),
        ("[1]", "without a schema"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_can(
    content: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(content, encoding="utf-8")
    assert told(tmp_path / "x.json", tmp_path / "x.json") == 2
    assert complaint in capsys.readouterr().err


def test_missing_and_empty_paths_are_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(tmp_path, tmp_path) == 2
    assert "holds no run" in capsys.readouterr().err
    assert told(tmp_path / "x", tmp_path / "y") == 2
    assert "no such file" in capsys.readouterr().err
    assert told(tmp_path, tmp_path, "--json", "--md") == 2
