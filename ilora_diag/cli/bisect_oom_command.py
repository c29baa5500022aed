"""What `ilora-diag bisect-oom` does once its options are read."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from ilora_diag.bisect.found import SearchOptions
from ilora_diag.bisect.plan import plan
from ilora_diag.cli.bisect_options import BisectOptions, request_of, with_budget
from ilora_diag.cli.bisect_progress import Progress
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.bisect.examples import EXAMPLES
from ilora_diag.engine.bisect.investigate import Investigation, UnknownFactorError, mode_of, planned_factors
from ilora_diag.engine.bisect.user_factors import FactorsFileError
from ilora_diag.engine.bisect_evidence import with_evidence
from ilora_diag.engine.journal import JournalError
from ilora_diag.engine.redact import redact_text, this_identity
from ilora_diag.engine.run_folder import RUNS_FOLDER, is_running, new_folder, write_whole
from ilora_diag.engine.runlog import RunFolderError
from ilora_diag.engine.stop_request import stop_on_signal
from ilora_diag.schema import SchemaError, from_json, to_json
from ilora_diag.schema.bisect import Bisect, Outcome
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.trial import Status
from ilora_diag.units import typed_bytes
from reports.messages import Words
from reports.view.bisect import bisect_document, bisect_headline
from reports.view.bisect_plan import plan_document
from reports.view.outcome import shell
from reports.write import MARKDOWN_NAME, write_bisect

REQUEST_NAME = "request.json"
_EXIT = {
    Outcome.CAUSE_FOUND: ExitCode.FAILURE,
    Outcome.INTERRUPTED: ExitCode.INTERRUPTED,
}


def run_bisect(options: BisectOptions, *, lang: Lang | None) -> ExitCode:
    """Investigate, report, and say what was found.

    Raises:
        CommandError: nothing was investigated, and why.
    """
    language = chosen_lang(lang, os.environ)
    request = _resumed(options) if options.resume is not None else request_of(options)
    try:
        if options.plan:
            return _plan(request, options, language)
        folder = options.resume or _made(options.run_dir, request)
        found = _investigated(request, folder, language)
    except (FactorsFileError, UnknownFactorError, JournalError, RunFolderError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    _tell(found, folder, language, as_json=options.as_json)
    return exit_code(found)


def exit_code(found: Bisect) -> ExitCode:
    """What an investigation's end is to the shell."""
    if found.outcome is Outcome.CANNOT_RUN:
        refused = found.trials and found.trials[-1].status is Status.INVALID
        return ExitCode.USAGE if refused else ExitCode.PRECONDITION
    return _EXIT.get(found.outcome, ExitCode.INCONCLUSIVE)


def _made(asked: Path | None, request: BisectRequest) -> Path:
    try:
        folder = new_folder(asked, time.time(), command="bisect-oom")
        write_whole(folder / REQUEST_NAME, to_json(request, indent=2) + "\n")
    except OSError as error:
        raise CommandError(f"cannot make the run folder: {error}", ExitCode.PRECONDITION) from error
    return folder


def _resumed(options: BisectOptions) -> BisectRequest:
    """The request of an earlier run; only its budget may be another."""
    folder = options.resume
    assert folder is not None
    if options.overrides or options.script or options.config or options.example:
        raise CommandError(
            f"--resume {folder} goes on with what was asked then: leave the configuration out. Allowed beside it is "
            "--budget",
            ExitCode.USAGE,
        )
    try:
        request = from_json(BisectRequest, (folder / REQUEST_NAME).read_bytes())
    except OSError as error:
        raise CommandError(
            f"--resume {folder}: it holds no investigation (there is no readable {REQUEST_NAME}): name a folder that "
            f"`ilora-diag bisect-oom` wrote, such as {RUNS_FOLDER}/ID",
            ExitCode.USAGE,
        ) from error
    except SchemaError as error:
        raise CommandError(f"--resume {folder}: its {REQUEST_NAME} cannot be read: {error}", ExitCode.USAGE) from error
    if is_running(folder):
        raise CommandError(f"--resume {folder}: another process is investigating in it", ExitCode.USAGE)
    return with_budget(request, options.budget)


