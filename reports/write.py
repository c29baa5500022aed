"""Writes what was rendered into the run folder: figures, report.json, report.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ilora_diag.schema import Report
from reports.figures import draw_figures
from reports.files import whole_file
from reports.json import JsonRenderer
from reports.markdown import MarkdownRenderer

MARKDOWN_NAME = "report.md"
JSON_NAME = "report.json"


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
    for name, text in (
        (JSON_NAME, JsonRenderer().render(written)),
        (MARKDOWN_NAME, MarkdownRenderer(lang).render(written)),
    ):
        with whole_file(folder / name) as file:
            file.write(text.encode())
    return written
