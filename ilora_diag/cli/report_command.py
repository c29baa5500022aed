"""What `ilora-diag report` does once its options are read."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit
from ilora_diag.engine.bisect_check import check_bisect
from ilora_diag.engine.events import RUNLOG_NAME
from ilora_diag.engine.redact import this_identity
from ilora_diag.engine.report_check import check_rendering, check_report
from ilora_diag.engine.run_folder import is_running
from ilora_diag.engine.runlog import EFFECTIVE_NAME, RunFolderError
from ilora_diag.engine.train_report import build_report
from ilora_diag.schema import Estimate, Report, SchemaError, ScriptRun, from_data, to_json
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.codec import Record, parse
from ilora_diag.schema.isolate import Isolation
from ilora_diag.schema.place import Placement
from reports.blocks import Document
from reports.html import HtmlRenderer
from reports.markdown import render_document
from reports.messages import LANGUAGES, Words
from reports.view import train_document
from reports.view.bisect import bisect_document
from reports.view.estimate import estimate_document
from reports.view.isolate import RECORD_NAME as ISOLATE_NAME
from reports.view.isolate import isolate_document
from reports.view.place import RECORD_NAME as PLACE_NAME
from reports.view.place import place_document
from reports.view.run import run_document
from reports.write import (
    BISECT_NAME,
    ESTIMATE_NAME,
    MARKDOWN_NAME,
    RUN_NAME,
    write_bisect,
    write_estimate,
    write_isolation,
    write_placement,
    write_report,
    write_run,
)

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordKind(Generic[R]):
    """A kind of folder whose report is made from one record that stands in it.

    Attributes:
        file: the record's name in the folder.
        record: its class.
        document: the report as it stands in the folder, in a language.
        write: writes report and figures anew, and returns the record as written.
        check: what is wrong with the written report of a folder; None compares text and links with the record alone.
    """

    file: str
    record: type[R]
    document: Callable[[R, str], Document]
    write: Callable[[R, Path, str], R]
    check: Callable[[Path], tuple[str, ...]] | None = None


RECORD_KINDS: Mapping[str, RecordKind[Any]] = {
    f"ilora-diag/{kind.record.SCHEMA}": kind
    for kind in (
        RecordKind(
            file=ESTIMATE_NAME,
            record=Estimate,
            document=lambda found, lang: estimate_document(found, lang, figures=True),
            write=write_estimate,
        ),
        RecordKind(
            file=RUN_NAME,
            record=ScriptRun,
            document=lambda found, lang: run_document(found, lang, figures=True),
            write=write_run,
        ),
        RecordKind(file=PLACE_NAME, record=Placement, document=place_document, write=write_placement),
        RecordKind(file=ISOLATE_NAME, record=Isolation, document=isolate_document, write=write_isolation),
        RecordKind(file=BISECT_NAME, record=Bisect, document=bisect_document, write=write_bisect, check=check_bisect),
    )
}
"""By the `schema` of the record. A training is no row: its report is made from log, journal and configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A folder that was read.

    Attributes:
        record: what its report is made from.
        document: the report in a language.
        write: writes it anew into a folder in a language, and returns it as written.
        check: what is wrong with the written report.
        brief: whether only the sections that matter when the command ends are shown where it was typed.
    """

    record: Record
    document: Callable[[str], Document]
    write: Callable[[Path, str], Document]
    check: Callable[[], tuple[str, ...]]
    brief: bool


def run_report(run: Path, *, lang: Lang | None, output: str | None, check: bool) -> ExitCode:
    """Render or check the report of a folder.

    Raises:
        CommandError: nothing there that a report is made from, or the folder cannot be written.
    """
    language = chosen_lang(lang, os.environ)
    try:
        opened = _open(run)
        if check:
            return _check(opened.check(), run, language)
        if output == "json":
            emit(to_json(opened.record, indent=2))
        elif output == "md":
            emit(render_document(opened.document(language.value)))
        elif output == "html":
            emit(_page(opened, language))
        else:
            emit(on_terminal(opened.write(run, language.value), language, brief=opened.brief))
            emit(Words(language.value)("terminal.report", path=run / MARKDOWN_NAME))
    except RunFolderError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot write the report: {error}", ExitCode.FAILURE) from error
    return ExitCode.OK


def _page(opened: Opened, lang: Lang) -> str:
    """The report as a page. Its figures are drawn aside: they are of its language, and the folder stays as it is."""
    with tempfile.TemporaryDirectory(prefix="ilora-diag-") as folder:
        document = opened.write(Path(folder), lang.value)
        return HtmlRenderer(Path(folder)).render(document)


def _open(run: Path) -> Opened:
    if (run / RUNLOG_NAME).is_file() or (run / EFFECTIVE_NAME).is_file():
        return _open_training(run)
    names = dict.fromkeys(kind.file for kind in RECORD_KINDS.values())
    found = next((run / name for name in names if (run / name).is_file()), None)
    if found is not None:
        return _open_record(run, found)
    raise CommandError(
        f"{run} holds no run (none of {RUNLOG_NAME}, {EFFECTIVE_NAME}, {', '.join(names)}): name a folder that "
        "`ilora-diag train` wrote, such as reports/runs/ID, or `estimate --out` or `run --out`",
        ExitCode.USAGE,
    )


def _open_training(run: Path) -> Opened:
    if is_running(run):
        raise CommandError(
            f"{run} is still being trained in; its report comes when that ends. Events so far: {run / RUNLOG_NAME}",
            ExitCode.INCONCLUSIVE,
        )
    report: Report = build_report(run, now=time.time(), tool_version=version("ilora-diag"), identity=this_identity())
    return Opened(
        record=report,
        document=lambda lang: train_document(report, lang),
        write=lambda folder, lang: train_document(write_report(report, folder, lang), lang),
        check=lambda: check_report(run, report),
        brief=False,
    )


def _open_record(run: Path, file: Path) -> Opened:
    try:
        data = parse(file.read_bytes())
        kind = _kind_of(data)
        record = from_data(kind.record, data)
    except SchemaError as error:
        raise CommandError(f"{file} is no record of a run: {error}", ExitCode.USAGE) from error
    return Opened(
        record=record,
        document=lambda lang: kind.document(record, lang),
        write=lambda folder, lang: kind.document(kind.write(record, folder, lang), lang),
        check=lambda: kind.check(run) if kind.check is not None else _rendered(run, kind, record),
        brief=True,
    )


def _rendered(run: Path, kind: RecordKind[Any], record: Record) -> tuple[str, ...]:
    """What is wrong with a report that has nothing behind it but its record."""
    return check_rendering(run, {lang: kind.document(record, lang) for lang in LANGUAGES}, kind.file)


def _kind_of(data: object) -> RecordKind[Any]:
    schema = data.get("schema") if isinstance(data, dict) else None
    kind = RECORD_KINDS.get(schema) if isinstance(schema, str) else None
    if kind is None:
        raise SchemaError("schema", schema, " or ".join(RECORD_KINDS))
    return kind


def _check(problems: tuple[str, ...], run: Path, lang: Lang) -> ExitCode:
    words = Words(lang.value)
    for problem in problems:
        emit(f"- {problem}")
    emit(words("check.failed", num=len(problems)) if problems else words("check.passed", path=run / MARKDOWN_NAME))
    return ExitCode.FAILURE if problems else ExitCode.OK
