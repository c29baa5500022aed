"""Whether an investigation report still holds: its text against the record, the record against journal and trials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from ilora_diag.bisect.certificate import verify
from ilora_diag.engine.bisect_claims import claim_problems
from ilora_diag.engine.bisect_evidence import evidence_file
from ilora_diag.engine.journal import JOURNAL_NAME, JournalError, read_journal
from ilora_diag.engine.redact import holds_secret
from ilora_diag.engine.report_check import check_rendering
from ilora_diag.engine.trial_run import read_answer
from ilora_diag.schema import LawError, SchemaError, Status, Trial, Unavailable, from_data
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.codec import parse
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from reports.messages import LANGUAGES
from reports.view.bisect import bisect_document
from reports.view.bisect_story import RECORD_NAME
from reports.write import MARKDOWN_NAME

_REDACTED = re.compile(r"~|<user>|<host>")
_PRINTED = ("reason", "stdout_tail", "stderr_tail")
"""Texts of a trial that are redacted as a whole, and prove nothing beside signature and status."""


def check_bisect(folder: Path) -> tuple[str, ...]:
    """What is wrong with the investigation report in a run folder; nothing if all of it holds."""
    try:
        data = parse((folder / RECORD_NAME).read_bytes())
        bisect = from_data(Bisect, data)
    except (OSError, SchemaError, LawError) as error:
        return (f"cannot read the report: {error}",)
    documents = {lang: bisect_document(bisect, lang) for lang in LANGUAGES}
    claims = dict.fromkeys(
        problem for document in documents.values() for problem in claim_problems(document, bisect, data)
    )
    return (
        *check_rendering(folder, documents, RECORD_NAME),
        *claims,
        *_files(bisect, folder),
        *_journal(bisect, folder),
        *_answers(bisect, folder),
        *verify(bisect),
        *_secrets(folder),
    )


def _files(bisect: Bisect, folder: Path) -> Iterator[str]:
    """Files that are gone or are not as they were when the investigation ended."""
    if bisect.trials and not bisect.evidence:
        yield f"{RECORD_NAME} names no files that it rests on"
    for file in bisect.evidence:
        try:
            now = evidence_file(folder, file.path)
        except OSError as error:
            yield f"{file.path} cannot be read: {error.strerror or error}"
            continue
        if now != file:
            yield f"{file.path} was changed since the investigation ended: its SHA-256 is another"


def _journal(bisect: Bisect, folder: Path) -> Iterator[str]:
    """Trials of the record that are not those of the journal, and the other way round."""
    try:
        written = {trial.id: trial for trial in read_journal(folder / JOURNAL_NAME).trials}
    except (OSError, JournalError) as error:
        if bisect.trials:
            yield f"cannot read the journal: {error}"
        return
    for trial in bisect.trials:
        if trial.id not in written:
            yield f"{trial.id} is in {RECORD_NAME} and not in the journal"
        else:
            yield from _differences(trial.id, trial, written[trial.id])
    known = {trial.id for trial in bisect.trials}
    for trial in written.values():
        ended = trial.status is not Status.INTERRUPTED
        if trial.id not in known and trial.fingerprint == bisect.fingerprint and ended:
            yield f"{trial.id} is in the journal and not in {RECORD_NAME}"


def _differences(path: str, told: object, found: object) -> Iterator[str]:
    """Where a record differs from the journal beyond what redaction changes in texts."""
    if is_dataclass(told) and type(told) is type(found):
        for spec in fields(told):
            if spec.name not in _PRINTED:
                yield from _differences(f"{path}.{spec.name}", getattr(told, spec.name), getattr(found, spec.name))
    elif isinstance(told, tuple) and isinstance(found, tuple) and len(told) == len(found):
        for index, (one, other) in enumerate(zip(told, found, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif not _agrees(told, found):
        yield f"{path} is {_short(told)} in {RECORD_NAME} and {_short(found)} in the journal"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _agrees(told: object, found: object) -> bool:
    """Whether both are the same, or a text and the same text redacted."""
    if type(told) is type(found) and told == found:
        return True
    if not (isinstance(told, str) and isinstance(found, str) and _REDACTED.search(told)):
        return False
    pattern = r"[^\s]*".join(re.escape(part) for part in _REDACTED.split(told))
    return re.fullmatch(pattern, found, re.DOTALL) is not None


def _answers(bisect: Bisect, folder: Path) -> Iterator[str]:
    """Numbers and outcomes of the record against what the trials said themselves."""
    answers = {trial.id: read_answer(folder / "trials" / trial.id) for trial in bisect.trials}
    for trial in bisect.trials:
        answer = answers[trial.id]
        if answer is not None:
            yield from _answer(trial, answer)
        elif trial.status in (Status.OK, Status.SAME, Status.OTHER) and trial.signal is None and trial.exit_code == 0:
            yield f"{trial.id} has no answer that can be read, and is told to have ended by itself"
    given = [answer for answer in answers.values() if answer is not None]
    for name in ("peak", "failed_request", "retention"):
        told = getattr(bisect, name)
        told_by = [getattr(answer, name) for answer in given]
        if told is None or isinstance(told, Unavailable):
            continue
        if all(any(_differences(name, told, one)) for one in told_by):
            yield f"{name} is not what any trial says"


def _answer(trial: Trial, answer: TrialAnswer) -> Iterator[str]:
    if answer.id != trial.id:
        yield f"the answer of {trial.id} says it is that of {answer.id}"
    if trial.status is Status.OK and answer.end is not TrialEnd.PASSED:
        yield f"{trial.id} passed by {RECORD_NAME}, and by its own answer {answer.end.value}"
    grew = answer.retention is not None and answer.retention.is_growing
    if trial.status is Status.SAME and answer.end is TrialEnd.PASSED and not grew:
        yield f"{trial.id} failed by {RECORD_NAME}, and passed by its own answer"
    said = {metric.name: metric.value for metric in answer.metrics}
    for metric in trial.metrics:
        if metric.name in said and said[metric.name] != metric.value:
            yield f"{trial.id}: {metric.name} is {metric.value} in {RECORD_NAME} and {said[metric.name]} in the answer"
    if not isinstance(trial.effective, Unavailable):
        yield from _differences(f"{trial.id}.effective", trial.effective, answer.effective)


def _secrets(folder: Path) -> Iterator[str]:
    for name in (MARKDOWN_NAME, RECORD_NAME):
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # told by the check of the rendering
        if holds_secret(text):
            yield f"{name} holds something that looks like a password or a token"
