"""`report --check` of an investigation: what holds is passed, and every tampering with text, record or trials fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ilora_diag.engine.bisect_check import check_bisect
from ilora_diag.engine.bisect_claims import claim_problems, resolves
from ilora_diag.schema import Status
from ilora_diag.schema.bisect import Bisect
from reports.blocks import Bullets, Document, Paragraph, Section, Table, link
from reports.write import write_bisect

NAMES = ("others", "driver", "outside", "leak")


@pytest.fixture
def folder(bisections: SimpleNamespace, tmp_path: Path) -> Path:
    """A run folder with the report of a found cause."""
    return written(bisections, "others", tmp_path, "en")


def written(bisections: SimpleNamespace, name: str, folder: Path, lang: str) -> Path:
    record: Bisect = bisections.write_folder(bisections.fixed_bisections()[name], folder)
    write_bisect(record, folder, lang)
    return folder


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("name", NAMES)
def test_a_written_report_holds(name: str, lang: str, bisections: SimpleNamespace, tmp_path: Path) -> None:
    assert check_bisect(written(bisections, name, tmp_path, lang)) == ()


def test_a_folder_without_a_report_is_said_to_be_one(tmp_path: Path) -> None:
    (problem,) = check_bisect(tmp_path)
    assert problem.startswith("cannot read the report")


def _in_markdown(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "report.md"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def _in_record(change: Callable[[dict], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    """Change the record and write the report anew from it, so that the text agrees with the tampered record."""

    def tamper(folder: Path) -> None:
        from ilora_diag.schema import from_json

        path = folder / "bisect.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        change(data)
        write_bisect(from_json(Bisect, json.dumps(data)), folder, "en")

    return tamper


def _in_file(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text, count=1), encoding="utf-8")

    return change


def _confidence(data: dict) -> None:  # type: ignore[type-arg]
    data["cause"]["confidence"] = "strongly_suggested"


def _peak_of_effect(data: dict) -> None:  # type: ignore[type-arg]
    data["effects"][0]["peak_reserved_bytes"] += 1 << 20


def _drop_trial(data: dict) -> None:  # type: ignore[type-arg]
    data["trials"], data["steps"] = data["trials"][:-1], data["steps"][:-1]
    data["num_trials"] -= 1


def _confound(data: dict) -> None:  # type: ignore[type-arg]
    """The passing side of the boundary also had another torch."""
    passing = data["boundary"]["pass"]
    trial = next(trial for trial in data["trials"] if trial["id"] == passing)
    for setting in trial["effective"]:
        if setting[0] == "version.torch":
            setting[1] = "2.1.2+cu118"


def _other_peak(data: dict) -> None:  # type: ignore[type-arg]
    data["failed_request"]["free_bytes"] += 4096


TAMPERINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a number in the text": (_in_markdown("148 MiB", "149 MiB"), "report.md is not what bisect.json renders to"),
    "a sentence in the text": (_in_markdown("it passes.", "it usually passes."), "is not what bisect.json renders to"),
    "an evidence id dropped": (_in_markdown(", [T-05](trials/T-05/answer.json)", ""), "is not what bisect.json"),
    "a broken link": (_in_markdown("(trials/T-05/answer.json)", "(trials/T-55/a.json)"), "is not what bisect.json"),
    "an outcome in the journal": (
        _in_file("journal.jsonl", r'("id": "T-05".*?)"status": "ok"', r'\1"status": "timed_out"'),
        "T-05.status is",
    ),
    "a number in the journal": (_in_file("journal.jsonl", r'"seconds": 9\.1', '"seconds": 9.2'), "T-01.seconds is"),
    "a number in an answer": (
        _in_file("trials/T-05/answer.json", r'("value": )\d+', r"\g<1>1048576"),
        "peak_reserved_bytes is",
    ),
    "an outcome in an answer": (
        _in_file("trials/T-05/answer.json", '"end": "passed"', '"end": "refused"'),
        "trials/T-05/answer.json was changed",
    ),
    "a trial file deleted": (lambda folder: (folder / "trials/T-05/answer.json").unlink(), "answer.json cannot be"),
    "the journal deleted": (lambda folder: (folder / "journal.jsonl").unlink(), "cannot read the journal"),
    "a figure deleted": (lambda folder: next((folder / "figures").glob("*.svg")).unlink(), "does not exist"),
    "a confidence in the record": (_in_record(_confidence), "the trials make the cause confirmed"),
    "an effect in the record": (_in_record(_peak_of_effect), "the effects of single factors are not those"),
    "a trial left out of the record": (_in_record(_drop_trial), "is in the journal and not in bisect.json"),
    "a confounded pair": (_in_record(_confound), "differ in version.torch as well as in other_processes"),
    "the request that failed": (_in_record(_other_peak), "failed_request is not what any trial says"),
    "a secret in the text": (_in_markdown("## 5.", "HF_TOKEN=hf_abcdefghijklmnopqr\n\n## 5."), "password or a token"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_seen(what: str, folder: Path) -> None:
    tamper, told = TAMPERINGS[what]
    tamper(folder)
    problems = check_bisect(folder)
    assert any(told in problem for problem in problems), problems


def test_paths_that_were_redacted_in_the_record_agree_with_the_journal(
    bisections: SimpleNamespace, tmp_path: Path
) -> None:
    record = bisections.fixed_bisections()["others"]
    home = ("data.path", "/home/somebody/data/table.csv")
    told = ("data.path", "~/data/table.csv")
    full = replace(record, trials=tuple(_with(trial, home) for trial in record.trials), base=(*record.base, home))
    kept = bisections.write_folder(full, tmp_path)
    short = tuple(_with(trial, told) for trial in record.trials)
    write_bisect(replace(kept, trials=short, base=(*record.base, told)), tmp_path, "en")
    assert check_bisect(tmp_path) == ()


def _with(trial: object, setting: tuple[str, str]) -> object:
    return replace(trial, requested=(*trial.requested, setting), effective=(*trial.effective, setting))  # type: ignore[attr-defined,type-var]


def _document(*blocks: object) -> Document:
    return Document(title="x", lang="en", sections=(Section(title="7. Cause", blocks=blocks),))  # type: ignore[arg-type]


def test_a_claim_without_evidence_is_seen(bisections: SimpleNamespace) -> None:
    record = bisections.fixed_bisections()["others"]
    assert not list(claim_problems(_document(Paragraph(text=("so", link("T-01", "a")))), record, {}))
    for block in (
        Paragraph(text="so"),
        Bullets(items=(("so", link("T-01", "a")), "and so")),
        Table(columns=("a",), rows=(("1",),)),
    ):
        (problem,) = claim_problems(_document(block), record, {})
        assert "no evidence is named" in problem


def test_an_id_that_leads_nowhere_is_seen(bisections: SimpleNamespace) -> None:
    record = bisections.fixed_bisections()["others"]
    data = {"cause": {"factors": [1]}, "outcome": "x"}
    cases = {
        "is no trial": (link("T-99", "trials/T-99/answer.json"),),
        "which is not there": (link("E-fixes.7", "bisect.json", "/fixes/7"),),
        "stands for": (link("E-a", "bisect.json", "/cause"), link("E-a", "bisect.json", "/outcome")),
    }
    for told, spans in cases.items():
        (problem,) = claim_problems(_document(Paragraph(text=spans)), record, data)
        assert told in problem


def test_json_pointers_resolve_as_their_specification_says() -> None:
    data = {"a": [{"b/c": 1, "~": 2}], "": 3}
    assert all(resolves(data, pointer) for pointer in ("/a", "/a/0", "/a/0/b~1c", "/a/0/~0", "/"))
    assert not any(resolves(data, pointer) for pointer in ("", "/a/1", "/a/-", "/b", "/a/0/c"))


def test_the_fixed_records_claim_what_their_trials_bear_out(bisections: SimpleNamespace) -> None:
    from ilora_diag.bisect.certificate import verify

    records = bisections.fixed_bisections()
    assert {name: verify(record) for name, record in records.items()} == dict.fromkeys(NAMES, ())
    assert any(trial.status is Status.INVALID for trial in records["others"].trials)
