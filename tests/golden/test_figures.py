"""Figures: real text, the same bytes every time, a white ground, and a reason where one cannot be drawn."""

# ruff: noqa: RUF001 - full-width punctuation is what Japanese is written with

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ilora_diag.schema import Report, Skipped, Step, TrainRun, Unavailable
from reports.figures import FIGURES, draw_figures, drawn_path
from reports.figures.loss import trailing_mean
from reports.markdown import MarkdownRenderer

SVG = "{http://www.w3.org/2000/svg}"


def _train(reports: dict[str, Report], name: str) -> TrainRun:
    train = reports[name].train
    assert train is not None
    return train


def _texts(path: Path) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.parse(path).iter(f"{SVG}text")]


def test_a_healthy_run_has_every_figure_with_its_labels_as_text(
    fixed_reports: dict[str, Report], tmp_path: Path
) -> None:
    assert draw_figures(_train(fixed_reports, "healthy"), tmp_path, "en") == ()
    texts = {name: _texts(tmp_path / drawn_path(name)) for name in FIGURES}
    assert {"Training loss", "optimizer step", "cross-entropy, nats", "mean of 8 steps", "2.12"} <= set(texts["loss"])
    assert {"tokens / s"} <= set(texts["throughput"])
    assert {"GiB", "load_llm", "3.33 GiB"} <= set(texts["memory"])
    assert {"HR@1 (generation)", "0.310 [0.246, 0.374]", "chance"} <= set(texts["metrics"])
    assert {"Recommender: training loss", "epoch", "2.419"} <= set(texts["recommender"])


def test_japanese_labels_are_text_too_and_nothing_is_warned_about(
    fixed_reports: dict[str, Report], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert draw_figures(_train(fixed_reports, "oom"), tmp_path, "ja") == ()
    assert {"学習損失", "ステップ"} <= set(_texts(tmp_path / drawn_path("loss")))
    assert {"フェーズ別のメモリ", "reserved（デバイス、ピーク）"} <= set(_texts(tmp_path / drawn_path("memory")))
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_same_run_is_drawn_to_the_same_bytes(lang: str, fixed_reports: dict[str, Report], tmp_path: Path) -> None:
    files = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        draw_figures(_train(fixed_reports, "healthy"), folder, lang)
        files.append({name: (folder / drawn_path(name)).read_bytes() for name in FIGURES})
    assert files[0] == files[1]
    assert all(b"<dc:date>" not in content for content in files[0].values())


def test_figures_stand_on_white_and_leave_matplotlib_as_it_was(
    fixed_reports: dict[str, Report], tmp_path: Path
) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_figures(_train(fixed_reports, "healthy"), tmp_path, "ja")
    assert dict(mpl.rcParams) == before
    ground = next(ElementTree.parse(tmp_path / drawn_path("loss")).iter(f"{SVG}path"))
    assert "fill: #ffffff" in ground.attrib["style"]


def test_nothing_is_drawn_of_a_run_that_left_nothing(fixed_reports: dict[str, Report], tmp_path: Path) -> None:
    assert draw_figures(_train(fixed_reports, "bare"), tmp_path, "en") == ()
    assert list(tmp_path.iterdir()) == []


def test_a_dollar_sign_in_a_metric_is_no_mathematics(fixed_reports: dict[str, Report], tmp_path: Path) -> None:
    run = _train(fixed_reports, "healthy")
    assert not isinstance(run.metrics, Unavailable)
    odd = replace(run, metrics=(replace(run.metrics[0], name="$_{x$ <b>"),))
    assert draw_figures(odd, tmp_path, "en") == ()
    assert "$_{x$ <b>" in _texts(tmp_path / drawn_path("metrics"))


def test_without_matplotlib_the_report_says_which_figures_are_missing_and_why(
    fixed_reports: dict[str, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an environment in which matplotlib cannot be imported
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    report = fixed_reports["oom"]
    # when
    skipped = draw_figures(_train(fixed_reports, "oom"), tmp_path, "en")
    # then
    assert skipped[0] == Skipped(what="figures/loss.svg", reason="matplotlib is not installed")
    assert {entry.what for entry in skipped} == {drawn_path(name) for name in ("loss", "throughput", "memory")}
    text = MarkdownRenderer("en").render(replace(report, skipped=skipped))
    assert "Figure figures/loss.svg was not drawn: matplotlib is not installed." in text
    assert "![" not in text


def test_importing_the_reports_loads_no_matplotlib() -> None:
    script = "import sys, reports.write, reports.terminal; print('matplotlib' in sys.modules, 'rich' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "False False\n"


def test_trailing_mean_has_a_mean_for_every_value() -> None:
    assert trailing_mean([4.0, 2.0, 0.0, 2.0], 2) == [4.0, 3.0, 1.0, 1.0]
    assert trailing_mean([5.0], 3) == [5.0]


def test_a_loss_that_was_not_finite_leaves_a_gap_and_no_error(fixed_reports: dict[str, Report], tmp_path: Path) -> None:
    run = _train(fixed_reports, "healthy")
    assert not isinstance(run.steps, Unavailable)
    unknown: Step = replace(run.steps[5], loss=Unavailable(reason="loss of the step event is null"))
    assert draw_figures(replace(run, steps=(*run.steps[:5], unknown, *run.steps[6:])), tmp_path, "en") == ()
