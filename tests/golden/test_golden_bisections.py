"""Four investigations in every form: rewritten by `make golden`, and the diff is reviewed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ilora_diag.schema import Unavailable, from_json, to_json
from ilora_diag.schema.bisect import Bisect
from reports.figures import drawn_path
from reports.figures.bisect import bisect_figures
from reports.markdown import render_document
from reports.terminal import TerminalRenderer
from reports.view.bisect import bisect_document, bisect_headline

Check = Callable[[str, str], None]
NAMES = ("others", "driver", "outside", "leak")
LANGUAGES = ("en", "ja")


@pytest.fixture
def records(bisections: SimpleNamespace) -> dict[str, Bisect]:
    """The records as the command writes them, without what hangs on the machine that writes."""
    made: dict[str, Bisect] = bisections.fixed_bisections()
    return {name: replace(one, figures=tuple(map(drawn_path, bisect_figures(one)))) for name, one in made.items()}


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_markdown_is_as_reviewed(name: str, lang: str, records: dict[str, Bisect], golden: Check) -> None:
    golden(f"bisection-{name}.{lang}.md", render_document(bisect_document(records[name], lang)))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_terminal_text_is_as_reviewed(name: str, lang: str, records: dict[str, Bisect], golden: Check) -> None:
    record = records[name]
    text = TerminalRenderer(lang, width=100, brief=True).render_document(bisect_document(record, lang))
    golden(f"bisection-{name}.{lang}.txt", f"{bisect_headline(record, lang)}\n\n{text}")


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_as_reviewed_and_reads_back(name: str, records: dict[str, Bisect], golden: Check) -> None:
    record = records[name]
    assert from_json(Bisect, to_json(record)) == record
    if name == "driver":
        golden(f"bisection-{name}.json", to_json(record, indent=2) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_tell_the_same_numbers_and_name_the_same_evidence(name: str, records: dict[str, Bisect]) -> None:
    english, japanese = (render_document(bisect_document(records[name], lang)) for lang in LANGUAGES)
    assert _numbers(english) == _numbers(japanese)
    assert _evidence(english) == _evidence(japanese)
    assert len(_evidence(english)) > 20


def test_a_report_has_one_box(records: dict[str, Bisect]) -> None:
    for record in records.values():
        assert render_document(bisect_document(record, "ja")).count("> [!") == 1


def test_no_english_sentence_is_left_in_the_japanese_of_a_record_of_ours(
    records: dict[str, Bisect],
) -> None:
    """Words of code, commands and names of files are data; three English words in a row outside of them are a miss."""
    for record in records.values():
        if not isinstance(record.estimate, Unavailable):  # the costs of its knobs are invented
            record = replace(record, estimate=replace(record.estimate, knobs=()))
        whole = render_document(bisect_document(record, "ja"))
        text = re.sub(r"(?s)```.*?```|`[^`]*`|\(.*?\)|!\[.*?\]|CUDA out of memory|operation not supported", "", whole)
        missed = [line for line in text.splitlines() if re.search(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b", line)]
        assert missed == [], record.run_id


def _numbers(markdown: str) -> list[list[str]]:
    """The digits of a report's table rows, row by row, clock times left out: Japanese readers get theirs."""
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [sorted(re.findall(r"\d[\d.,]*", re.sub(r"\d\d:\d\d:\d\d", "", row))) for row in rows]


def _evidence(markdown: str) -> list[str]:
    return re.findall(r"\[([TE]-[^\]]+)\]", markdown)
