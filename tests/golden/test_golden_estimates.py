"""Three estimates in every form: rewritten by `make golden`, and the diff is reviewed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ilora_diag.schema import Estimate, from_json, to_json
from reports.figures import ESTIMATE_FIGURES, draw_estimate_figures, drawn_path
from reports.markdown import render_document
from reports.terminal import TerminalRenderer
from reports.view.estimate import estimate_document

Check = Callable[[str, str], None]
NAMES = ("opt", "load-oom", "tight")
LANGUAGES = ("en", "ja")
OVERRIDES = ("--config", "incident", "lora.target_modules=[q_proj,v_proj]")
OBSERVED = {"opt": 16 << 30, "load-oom": 15 << 30, "tight": None}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_markdown_is_as_reviewed(name: str, lang: str, fixed_estimates: dict[str, Estimate], golden: Check) -> None:
    golden(f"estimate-{name}.{lang}.md", _markdown(fixed_estimates[name], name, lang))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_terminal_text_is_as_reviewed(
    name: str, lang: str, fixed_estimates: dict[str, Estimate], golden: Check
) -> None:
    document = estimate_document(_asked(fixed_estimates[name], name), lang)
    renderer = TerminalRenderer(lang, width=100, brief=True, unfold=True)
    golden(f"estimate-{name}.{lang}.txt", renderer.render_document(document))


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_tell_the_same_numbers(name: str, fixed_estimates: dict[str, Estimate]) -> None:
    english, japanese = (_numbers(_markdown(fixed_estimates[name], name, lang)) for lang in LANGUAGES)
    assert english == japanese


@pytest.mark.parametrize("name", NAMES)
def test_the_record_reads_back(name: str, fixed_estimates: dict[str, Estimate]) -> None:
    assert from_json(Estimate, to_json(fixed_estimates[name])) == fixed_estimates[name]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_the_text_in_the_figures_is_as_reviewed(
    name: str, lang: str, fixed_estimates: dict[str, Estimate], golden: Check, tmp_path: Path
) -> None:
    assert draw_estimate_figures(fixed_estimates[name], tmp_path, lang) == ()
    told = []
    for figure in ESTIMATE_FIGURES:
        tree = ElementTree.parse(tmp_path / drawn_path(figure))
        told += [f"[{figure}]", *("".join(node.itertext()).strip() for node in tree.iter(f"{SVG}text"))]
    golden(f"estimate-{name}.{lang}.figures.txt", "\n".join(told) + "\n")


def _markdown(estimate: Estimate, name: str, lang: str) -> str:
    return render_document(estimate_document(_asked(estimate, name), lang, figures=True))


def _asked(estimate: Estimate, name: str) -> Estimate:
    return replace(estimate, observed_bytes=OBSERVED[name], typed=OVERRIDES)


def _numbers(markdown: str) -> list[list[str]]:
    """The digits of a report's table rows, row by row."""
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [sorted(re.findall(r"\d[\d.,]*", row)) for row in rows]
