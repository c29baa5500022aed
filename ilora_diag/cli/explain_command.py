"""What `ilora-diag explain` does once its options are read."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.streams import Lang, chosen_lang, emit
from ilora_diag.knowledge.pages import find_page, index, near
from ilora_diag.knowledge.reading import ErrorReading, read_error
from ilora_diag.knowledge.scan import scan_stream
from ilora_diag.schema import Facts, Unavailable, to_data
from ilora_diag.schema.explain_page import ExplainIndex, ExplainPage
from ilora_diag.schema.explanation import Explanation

if TYPE_CHECKING:
    from reports.blocks import Document

_PASTED_LIMIT = 4 << 20
_PASTED = re.compile(
    rb"PyTorch version:|<nvidia_smi_log|\| NVIDIA-SMI \d|Driver Version\s*:|Nvidia driver version|NVRM: "
    rb"|CUDA used to build|^\s*(?:export |- )?PYTORCH_(?:CUDA_)?ALLOC_CONF=|^\s*torch\s*[=:]{1,2}\s*\d",
    re.MULTILINE,
)
"""What tells that an environment was pasted beside the error: only then are importers loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """What was typed."""

    target: str | None = None
    text: str | None = None
    facts: Path | None = None
    as_json: bool = False
    as_markdown: bool = False
    list_all: bool = False


def run_explain(request: ExplainRequest, *, lang: Lang | None) -> ExitCode:
    """Read, judge, show.

    Raises:
        CommandError: nothing or too much was named, no such code or file, or facts that cannot be read.
    """
    _check_usage(request)
    language = chosen_lang(lang, os.environ)
    if request.list_all:
        whole = index(language.value)
        _show(request, whole, language)
        return ExitCode.OK
    page = None if request.target in (None, "-") else find_page(str(request.target), language.value)
    if page is not None:
        _show(request, page, language)
        return ExitCode.OK
    reading, pasted = _read(request)
    facts = _facts(request, pasted)
    from ilora_diag.knowledge.explain import explain  # loads every check, which a page does without

    found = explain(reading, facts, lang=language.value)
    _show(request, found, language)
    return _status(found)


def _check_usage(request: ExplainRequest) -> None:
    if request.as_json and request.as_markdown:
        raise CommandError("--json and --md exclude each other", ExitCode.USAGE)
    given = sum((request.target is not None, request.text is not None, request.list_all))
    if given == 0:
        raise CommandError("expected a CODE, a FILE, - or --text TEXT; --list shows the codes", ExitCode.USAGE)
    if given > 1:
        raise CommandError("CODE or FILE, --text and --list exclude each other", ExitCode.USAGE)


def _read(request: ExplainRequest) -> tuple[ErrorReading, bytes]:
    """The reading, and the text itself where it is short enough to hold a pasted environment."""
    if request.text is not None:
        data = request.text.encode("utf-8", "surrogateescape")
        return read_error(data), data
    if request.target == "-":
        return _scan(sys.stdin.buffer)
    path = Path(str(request.target))
    if path.is_dir():
        raise CommandError(f"{path} is a folder; expected a FILE, a CODE or -", ExitCode.USAGE)
    try:
        with path.open("rb") as file:
            return _scan(file)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) or " " in str(path):
            raise CommandError(_unknown_target(str(request.target)), ExitCode.USAGE) from error
        raise CommandError(f"{path} cannot be read: {error}", ExitCode.USAGE) from error


def _unknown_target(target: str) -> str:
    if " " in target.strip():
        return f"no file is called {target[:60]!r}; an error text goes behind --text"
    meant = near(target)
    hint = f"; did you mean {' or '.join(meant)}?" if meant else "; --list shows the codes"
    return f"{target!r} is neither a code nor a file{hint}"


@dataclass(slots=True)
class _Tee:
    """A stream that keeps the beginning of what passes."""

    stream: BinaryIO
    kept: bytes = b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        if len(self.kept) <= _PASTED_LIMIT:
            self.kept += data
        return data


def _scan(stream: BinaryIO) -> tuple[ErrorReading, bytes]:
    tee = _Tee(stream)
    reading = scan_stream(cast(BinaryIO, tee))
    return reading, tee.kept if len(tee.kept) <= _PASTED_LIMIT else b""


def _facts(request: ExplainRequest, pasted: bytes) -> Facts | None:
    """The facts of --facts, and those that stand beside the error; a file counts more than what was pasted."""
    beside = None
    if _PASTED.search(pasted):
        from ilora_diag.collect.importers import ImportFactsError, import_facts

        try:
            beside = import_facts(pasted)
        except ImportFactsError:
            beside = None
    if request.facts is None:
        return beside
    from ilora_diag.collect.importers import ImportFactsError, import_facts

    try:
        given = import_facts(request.facts)
    except ImportFactsError as error:
        raise CommandError(f"--facts {request.facts}: {error}", ExitCode.USAGE) from error
    if beside is None:
        return given
    paths = {fact.path for fact in given.facts if not isinstance(fact.value, Unavailable)}
    rest = tuple(fact for fact in beside.facts if fact.path not in paths)
    shown = {fact.path for fact in rest}
    return Facts(captured_at=given.captured_at, facts=(*(f for f in given.facts if f.path not in shown), *rest))


def _show(request: ExplainRequest, record: Explanation | ExplainPage | ExplainIndex, lang: Lang) -> None:
    if request.as_json:
        emit(_json(record))
        return
    document = _document(record)
    if request.as_markdown:
        from reports.markdown import render_document

        emit(render_document(document))
    else:
        from ilora_diag.cli.show import on_terminal

        emit(on_terminal(document, lang))


def _json(record: Explanation | ExplainPage | ExplainIndex) -> str:
    """The record as JSON; `decide_by` is what the contract of the output calls a finding's decider."""
    data = to_data(record)
    for row in data.get("findings", ()):
        row["decide_by"] = row["decider"]
    return json.dumps(data, indent=2, allow_nan=False)


def _document(record: Explanation | ExplainPage | ExplainIndex) -> Document:
    """The document of what is to be shown; `--json` never loads what makes it."""
    from reports.view.explain import explain_document
    from reports.view.explain_page import index_document, page_document

    if isinstance(record, Explanation):
        return explain_document(record)
    return page_document(record) if isinstance(record, ExplainPage) else index_document(record)


def _status(found: Explanation) -> ExitCode:
    """1: a cause; 3: something is there that nothing is known of, or nothing to read; 0: read, and clean."""
    if any(one.category != "unknown" for one in found.findings) or found.leading:
        return ExitCode.FAILURE
    if found.findings or not found.num_lines or not isinstance(found.exception_type, Unavailable) or found.garbage:
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK
