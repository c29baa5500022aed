"""What `ilora-diag bisect-device` and `ilora-diag isolate-rec` do once their options are read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from ilora_diag.cli.bisect_oom_command import REQUEST_NAME, typed_command
from ilora_diag.cli.bisect_options import BisectOptions, request_of
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.isolate_run import Combination, IsolateRun
from ilora_diag.engine.journal import JournalError
from ilora_diag.engine.place_run import PlaceRun, subject_of
from ilora_diag.engine.run_folder import new_folder, write_whole
from ilora_diag.engine.runlog import RunFolderError
from ilora_diag.engine.stop_request import stop_on_signal
from ilora_diag.schema import to_json
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.isolate import IsolateAnswer, IsolateCell, Isolation
from ilora_diag.schema.place import PlaceClass, Placement, PlaceMode, PlaceTry
from ilora_diag.schema.trial import Status, Trial
from reports.blocks import Document
from reports.messages import Words
from reports.view.isolate import cell_name, cell_outcome, isolate_document
from reports.view.place import place_document
from reports.write import MARKDOWN_NAME, write_isolation, write_placement

R = TypeVar("R", Placement, Isolation)


def run_place(options: BisectOptions, *, lang: Lang | None) -> ExitCode:
    """Walk, tell apart, report.

    Raises:
        CommandError: nothing was tried, and why.
    """
    if options.device == "cpu":
        text = "--device cpu: nothing is put on a card there; allowed is auto, cuda or virtual:NAME"
        raise CommandError(text, ExitCode.USAGE)
    language = chosen_lang(lang, os.environ)
    request = request_of(options)
    folder = _made(options.run_dir, request, "bisect-device")
    words = Words(language.value)

    def tell(mode: PlaceMode, row: PlaceTry | None) -> None:
        name = words(f"place.mode.{mode.value}")
        if row is not None:
            note(words("place.live.end", mode=name, outcome=words(f"place.outcome.{row.outcome.value}")))

    def work(stop: Callable[[], bool]) -> Placement:
        return PlaceRun(
            request=request,
            folder=folder,
            command=_command(request, "bisect-device"),
            subject=subject_of(request),
            tool_version=version("ilora-diag"),
            tell=tell,
            stop=stop,
        ).run()

    found = _run(work, folder, words)
    written = _written(lambda: write_placement(found, folder, language.value))
    _show(written, lambda: place_document(written, language.value), folder, options, language)
    if written.answer is PlaceClass.UNDECIDED:
        return _undone(written.trials)
    return ExitCode.OK if written.answer is PlaceClass.NOTHING_FAILS else ExitCode.FAILURE


def run_isolate(options: BisectOptions, *, lang: Lang | None) -> ExitCode:
    """Try every combination, report.

    Raises:
        CommandError: nothing was tried, and why.
    """
    language = chosen_lang(lang, os.environ)
    request = request_of(options)
    folder = _made(options.run_dir, request, "isolate-rec")
    words = Words(language.value)

    def tell(num: int, total: int, one: Combination, cell: IsolateCell | None) -> None:
        name = cell_name(one.components, one.load_order, one.rec_weights, words)
        if cell is None:
            note(words("place.live.cell", num=num, total=total, cell=name))
        else:
            outcome = words(f"place.outcome.{cell_outcome(cell.status).value}")
            note(words("place.live.cell_end", cell=name, outcome=outcome))

    def work(stop: Callable[[], bool]) -> Isolation:
        return IsolateRun(
            request=request,
            folder=folder,
            command=_command(request, "isolate-rec"),
            subject=subject_of(request),
            tool_version=version("ilora-diag"),
            tell=tell,
            stop=stop,
        ).run()

    found = _run(work, folder, words)
    written = _written(lambda: write_isolation(found, folder, language.value))
    _show(written, lambda: isolate_document(written, language.value), folder, options, language)
    if written.answer is IsolateAnswer.INCONCLUSIVE:
        return _undone(written.trials)
    return ExitCode.OK if written.answer is IsolateAnswer.NOTHING_FAILS else ExitCode.FAILURE


def _show(written: R, document: Callable[[], Document], folder: Path, options: BisectOptions, lang: Lang) -> None:
    """The record for machines, or the report and where it lies."""
    if options.as_json:
        emit(to_json(written, indent=2))
    else:
        emit(on_terminal(document(), lang, brief=True))
        emit(Words(lang.value)("terminal.report", path=folder / MARKDOWN_NAME))


def _undone(trials: tuple[Trial, ...]) -> ExitCode:
    """Why there is no answer, as an exit status."""
    states = {trial.status for trial in trials}
    for status, code in (
        (Status.INTERRUPTED, ExitCode.INTERRUPTED),
        (Status.INVALID, ExitCode.USAGE),
        (Status.SKIPPED, ExitCode.PRECONDITION),
    ):
        if status in states:
            return code
    return ExitCode.INCONCLUSIVE


def _command(request: BisectRequest, name: str) -> str:
    return typed_command(request).replace("bisect-oom", name, 1)


def _made(asked: Path | None, request: BisectRequest, command: str) -> Path:
    try:
        folder = new_folder(asked, time.time(), command=command)
        write_whole(folder / REQUEST_NAME, to_json(request, indent=2) + "\n")
    except RunFolderError as error:
        text = f"--run-dir {asked} is in use, and nothing in it was touched: name an empty folder, or leave it out"
        raise CommandError(text, ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot make the run folder: {error}", ExitCode.PRECONDITION) from error
    return folder


def _run(work: Callable[[Callable[[], bool]], R], folder: Path, words: Words) -> R:
    note(words("bisect.live.folder", folder=folder))
    with stop_on_signal(lambda: None) as stop:
        try:
            return work(lambda: stop.made)
        except (JournalError, OSError) as error:
            text = f"the run cannot be written: {error}. What was run is kept in {folder}"
            raise CommandError(text, ExitCode.FAILURE) from error


def _written(write: Callable[[], R]) -> R:
    try:
        return write()
    except OSError as error:
        raise CommandError(f"the report cannot be written: {error}", ExitCode.FAILURE) from error
