"""Every statement of the report with its place in a vocabulary of four words, and why the cause has the one it has."""

from __future__ import annotations

from ilora_diag.schema import Confidence, Unavailable
from ilora_diag.schema.bisect import Outcome, Purpose
from reports.blocks import Block, Bullets, Paragraph, Section, Span, Table, Text, code, spans, strong
from reports.view import bisect_cause, bisect_symptom
from reports.view.bisect_story import BisectStory
from reports.view.bisect_summary import answer, confidence

_CONFIRMED, _UNTESTED = Confidence.CONFIRMED, Confidence.UNKNOWN


def conclusion(story: BisectStory) -> tuple[Section, ...]:
    """The statements, then the grounds of the cause's confidence, then the vocabulary."""
    words = story.words
    caption = story.cite(words("bisect.conclusion.caption"), story.fact("outcome"))
    columns = tuple(words(f"bisect.column.{name}") for name in ("statement", "confidence", "evidence"))
    table = Table(columns=columns, rows=tuple(_statements(story)))
    blocks: list[Block] = [Paragraph(text=caption), table, *_grounds(story)]
    return (Section(title=words("bisect.conclusion.title"), blocks=tuple(blocks)),)


def _statements(story: BisectStory) -> list[tuple[Text, ...]]:
    """What can be said, most important first."""
    found, bisect, words = story.cause, story.bisect, story.words
    rows = []
    if found is not None:
        where = bisect_cause.passing_trials(story, found)
        rows.append(_row(story, answer(story), story.confidence, *where))
        if story.is_virtual_alone:
            text = story.fill("bisect.statement.mechanism", device=code(bisect.device))
            rows.append(_row(story, text, _CONFIRMED, *where))
        if not isinstance(found.is_sufficient, Unavailable):
            key = "bisect.statement.sufficient" if found.is_sufficient else "bisect.statement.insufficient"
            tried = story.runs(step.trial for step in story.steps(Purpose.SUFFICIENT))
            rows.append(_row(story, words(key), _CONFIRMED, *(tried or (story.fact("cause/is_sufficient"),))))
        else:
            reason = words.reason(found.is_sufficient.reason)
            text = words("bisect.statement.sufficient.unknown", reason=reason)
            rows.append(_row(story, text, _UNTESTED, story.fact("cause/is_sufficient")))
    else:
        rows.append(_open_row(story))
    rows.append(_reproduced(story))
    if bisect.ruled_out:
        trials = story.runs(trial for one in bisect.ruled_out for trial in one.trials)
        rows.append(_row(story, words("bisect.statement.ruled_out", num=len(bisect.ruled_out)), _CONFIRMED, *trials))
    if story.measures:
        _, fix = story.measures[0]
        text = story.fill("bisect.statement.fix", change=story.change(fix.change), num=str(len(fix.verified_by)))
        rows.append(_row(story, text, _CONFIRMED, *story.runs(fix.verified_by)))
    untested = bisect.num_untested
    if isinstance(untested, Unavailable):
        text = words("bisect.statement.untested.unknown", reason=words.reason(untested.reason))
    else:
        text = words("bisect.statement.untested", num=f"{untested:,}")
    rows.append(_row(story, text, _UNTESTED, story.fact("num_untested")))
    return rows


def _open_row(story: BisectStory) -> tuple[Text, ...]:
    """What is known in place of a cause: an observation where trials show it, otherwise an open question."""
    base = story.runs(step.trial for step in story.unchanged())
    mild = story.runs(step.trial for step in story.steps(Purpose.PREFLIGHT_MILD))
    shown = {Outcome.OUTSIDE_FACTORS: mild, Outcome.NOT_REPRODUCED: base, Outcome.FAILS_DIFFERENTLY: base}
    where = shown.get(story.bisect.outcome, ())
    return _row(story, answer(story), _CONFIRMED if where else _UNTESTED, *where, story.fact("outcome"))


def _reproduced(story: BisectStory) -> tuple[Text, ...]:
    reproduction = story.bisect.reproduction
    values = {"failed": reproduction.num_failed, "runs": reproduction.num_runs}
    if not reproduction.num_failed:
        text = story.words("bisect.statement.not_reproduced", **values)
        level = _UNTESTED if story.bisect.outcome is Outcome.CANNOT_RUN else _CONFIRMED
        return _row(story, text, level, story.fact("reproduction"))
    text = story.words("bisect.statement.reproduced", **values)
    return _row(story, text, _CONFIRMED, *bisect_symptom.failing_runs(story), story.fact("reproduction"))


def _row(story: BisectStory, text: Text, level: Confidence, *where: Span) -> tuple[Text, ...]:
    evidence = story.joined((span,) for span in dict.fromkeys(where))
    return (tuple(spans(text)), (strong(confidence(story, level)),), evidence)


def _grounds(story: BisectStory) -> list[Block]:
    """Why the cause is as sure as it is: computed, so that nobody has to be believed."""
    found = story.cause
    blocks: list[Block] = []
    if found is not None and found.reasons:
        caption = story.fill("bisect.conclusion.grounds", confidence=strong(confidence(story, story.confidence)))
        items: list[Text] = [
            story.cite(_ground(story, reason), story.fact(f"cause/reasons/{index}"))
            for index, reason in enumerate(found.reasons)
        ]
        blocks += [Paragraph(text=story.cite(caption, story.fact("cause/confidence"))), Bullets(items=tuple(items))]
    return blocks


def _ground(story: BisectStory, reason: str) -> Text:
    if not story.words.named(f"bisect.ground.{reason}", ""):
        return story.words.reason(reason)
    return story.fill(f"bisect.ground.{reason}", device=code(story.bisect.device))
