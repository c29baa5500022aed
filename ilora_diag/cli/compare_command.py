"""What `ilora-diag compare` does once its options are read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit
from ilora_diag.compare.compare import NotComparableError, compare
from ilora_diag.compare.subject import Subject, subject_of
from ilora_diag.engine.compare_read import CompareReadError, read_comparable
from ilora_diag.engine.redact import this_identity
from ilora_diag.schema import to_json
from reports.markdown import render_document
from reports.view.compare import compare_document


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """What was typed; the tolerance as a part of one."""

    a: Path
    b: Path
    tolerance: float = 0.01
    top: int = 20
    as_json: bool = False
    as_markdown: bool = False


def run_compare(request: CompareRequest, *, lang: Lang | None) -> ExitCode:
    """Read both, compare, show.

    Raises:
        CommandError: one is not there, or the two cannot be compared.
    """
    if request.as_json and request.as_markdown:
        raise CommandError("--json and --md exclude each other", ExitCode.USAGE)
    language = chosen_lang(lang, os.environ)
    paths = (str(request.a), str(request.b))
    try:
        found = compare(_subject(request.a), _subject(request.b), paths=paths, tolerance=request.tolerance)
    except (CompareReadError, NotComparableError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if request.as_json:
        emit(to_json(found, indent=2))
    else:
        document = compare_document(found, language.value, top=request.top)
        emit(render_document(document) if request.as_markdown else on_terminal(document, language, brief=False))
    return ExitCode.OK if found.is_equal else ExitCode.FAILURE


def _subject(path: Path) -> Subject:
    record = read_comparable(path, now=time.time(), tool_version=version("ilora-diag"), identity=this_identity())
    subject = subject_of(record)
    if subject is None:
        raise CompareReadError(f"{path} is a report of no training; there is nothing in it to compare")
    return subject
