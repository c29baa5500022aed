"""What `ilora-diag report` does once its options are read."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from pathlib import Path

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit
from ilora_diag.engine.events import RUNLOG_NAME
from ilora_diag.engine.redact import this_identity
from ilora_diag.engine.report_check import check_report
from ilora_diag.engine.run_folder import is_running
from ilora_diag.engine.runlog import EFFECTIVE_NAME, RunFolderError
from ilora_diag.engine.train_report import build_report
from reports.json import JsonRenderer
from reports.markdown import MarkdownRenderer
from reports.messages import Words
from reports.write import MARKDOWN_NAME, write_report


def run_report(run: Path, *, lang: Lang | None, output: str | None, check: bool) -> ExitCode:
    """Render or check a run's report.

    Raises:
        CommandError: no such run, or its folder cannot be written.
    """
    if not (run / RUNLOG_NAME).is_file() and not (run / EFFECTIVE_NAME).is_file():
        raise CommandError(
            f"{run} holds no run (neither {RUNLOG_NAME} nor {EFFECTIVE_NAME}): name a folder that `ilora-diag train` "
            "wrote, such as reports/runs/ID",
            ExitCode.USAGE,
        )
    if is_running(run):
        raise CommandError(
            f"{run} is still being trained in; its report comes when that ends. Events so far: {run / RUNLOG_NAME}",
            ExitCode.INCONCLUSIVE,
        )
    language = chosen_lang(lang, os.environ)
    try:
        report = build_report(run, now=time.time(), tool_version=version("ilora-diag"), identity=this_identity())
        if check:
            return _check(check_report(run, report), run, language)
        if output == "json":
            emit(JsonRenderer().render(report))
        elif output == "md":
            emit(MarkdownRenderer(language.value).render(report))
        else:
            written = write_report(report, run, language.value)
            emit(on_terminal(written, language, brief=False))
            emit(Words(language.value)("terminal.report", path=run / MARKDOWN_NAME))
    except RunFolderError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot write the report: {error}", ExitCode.FAILURE) from error
    return ExitCode.OK


def _check(problems: tuple[str, ...], run: Path, lang: Lang) -> ExitCode:
    words = Words(lang.value)
    for problem in problems:
        emit(f"- {problem}")
    emit(words("check.failed", num=len(problems)) if problems else words("check.passed", path=run / MARKDOWN_NAME))
    return ExitCode.FAILURE if problems else ExitCode.OK
