"""All trials, the commands that repeat the investigation, and the files it rests on with their hashes."""

from __future__ import annotations

from ilora_diag.schema import FailureSignature, Status, Trial
from ilora_diag.schema.bisect import Step
from ilora_diag.units import format_bytes
from reports.blocks import Block, Code, Details, Paragraph, Section, Table, Text, code, link
from reports.view.bisect_story import RECORD_NAME, BisectStory
from reports.view.bisect_summary import peak_of
from reports.view.outcome import shell


def appendix(story: BisectStory) -> tuple[Section, ...]:
    """Trials, reproduction, evidence."""
    words = story.words
    return (
        Section(title=words("bisect.appendix.trials"), blocks=(_trials(story),)),
        Section(title=words("bisect.appendix.reproduce"), blocks=_reproduce(story)),
        Section(title=words("bisect.appendix.evidence"), blocks=_evidence(story)),
    )


def _trials(story: BisectStory) -> Block:
    words, bisect = story.words, story.bisect
    if not bisect.trials:
        return Paragraph(text=words("bisect.course.none"))
    by_id = {step.trial: step for step in bisect.steps}
    peak = ("peak",) if story.is_out_of_memory else ()
    names = ("trial", "purpose", "changed", "result", "signature", *peak, "seconds", "process")
    rows = tuple(_trial_row(story, trial, by_id.get(trial.id)) for trial in bisect.trials)
    table = Table(
        columns=tuple(words(f"bisect.column.{name}") for name in names), rows=rows, numeric=(5, 6) if peak else (5,)
    )
    return Details(summary=words("bisect.appendix.trials.summary", num=len(rows)), blocks=(table,))


def _trial_row(story: BisectStory, trial: Trial, step: Step | None) -> tuple[Text, ...]:
    words = story.words
    signature = trial.signature
    return (
        (story.run(trial.id),),
        words(f"bisect.purpose.{step.purpose.value}") if step else "",
        story.relaxed(step) if step else "",
        story.result(trial),
        _why(story, trial, signature),
        *((peak_of(story, trial.id),) if story.is_out_of_memory else ()),
        story.tell.duration(trial.seconds),
        words("bisect.process.fresh" if step is None or step.is_fresh else "bisect.process.forked"),
    )


def _why(story: BisectStory, trial: Trial, signature: FailureSignature | None) -> Text:
    if signature is not None and trial.status is not Status.INVALID:
        return (code(story.signature(signature)),)
    reason = trial.reason.partition("\n")[0]
    if reason and trial.status is Status.INVALID:
        return (code(reason),)
    return story.words.reason(reason)


def _reproduce(story: BisectStory) -> tuple[Block, ...]:
    words = story.words
    commands = {
        "again": story.bisect.command,
        "report": shell("ilora-diag", "report", story.folder, "--lang", words.lang),
        "check": shell("ilora-diag", "report", story.folder, "--check"),
    }
    lines = [f"# {words(f'bisect.reproduce.{key}')}\n{command}\n" for key, command in commands.items()]
    return (Code(text="\n".join(lines), language="sh"),)


def _evidence(story: BisectStory) -> tuple[Block, ...]:
    words, files = story.words, story.bisect.evidence
    record: Text = (words("bisect.evidence.record"), " ", link(RECORD_NAME, RECORD_NAME))
    if not files:
        return (Paragraph(text=record), Paragraph(text=words("bisect.evidence.none")))
    rows: tuple[tuple[Text, ...], ...] = tuple(
        ((link(file.path, file.path),), format_bytes(file.size_bytes), (code(file.sha256),)) for file in files
    )
    table = Table(columns=(words("column.file"), words("bisect.column.size"), "SHA-256"), rows=rows, numeric=(1,))
    summary = words("bisect.evidence.files", num=len(files))
    return (Paragraph(text=record), Details(summary=summary, blocks=(table,)))
