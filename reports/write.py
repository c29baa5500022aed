"""Writes what was rendered into the run folder: figures, JSON, Markdown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ilora_diag.schema import Estimate, Report, ScriptRun, Unavailable, to_json
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.isolate import Isolation
from ilora_diag.schema.place import Placement
from reports.figures import draw_estimate_figures, draw_figures
from reports.figures.bisect import draw_bisect_figures
from reports.files import whole_file
from reports.json import JsonRenderer
from reports.markdown import MarkdownRenderer, render_document
from reports.view.bisect import bisect_document
from reports.view.bisect_story import RECORD_NAME
from reports.view.estimate import estimate_document
from reports.view.isolate import RECORD_NAME as ISOLATE_NAME
from reports.view.isolate import isolate_document
from reports.view.place import RECORD_NAME as PLACE_NAME
from reports.view.place import place_document
from reports.view.run import run_document

MARKDOWN_NAME = "report.md"
JSON_NAME = "report.json"
ESTIMATE_NAME = "estimate.json"
RUN_NAME = "run.json"
BISECT_NAME = RECORD_NAME
BISECT_NAME = RECORD_NAME
FIGURES_FOLDER = "figures/"


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


def write_estimate(estimate: Estimate, folder: Path, lang: str) -> Estimate:
    """Draw an estimate's figures and write `estimate.json` and the Markdown that refers to them, which comes last.

    Args:
        estimate: the record.
        folder: where to; it exists.
        lang: "en" or "ja", of Markdown and figures.

    Returns:
        The estimate as written: with the figures that could not be drawn.

    Raises:
        OSError: the folder cannot be written; a document that stood there is untouched.
    """
    written = replace(estimate, skipped=draw_estimate_figures(estimate, folder, lang))
    markdown = render_document(estimate_document(written, lang, figures=True))
    _write({ESTIMATE_NAME: to_json(written, indent=2) + "\n", MARKDOWN_NAME: markdown}, folder)
    return written


def write_run(run: ScriptRun, folder: Path, lang: str) -> ScriptRun:
    """Draw the figures of a script's run and write `run.json` and the Markdown that refers to them, which comes last.

    Args:
        run: the record.
        folder: where to; it exists.
        lang: "en" or "ja", of Markdown and figures.

    Returns:
        The run as written: with the figures that could not be drawn.

    Raises:
        OSError: the folder cannot be written; a document that stood there is untouched.
    """
    estimate, written = run.estimate, run
    if not isinstance(estimate, Unavailable):
        written = replace(run, estimate=replace(estimate, skipped=draw_estimate_figures(estimate, folder, lang)))
    markdown = render_document(run_document(written, lang, figures=True))
    _write({RUN_NAME: to_json(written, indent=2) + "\n", MARKDOWN_NAME: markdown}, folder)
    return written


def write_bisect(bisect: Bisect, folder: Path, lang: str) -> Bisect:
    """Draw the figures of an investigation and write `bisect.json` and the Markdown that refers to them.

    Args:
        bisect: the record; the files of the folder that it rests on are in it already.
        folder: the run folder.
        lang: "en" or "ja".

    Returns:
        The record as written: with the figures drawn, and those that could not be.

    Raises:
        OSError: the folder cannot be written; a document that stood there is untouched.
    """
    drawn, refused = draw_bisect_figures(bisect, folder, lang)
    others = tuple(one for one in bisect.skipped if not one.what.startswith(FIGURES_FOLDER))
    written = replace(bisect, figures=drawn, skipped=(*others, *refused))
    markdown = render_document(bisect_document(written, lang))
    _write({BISECT_NAME: to_json(written, indent=2) + "\n", MARKDOWN_NAME: markdown}, folder)
    return written


def write_placement(found: Placement, folder: Path, lang: str) -> Placement:
    """Write `place.json` and the Markdown of a placement, whole or not at all. Raises OSError if it cannot be."""
    markdown = render_document(place_document(found, lang))
    _write({PLACE_NAME: to_json(found, indent=2) + "\n", MARKDOWN_NAME: markdown}, folder)
    return found


def write_isolation(found: Isolation, folder: Path, lang: str) -> Isolation:
    """Write `isolate.json` and the Markdown of an isolation, whole or not at all. Raises OSError if it cannot be."""
    markdown = render_document(isolate_document(found, lang))
    _write({ISOLATE_NAME: to_json(found, indent=2) + "\n", MARKDOWN_NAME: markdown}, folder)
    return found


def _write(texts: dict[str, str], folder: Path) -> None:
    """Write the documents in their order, each whole or not at all."""
    for name, text in texts.items():
        with whole_file(folder / name) as file:
            file.write(text.encode())
