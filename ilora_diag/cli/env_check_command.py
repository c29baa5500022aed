"""What `ilora-diag env-check` does once its options are read."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilora_diag.checks.categories import BY_CATEGORY, BY_CODE
from ilora_diag.checks.env import check_env, compare_ranks
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.collect.importers import ImportFactsError, import_facts
from ilora_diag.collect.store import redact_facts, save_facts
from ilora_diag.engine.redact import redact, this_identity
from ilora_diag.knowledge.reading import ErrorReading
from ilora_diag.knowledge.scan import scan_stream
from ilora_diag.schema import Facts, Finding, Severity, to_data
from ilora_diag.schema.env_check import EnvCheck, RankCheck, Verdict
from reports.markdown import render_document
from reports.view.env_check import env_document
from reports.view.env_ranks import ranks_document

if TYPE_CHECKING:
    from reports.blocks import Document

_MAX_STDIN = 64 << 20
_HEAD = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvCheckRequest:
    """What was typed."""

    as_json: bool = False
    as_markdown: bool = False
    facts: str | None = None
    save_facts: Path | None = None
    error: str | None = None
    deep: bool = False
    strict: bool = False
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    verbose: bool = False
    ranks: Path | None = None


def run_env_check(request: EnvCheckRequest, *, lang: Lang | None) -> ExitCode:
    """Collect or read, judge, show.

    Raises:
        CommandError: options that contradict each other, an unknown code, a file that cannot be read or written.
    """
    _refuse(request)
    language = chosen_lang(lang, os.environ)
    only, skip = _codes(request.only, "--only"), _codes(request.skip, "--skip")
    if request.ranks is not None:
        return _ranks(request, request.ranks, language)
    given = _error(request)
    facts, beside = _facts(request)
    reading = given or beside
    check = check_env(facts, reading, only=only, skip=skip)
    if request.save_facts is not None:
        _save(facts, request.save_facts)
    shown = check
    if request.as_json or request.as_markdown:  # these are made to be sent
        shown = check_env(redact_facts(facts, this_identity()), reading, only=only, skip=skip)
    _show(request, env_document(shown, language.value, verbose=request.verbose), _data(shown), language)
    return _exit_code(check, strict=request.strict)


def _refuse(request: EnvCheckRequest) -> None:
    if request.deep and (request.facts is not None or request.ranks is not None):
        raise CommandError("--deep probes this machine; it means nothing for facts of a file", ExitCode.USAGE)
    if request.ranks is not None and (request.facts is not None or request.error is not None):
        raise CommandError("--ranks reads a folder of facts; leave --facts and --error out", ExitCode.USAGE)
    if request.facts == "-" and request.error == "-":
        raise CommandError("--facts and --error cannot both come from stdin", ExitCode.USAGE)


def _codes(given: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Codes or categories, also several with commas between them, as codes."""
    codes = []
    for word in (part.strip() for one in given for part in one.split(",")):
        row = BY_CODE.get(word.upper()) or BY_CATEGORY.get(word.lower())
        if row is None:
            raise CommandError(f"{option} {word!r} is no code; known are {', '.join(BY_CODE)}", ExitCode.USAGE)
        codes.append(row.code)
    return tuple(codes)


def _error(request: EnvCheckRequest) -> ErrorReading | None:
    if request.error is None:
        return None
    if request.error == "-":
        return scan_stream(sys.stdin.buffer)
    try:
        with Path(request.error).open("rb") as file:
            return scan_stream(file)
    except OSError as error:
        raise CommandError(f"--error {request.error}: {error.strerror}", ExitCode.USAGE) from error


def _facts(request: EnvCheckRequest) -> tuple[Facts, ErrorReading | None]:
    """The facts, and the error that stands beside them in a pasted report."""
    if request.facts is None:
        from ilora_diag.collect.live import collect_facts

        return collect_facts(deep=request.deep), None
    source: bytes | Path = Path(request.facts)
    if request.facts == "-":
        source = sys.stdin.buffer.read(_MAX_STDIN + 1)
        if len(source) > _MAX_STDIN:
            raise CommandError("--facts -: more than 64 MiB; save it and give the file", ExitCode.USAGE)
    try:
        facts = import_facts(source)
    except ImportFactsError as error:
        hint = "; an error text alone goes to `ilora-diag explain FILE`"
        raise CommandError(f"--facts {request.facts}: {error}{hint}", ExitCode.USAGE) from error
    return facts, _beside(source)


def _beside(source: bytes | Path) -> ErrorReading | None:
    """The error in a pasted text, even where its form tells no importer that it is one; read as `explain` reads it."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        if file.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"<")):
            return None  # a record of ours, or XML
        file.seek(0)
        reading = scan_stream(file)
    return reading if reading.oom is not None or reading.leading is not None else None


def _save(facts: Facts, path: Path) -> None:
    try:
        save_facts(facts, path)
    except OSError as error:
        raise CommandError(f"--save-facts {path}: {error.strerror}", ExitCode.USAGE) from error
    note(f"{path}")


def _show(request: EnvCheckRequest, document: Document, data: dict[str, Any], language: Lang) -> None:
    if request.as_json:
        emit(json.dumps(data, allow_nan=False, indent=2))
        return
    if request.as_markdown:
        emit(render_document(document))
        return
    emit(on_terminal(document, language))


def _data(check: EnvCheck | RankCheck) -> dict[str, Any]:
    """The record as JSON; `decide_by` is what the contract of the output calls a finding's decider."""
    data = to_data(check)
    rows = data["findings"] if isinstance(check, EnvCheck) else [row for rank in data["findings"] for row in rank]
    for row in rows:
        row["decide_by"] = row["decider"]
    return data


def _exit_code(check: EnvCheck, *, strict: bool) -> ExitCode:
    if check.verdict is Verdict.FINDINGS:
        return ExitCode.FAILURE
    if check.verdict is Verdict.UNKNOWN:
        return ExitCode.INCONCLUSIVE
    warned = any(one.severity is Severity.WARNING for one in check.findings)
    return ExitCode.FAILURE if strict and warned else ExitCode.OK


def _ranks(request: EnvCheckRequest, folder: Path, language: Lang) -> ExitCode:
    if not folder.is_dir():
        raise CommandError(f"--ranks {folder}: no such folder", ExitCode.USAGE)
    named = []
    for file in sorted(folder.glob("*.json")):
        try:
            facts = import_facts(file)
        except ImportFactsError as error:
            raise CommandError(f"--ranks {file}: {error}", ExitCode.USAGE) from error
        index = facts.get("rank.index")
        named.append((str(index) if isinstance(index, int) else file.stem, facts))
    if not named:
        raise CommandError(f"--ranks {folder}: no facts files (*.json) in it", ExitCode.USAGE)
    named.sort(key=lambda one: (not one[0].isdigit(), int(one[0]) if one[0].isdigit() else 0, one[0]))
    check = compare_ranks(named)
    shown = redact(check, this_identity())
    _show(request, ranks_document(shown, language.value), _data(shown), language)
    sick = any(_is_error(one) for findings in check.findings for one in findings)
    return ExitCode.FAILURE if sick or any(one.matters for one in check.differences) else ExitCode.OK


def _is_error(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR
