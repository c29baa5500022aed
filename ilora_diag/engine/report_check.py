"""Whether a written report still holds what it says: its files, its rendering, and its numbers against the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from ilora_diag.schema import Report, SchemaError, from_json
from reports.blocks import Bullets, Code, Document, Figure, Span, Table, Text, spans
from reports.markdown import render_document
from reports.messages import LANGUAGES
from reports.view import train_document
from reports.write import JSON_NAME, MARKDOWN_NAME


def check_report(folder: Path, evidence: Report) -> tuple[str, ...]:
    """What is wrong with the report in a run folder; nothing if all of it holds.

    Args:
        folder: the run folder.
        evidence: the report built anew from log, journal and configuration.
    """
    try:
        report = from_json(Report, (folder / JSON_NAME).read_bytes())
    except (OSError, SchemaError) as error:
        return (f"cannot read the report: {error}",)
    if report.train is None:
        return (f"{JSON_NAME} holds a report of kind {report.kind!r}, not of a training",)
    documents = {lang: train_document(report, lang) for lang in LANGUAGES}
    return (*check_rendering(folder, documents, JSON_NAME), *_numbers(report, evidence))


def check_rendering(folder: Path, documents: Mapping[str, Document], record_name: str) -> tuple[str, ...]:
    """What is wrong with the Markdown in a folder: it is of no language what its record says, or its files are missing.

    Args:
        folder: the run folder.
        documents: what the record renders to, by language.
        record_name: of the file the record was read from.
    """
    try:
        markdown = (folder / MARKDOWN_NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return (f"cannot read the report: {error}",)
    problems = []
    if all(render_document(document) != markdown for document in documents.values()):
        problems.append(
            f"{MARKDOWN_NAME} is not what {record_name} renders to, in any language: one of them was changed, or "
            "another version wrote them"
        )
    linked = dict.fromkeys(target for document in documents.values() for target in linked_files(document))
    problems += [f"{target} is referred to and does not exist" for target in linked if not (folder / target).exists()]
    return tuple(problems)


def linked_files(document: Document) -> Iterator[str]:
    """Everything a document shows or links to, relative to the run folder."""
    for block in document.blocks():
        if isinstance(block, Figure):
            yield block.path
        elif isinstance(block, Table):
            for row in block.rows:
                for cell in row:
                    yield from _links(cell)
        elif isinstance(block, Bullets):
            for item in block.items:
                yield from _links(item)
        elif not isinstance(block, Code):
            yield from _links(block.text)


def _links(text: Text) -> Iterator[str]:
    return (piece.href for piece in spans(text) if isinstance(piece, Span) and piece.kind == "link")


def _numbers(report: Report, evidence: Report) -> Iterator[str]:
    """Numbers that differ. Texts are left alone: they are redacted differently on different machines."""
    written, found = (dict(_number_leaves(one)) for one in (report, evidence))
    for path in dict.fromkeys((*written, *found)):
        in_report, in_logs = written.get(path, "absent"), found.get(path, "absent")
        if in_report != in_logs:
            yield f"{path} is {in_report} in the report and {in_logs} in the logs"


def _number_leaves(report: Report) -> Iterator[tuple[str, int | float]]:
    yield from _leaves(report.train, "train")
    yield from _leaves(report.trials, "trials")


def _leaves(value: object, path: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, (int, float)):
        yield path, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    elif is_dataclass(value):
        for spec in fields(value):
            yield from _leaves(getattr(value, spec.name), f"{path}.{spec.name}")
