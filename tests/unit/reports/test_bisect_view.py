"""Investigation reports: whole for every outcome, honest about what was not shown, and with words for everything."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ilora_diag.bisect.catalogue import INTERVENTIONS, NEW_CATEGORIES
from ilora_diag.bisect.certificate import verify
from ilora_diag.bisect.costs import COSTS
from ilora_diag.bisect.guarantees import TEXTS
from ilora_diag.bisect.words import GROUNDS, UNSURE, unsure
from ilora_diag.engine.bisect_claims import claim_problems
from ilora_diag.schema import Confidence, ErrorFamily, Status, Unavailable, to_json
from ilora_diag.schema.bisect import Bisect, Guarantee, Outcome, Purpose, Reproduction
from ilora_diag.schema.trial_request import Stage
from reports.markdown import render_document
from reports.messages import LANGUAGES, Words
from reports.view.bisect import bisect_document, bisect_headline
from reports.view.bisect_live import factors_line, trial_line

LANGS = tuple(LANGUAGES)
OPEN = tuple(outcome for outcome in Outcome if outcome is not Outcome.CAUSE_FOUND)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def records(bisections: SimpleNamespace) -> dict[str, Bisect]:
    made: dict[str, Bisect] = bisections.fixed_bisections()
    return made


def told(record: Bisect, lang: str = "en") -> str:
    return render_document(bisect_document(record, lang))


def section(text: str, title: str) -> str:
    """From a heading to the next one."""
    start = text.index(title)
    return text[start : text.index("\n#", start + 1)]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("outcome", OPEN)
def test_a_report_without_a_cause_is_whole_and_says_what_to_type(
    outcome: Outcome, lang: str, records: dict[str, Bisect]
) -> None:
    found = records["others"]
    record = replace(found, outcome=outcome, cause=None, boundary=None, fixes=(), suspects=("seq_len", "batch_size"))
    document = bisect_document(record, lang)
    text = render_document(document)
    assert [f"{number}. " in text for number in range(12)] == [True] * 12
    summary = section(text, "## 1. ")
    assert "`ilora-diag " in summary
    assert list(claim_problems(document, record, json.loads(to_json(record)))) == []
    interim = outcome in (Outcome.BUDGET_SPENT, Outcome.INTERRUPTED)
    assert (Words(lang)("bisect.status.interim") in text) == interim
    if outcome in (Outcome.BUDGET_SPENT, Outcome.INTERRUPTED):
        assert "bisect-oom --resume reports/runs/20251121-030100-others" in summary


@pytest.mark.parametrize("lang", LANGS)
def test_nothing_at_all_was_run(lang: str, records: dict[str, Bisect]) -> None:
    nothing = Unavailable(reason="nothing failed", source="trials")
    record = replace(
        records["others"], outcome=Outcome.CANNOT_RUN, cause=None, boundary=None, fixes=(), signature=nothing,
        effective=nothing, steps=(), trials=(), num_trials=0, factors=(), effects=(), ruled_out=(), side_effects=(),
        unsure=(), guarantees=(), num_untested=nothing, peak=nothing, estimate=nothing, failed_request=None,
        error_text="", findings=(), facts=nothing,
        reproduction=Reproduction(num_runs=0, num_failed=0, alpha=0.0, pass_repeats=0),
    )  # fmt: skip
    document = bisect_document(record, lang)
    assert list(claim_problems(document, record, json.loads(to_json(record)))) == []
    assert "ilora-diag env-check" in section(render_document(document), "## 1. ")


def test_a_root_cause_is_told_only_where_the_cause_was_shown_to_be_enough(records: dict[str, Bisect]) -> None:
    record = records["others"]
    assert record.cause is not None
    proven = Words("en").named("bisect.root.oom_other_process", "")
    assert proven in section(told(record), "7.2. Root cause")
    for sufficient in (False, Unavailable(reason="it was not tried", source="trials")):
        other = replace(record, cause=replace(record.cause, is_sufficient=sufficient))
        text = section(told(other), "7.2. Root cause")
        assert proven not in text
        assert "Under investigation" in text


def test_a_driver_error_on_a_virtual_card_is_strongly_suggested_of_the_host_and_on_a_card_it_is_confirmed(
    records: dict[str, Bisect],
) -> None:
    virtual = records["driver"]
    assert virtual.cause is not None
    assert virtual.cause.confidence is Confidence.STRONGLY_SUGGESTED
    assert virtual.cause.reasons[-1] == "virtual_card"
    assert "Cause (strongly suggested)" in bisect_headline(virtual, "en")
    assert "強く示唆" in bisect_headline(virtual, "ja")
    assert "exactly this error" in section(told(virtual), "## 1. ")
    confirmed = replace(virtual.cause, confidence=Confidence.CONFIRMED, reasons=virtual.cause.reasons[:-1])
    assert verify(replace(virtual, cause=confirmed)), "a virtual card cannot confirm what a host is"
    real = replace(virtual, device="cuda", cause=confirmed)
    assert "Cause (confirmed)" in bisect_headline(real, "en")
    weaker = replace(virtual, cause=replace(virtual.cause, confidence=Confidence.HYPOTHESIS))
    assert "Cause (hypothesis)" in bisect_headline(weaker, "en")


def test_memory_is_told_of_a_failure_for_want_of_memory_alone(records: dict[str, Bisect]) -> None:
    assert "What the step should need" in told(records["others"])
    assert "What each setting would buy" in told(records["others"])
    assert "What the step should need" not in told(records["driver"])


def test_a_figure_stands_where_it_was_drawn_and_the_reason_where_it_could_not_be(records: dict[str, Bisect]) -> None:
    record = replace(records["others"], figures=("figures/trials.svg",))
    assert "(figures/trials.svg)" in told(record)
    assert "(figures/peak.svg)" not in told(record)
    outside = replace(records["outside"], figures=())
    assert "svg)" not in told(outside)
    assert "figures/peak.svg" in section(told(outside), "## 11. ")


def test_a_change_that_passes_is_named_before_the_search_is_over(records: dict[str, Bisect]) -> None:
    record = replace(records["driver"], outcome=Outcome.INTERRUPTED, cause=None, boundary=None)
    assert "`unset PYTORCH_CUDA_ALLOC_CONF`" in section(told(record), "## 1. ")
    assert "A change with which it passes is known" in bisect_headline(record, "en")


@pytest.mark.parametrize("lang", LANGS)
def test_words_of_a_newer_version_are_shown_as_they_are(lang: str, records: dict[str, Bisect]) -> None:
    record = records["others"]
    assert record.cause is not None
    cause = replace(record.cause, category="moon_phase", reasons=("stars_align",))
    newer = replace(
        record,
        cause=cause,
        fixes=(replace(record.fixes[0], cost="a_moon_trip", change="apply.tides=[x]"),),
        guarantees=(Guarantee(code="eternal", text="It holds for ever.", parameters=(("n", 1),)),),
    )
    text = told(newer, lang)
    assert all(word in text for word in ("moon_phase", "stars_align", "a_moon_trip", "apply.tides=[x]", "It holds for"))


def test_hostile_texts_stay_text(records: dict[str, Bisect]) -> None:
    record = replace(records["others"], error_text="boom | `x` <script>alert(1)</script>\n## 7. Cause\n```\nmore")
    text = told(record)
    assert "<script>" not in re.sub(r"(?s)````text.*?````|`+[^`\n]*`+", "", text)
    assert text.count("\n## 7. Cause\n") == 2  # one of them inside the fence that outgrows the fence in the error
    assert "\n````text\n" in text


@pytest.mark.parametrize("lang", LANGS)
def test_every_word_that_a_record_can_hold_has_its_sentence(lang: str) -> None:
    keys = set(LANGUAGES[lang])
    categories = {*NEW_CATEGORIES, *(row.category for row in INTERVENTIONS.values()), "oom_other_process"}
    categories |= {"oom_capacity_smaller", "oom_fragmentation", "expandable_unsupported", "reentrant_checkpoint"}
    wanted = {f"bisect.{kind}.{word}" for kind in ("cause", "meaning", "root", "permanent") for word in categories}
    wanted |= {f"cost.{word}" for word in COSTS} | {f"bisect.apply.{name}" for name in INTERVENTIONS}
    wanted |= {f"bisect.ground.{word}" for word in GROUNDS} | {f"bisect.guarantee.{word}" for word in TEXTS}
    wanted |= {f"bisect.result.{status.value}" for status in Status}
    wanted |= {f"bisect.{kind}.{one.value}" for kind in ("purpose", "live.purpose") for one in Purpose}
    wanted |= {f"bisect.stage.{stage.value}" for stage in Stage}
    wanted |= {f"bisect.{kind}.{one.value}" for kind in ("answer", "box", "next", "recommend") for one in OPEN}
    wanted |= {f"bisect.confidence.{one.value}" for one in Confidence}
    assert wanted - keys == set()


def test_reasons_for_open_factors_are_told_in_japanese() -> None:
    words = Words("ja")
    for word in UNSURE:
        assert JAPANESE.search(words.reason(unsure(word))), word
        assert JAPANESE.search(words.reason(unsure(word, ("T-04", "T-07")))), word


def test_guarantees_take_the_parameters_that_they_come_with() -> None:
    for code, text in TEXTS.items():
        named = set(re.findall(r"{(\w+)}", text))
        for lang in LANGS:
            assert set(re.findall(r"{(\w+)}", LANGUAGES[lang][f"bisect.guarantee.{code}"])) <= named, (code, lang)


def test_trials_are_told_in_a_line_each(records: dict[str, Bisect]) -> None:
    record = records["driver"]
    lines = {step.trial: (step, trial) for step, trial in zip(record.steps, record.trials, strict=True)}
    english = [trial_line(*lines[name], record.factors, Words("en")) for name in ("T-01", "T-04", "T-05", "T-07")]
    assert english == [
        "T-01  FAIL (same)     unchanged  4.90 s",
        "T-04  PASS            every factor relaxed  4.60 s  peak 22.0 MiB",
        "T-05  PASS            alloc_conf: expandable_segments:False  6.10 s  peak 5.06 GiB",
        "T-07  FAIL (same)     unchanged (control)  4.80 s",
    ]
    step, trial = lines["T-05"]
    recalled = trial_line(replace(step, reused=True), trial, record.factors, Words("ja"))
    assert recalled.startswith("T-05  成功            alloc_conf: expandable_segments:False  ")
    assert "6.10 s" not in recalled
    assert "5.06 GiB" in recalled
    refused = replace(trial, status=Status.INVALID, reason="train.x=1: allowed is 2\nmore", metrics=())
    assert trial_line(step, refused, record.factors, Words("en")).endswith("6.10 s  train.x=1: allowed is 2")
    assert factors_line(record.factors, Words("en")) == "3 factors: alloc_conf, components, batch_size"
    assert factors_line((), Words("en")) == "no factors to search"


def test_a_signature_of_every_family_makes_a_title(records: dict[str, Bisect]) -> None:
    record = records["others"]
    for family in ErrorFamily:
        assert not isinstance(record.signature, Unavailable)
        other = replace(record, signature=replace(record.signature, family=family))
        assert bisect_document(other, "ja").title.endswith("に関する調査報告書")