def _investigated(request: BisectRequest, folder: Path, lang: Lang) -> Bisect:
    note(Words(lang.value)("bisect.live.folder", folder=folder))
    progress = Progress(lang.value)
    # What draws the figures takes a second to import, and this process does little but wait until then.
    threading.Thread(target=import_module, args=("matplotlib.backends.backend_svg",), daemon=True).start()
    with stop_on_signal(progress.stopping) as stop:

        def stopped() -> bool:
            progress.pulse()
            return stop.made

        work = Investigation(
            request=request,
            folder=folder,
            command=typed_command(request),
            listener=progress,
            stop=stopped,
            tool_version=version("ilora-diag"),
        )
        try:
            found = work.run()
        except OSError as error:
            again = shell("ilora-diag", "bisect-oom", "--resume", str(folder))
            text = f"the investigation cannot be written: {error}. What was run is kept; to go on, type: {again}"
            raise CommandError(text, ExitCode.FAILURE) from error
    try:
        return write_bisect(with_evidence(_placed(found, folder), folder), folder, lang.value)
    except OSError as error:
        again = shell("ilora-diag", "bisect-oom", "--resume", str(folder))
        text = f"{bisect_headline(found, lang.value)} Its report cannot be written: {error}. To try again: {again}"
        raise CommandError(text, ExitCode.FAILURE) from error


def _placed(found: Bisect, folder: Path) -> Bisect:
    """The record with where its report comes to stand, for the commands that go on from it."""
    return replace(found, report=redact_text(str(folder / MARKDOWN_NAME), this_identity()))


def _tell(found: Bisect, folder: Path, lang: Lang, *, as_json: bool) -> None:
    if as_json:
        emit(to_json(found, indent=2))
    else:
        emit(bisect_headline(found, lang.value))
        emit("\n" + on_terminal(bisect_document(found, lang.value), lang, brief=True))
        emit(Words(lang.value)("terminal.report", path=folder / MARKDOWN_NAME))
    if found.outcome in (Outcome.INTERRUPTED, Outcome.BUDGET_SPENT):
        note(Words(lang.value)("terminal.resume", command=shell("ilora-diag", "bisect-oom", "--resume", str(folder))))


def _plan(request: BisectRequest, options: BisectOptions, lang: Lang) -> ExitCode:
    factors, not_applicable = planned_factors(request)
    made = plan(factors, SearchOptions(mode=mode_of(request), alpha=request.alpha), not_applicable)
    if options.as_json:
        emit(to_json(made, indent=2))
    else:
        emit(on_terminal(plan_document(made, lang.value), lang, brief=False))
    return ExitCode.OK


def typed_command(request: BisectRequest) -> str:
    """The command line that asks for the same investigation."""
    if request.example:
        words = ["ilora-diag", "bisect-oom", "--example", request.example]
        words += ["--device", request.device] if request.device != EXAMPLES[request.example].device else []
        return shell(*words, *(["--mode", "fast"] if request.mode == "fast" else []))
    words = ["ilora-diag", "bisect-oom", *request.overrides]
    words += [f"{key}={value}" for key, value in request.base if key.startswith("env.")]
    given = dict(request.base)
    for option, value in (
        ("--config", request.config),
        ("--device", request.device),
        ("--memory", _typed_size(given.get("device.memory_bytes"))),
        ("--other-processes", _typed_size(given.get("device.other_bytes"))),
        ("--torch", request.torch_version),
        ("--factors", ",".join(request.only)),
        ("--skip-factors", ",".join(request.skip)),
        ("--factors-file", request.factors_file),
        ("--max-steps", request.max_steps),
    ):
        words += [option, str(value)] if value else []
    words += ["--no-vmm"] if given.get("device.vmm") is False else []
    words += ["--mode", "full"] if request.mode == "full" else []
    words += ["--exact"] if request.exact else []
    if request.script:
        words += ["-m"] if request.script_is_module else []
        words += ["--", request.script, *request.script_args]
    return shell(*words)


def _typed_size(value: object) -> str:
    return typed_bytes(value) if isinstance(value, int) else ""
