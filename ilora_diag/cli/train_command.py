"""What `ilora-diag train` does once its options are read."""

from __future__ import annotations

import os
import sys
import time
from importlib.metadata import version

from ilora.config import ConfigError
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.progress import live_progress
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.journal import JournalError
from ilora_diag.engine.redact import this_identity
from ilora_diag.engine.run_folder import PreparedRun, TrainRequest, prepare_run
from ilora_diag.engine.runlog import EFFECTIVE_NAME, RunFolderError
from ilora_diag.engine.train_report import build_report
from ilora_diag.engine.train_watch import trainer_argv, watch
from ilora_diag.schema import OUT_OF_MEMORY, ErrorFamily, Report, Status, Trial, Unavailable
from reports.json import JsonRenderer
from reports.messages import Words
from reports.view import headline, train_document
from reports.view.outcome import shell
from reports.write import MARKDOWN_NAME, write_report

_EXIT = {
    Status.OK: ExitCode.OK,
    Status.INVALID: ExitCode.USAGE,
    Status.SKIPPED: ExitCode.PRECONDITION,
    Status.TIMED_OUT: ExitCode.DEADLINE,
    Status.INTERRUPTED: ExitCode.INTERRUPTED,
}
_OF_THE_DEVICE = (OUT_OF_MEMORY - {ErrorFamily.OOM_HOST}) | {
    ErrorFamily.CUDA_DRIVER,
    ErrorFamily.CUDA_RUNTIME,
    ErrorFamily.CUDA_LIBRARY,
}
_NO_SUCH_DEVICE = "ConfigError: --device="


def run_train(request: TrainRequest, *, lang: Lang | None, as_json: bool) -> ExitCode:
    """Train, report, and say how it went.

    Raises:
        CommandError: nothing was run, and why.
    """
    language = chosen_lang(lang, os.environ)
    run = _prepare(request)
    note(f"run folder: {run.folder}")
    try:
        with live_progress(on_terminal=sys.stderr.isatty() and os.environ.get("TERM") != "dumb") as display:
            trial = watch(run, trainer_argv(run, request.device), display, deadline_s=request.deadline_s)
    except JournalError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"the training cannot be journaled: {error}", ExitCode.FAILURE) from error
    _tell(_written(run, language), run, language, as_json=as_json)
    return exit_code(trial)


def exit_code(trial: Trial) -> ExitCode:
    """What the end of a training is to the shell."""
    if trial.status is Status.INVALID and trial.reason.startswith(_NO_SUCH_DEVICE):
        return ExitCode.PRECONDITION
    return _EXIT.get(trial.status, ExitCode.FAILURE)


def _prepare(request: TrainRequest) -> PreparedRun:
    try:
        return prepare_run(request, now=time.time())
    except (ConfigError, RunFolderError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot make the run folder: {error}", ExitCode.PRECONDITION) from error


def _written(run: PreparedRun, lang: Lang) -> Report:
    """The run's report, after it was written into its folder."""
    report = build_report(run.folder, now=time.time(), tool_version=version("ilora-diag"), identity=this_identity())
    try:
        return write_report(report, run.folder, lang.value)
    except OSError as error:
        again = shell("ilora-diag", "report", str(run.folder))
        message = f"{headline(report, lang.value)}; its report cannot be written: {error}. To try again, type: {again}"
        raise CommandError(message, ExitCode.FAILURE) from error


def _tell(report: Report, run: PreparedRun, lang: Lang, *, as_json: bool) -> None:
    """The outcome on stdout; what went wrong and how to go on, on stderr, where it is seen in every mode."""
    words, trial = Words(lang.value), report.trials[-1]
    path = run.folder / MARKDOWN_NAME
    if as_json:
        emit(JsonRenderer().render(report))
    else:
        emit(f"{headline(report, lang.value)}; {words('terminal.report', path=path)}")
        if sys.stdout.isatty():
            emit(on_terminal(train_document(report, lang.value), lang, brief=True))
    if trial.status is Status.OK:
        return
    error = report.train.outcome.error if report.train else None
    if error is not None:
        note(f"ilora-diag: {error.message if trial.status is Status.INVALID else trial.reason}")
    if trial.status is not Status.INVALID:
        note(words("terminal.resume", command=shell("ilora-diag", "train", "--resume", str(run.folder))))
    cause = bisect_line(trial, run)
    if cause:
        note(words("terminal.bisect", command=cause))


def bisect_line(trial: Trial, run: PreparedRun) -> str:
    """What finds the cause of a failure of the device; empty for failures that trials of a step cannot show."""
    if trial.signature is None or trial.signature.family not in _OF_THE_DEVICE:
        return ""
    effective = dict(() if isinstance(trial.effective, Unavailable) else trial.effective)
    device = dict(trial.requested).get("--device")
    where = device if isinstance(device, str) and device not in ("auto", "") else str(effective.get("--device", "auto"))
    return shell("ilora-diag", "bisect-oom", "--config", str(run.folder / EFFECTIVE_NAME), "--device", where)
