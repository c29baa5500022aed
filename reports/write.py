"""Writes what was rendered into the run folder: figures, JSON, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ilora_diag.schema import Estimate, Report, ScriptRun, Skipped, Unavailable, to_json
from reports.figures import draw_estimate_figures, draw_figures
from reports.files import whole_file
from reports.json import JsonRenderer
from reports.markdown import MarkdownRenderer, render_document
from reports.view.estimate import estimate_document
from reports.view.run import run_document

MARKDOWN_NAME = "report.md"
JSON_NAME = "report.json"
ESTIMATE_NAME = "estimate.json"
RUN_NAME = "run.json"


def write_report(report: Report, folder: Path, lang: str) -> Report:
    """Draw the figures and write the documents that refer to them; the Markdown comes last and is what people open.

    Args:
        report: of a training.
        folder: the run folder.
        lang: "en" or "ja", of Markdown and figures.

    Returns:
        The report as written: with the figures that could not be drawn among what was skipped.

    Raises:
        OSError: the folder cannot be written; a document that stood there is untouched.
    """
    assert report.train is not None, "only trainings have figures and a layout"
    written = replace(report, skipped=(*report.skipped, *draw_figures(report.train, folder, lang)))
    texts = {JSON_NAME: JsonRenderer().render(written), MARKDOWN_NAME: MarkdownRenderer(lang).render(written)}
    _write(texts, folder)
    return written


def write_estimate(
    estimate: Estimate,
    folder: Path,
    lang: str,
    *,
    observed_bytes: int | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Skipped, ...]:
    """Draw an estimate's figures and write `estimate.json` and the Markdown that refers to them, which comes last.

    Args:
        estimate: the record.
        folder: where to; it exists.
        lang: "en" or "ja", of Markdown and figures.
        observed_bytes: what the reader sees in use, as `estimate_document` takes it.
        overrides: the configuration as typed, likewise.

    Returns:
        The figures that could not be drawn; the Markdown says so too.

    Raises:
        OSError: the folder cannot be written; a document that stood there is untouched.
    """
    skipped = draw_estimate_figures(estimate, folder, lang)
    document = estimate_document(
        estimate, lang, observed_bytes=observed_bytes, overrides=overrides, figures=True, skipped=skipped
    )
    texts = {ESTIMATE_NAME: to_json(estimate, indent=2) + "\n", MARKDOWN_NAME: render_document(document)}
    _write(texts, folder)
    return skipped


def write_run(run: ScriptRun, folder: Path, lang: str) -> tuple[Skipped, ...]:
    """Draw the figures of a script's run and write `run.json` and the Markdown that refers to them, which comes last.

    Args:
        run: the record.
        folder: where to; it exists.
        lang: "en" or "ja", of Markdown and figures.

    Returns:
        The figures that could not be drawn; the Markdown says so too.

    Raises:
        OSError: the folder cannot be written; a document that stood there is untouched.
    """
    estimate = run.estimate
    skipped = () if isinstance(estimate, Unavailable) else draw_estimate_figures(estimate, folder, lang)
    document = run_document(run, lang, figures=True, skipped=skipped)
    _write({RUN_NAME: to_json(run, indent=2) + "\n", MARKDOWN_NAME: render_document(document)}, folder)
    return skipped


def _write(texts: dict[str, str], folder: Path) -> None:
    """Write the documents in their order, each whole or not at all."""
    for name, text in texts.items():
        with whole_file(folder / name) as file:
            file.write(text.encode())
