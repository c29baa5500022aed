"""The whole of three reports, in every form: rewritten by `make golden`, and the diff is reviewed."""

# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ilora_diag.schema import Report, from_json
from reports.json import JsonRenderer
from reports.markdown import MarkdownRenderer
from reports.terminal import TerminalRenderer
from reports.view import headline

Check = Callable[[str, str], None]
NAMES = ("healthy", "oom", "bare")
LANGUAGES = ("en", "ja")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_markdown_is_as_reviewed(name: str, lang: str, fixed_reports: dict[str, Report], golden: Check) -> None:
    golden(f"{name}.{lang}.md", MarkdownRenderer(lang).render(fixed_reports[name]))


@pytest.mark.parametrize("name", NAMES)
def test_json_is_as_reviewed_and_reads_back(name: str, fixed_reports: dict[str, Report], golden: Check) -> None:
    text = JsonRenderer().render(fixed_reports[name])
    golden(f"{name}.json", text)
    assert from_json(Report, text) == fixed_reports[name]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_terminal_text_is_as_reviewed(name: str, lang: str, fixed_reports: dict[str, Report], golden: Check) -> None:
    golden(f"{name}.{lang}.txt", TerminalRenderer(lang, width=100).render(fixed_reports[name]))


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_tell_the_same_numbers(name: str, fixed_reports: dict[str, Report]) -> None:
    english, japanese = (_numbers(MarkdownRenderer(lang).render(fixed_reports[name])) for lang in LANGUAGES)
    assert english == japanese


def test_headlines_come_to_the_point(fixed_reports: dict[str, Report]) -> None:
    told = {name: headline(report, "en") for name, report in fixed_reports.items()}
    assert told["healthy"].startswith("trained 80 steps: loss 3.41 -> 2.02, HR@1 (generation) 0.31 [0.25, 0.37]")
    assert told["oom"] == "out of memory in phase train, after step 3 of 80"
    assert told["bare"] == "crashed (SIGKILL) before the first phase"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_unknown_is_never_a_zero(lang: str, fixed_reports: dict[str, Report]) -> None:
    text = MarkdownRenderer(lang).render(fixed_reports["bare"])
    not_measured = {"en": "not measured (", "ja": "未測定（"}[lang]
    assert text.count(not_measured) >= 10
    table_cells = [cell.strip() for line in text.splitlines() if line.startswith("|") for cell in line.split("|")]
    # The one zero is a count of processes that is known to be zero.
    assert [cell for cell in table_cells if cell in ("0", "0.0", "None", "nan", "-1")] == ["0"]


def test_a_report_of_another_kind_is_refused_in_words(fixed_reports: dict[str, Report]) -> None:
    report = Report(run_id="x", kind="env-check", created_at=0.0, tool_version="0", facts=fixed_reports["bare"].facts)
    with pytest.raises(ValueError, match="env-check"):
        MarkdownRenderer("en").render(report)


def _numbers(markdown: str) -> list[list[str]]:
    """The digits of a report's table rows, row by row; dates stand in two zones in Japanese and are left out."""
    rows = [line for line in markdown.splitlines() if line.startswith("|") and "UTC" not in line]
    return [sorted(re.findall(r"\d[\d.,]*", row)) for row in rows]
