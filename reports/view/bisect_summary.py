"""The report's particulars, then the answer in three lines with the pair of trials that proves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from ilora_diag.schema import SCHEMA_VERSION, Confidence, Unavailable
from ilora_diag.schema.bisect import Outcome
from ilora_diag.units import format_bytes, format_duration
from reports.blocks import Alert, Block, Bullets, Paragraph, Section, Table, Text, code, spans, strong
from reports.view import bisect_next, bisect_symptom
from reports.view.bisect_story import FAILS, INTERIM, BisectStory, measured

_JST = timezone(timedelta(hours=9), "JST")


def headline(story: BisectStory) -> str:
    """The investigation in one line: the answer, and what it took."""
    bisect, words = story.bisect, story.words
    took = words("bisect.took", num=bisect.num_trials, seconds=format_duration(bisect.duration_s))
    return words("bisect.headline", answer=plain(answer(story)), took=took)


def answer(story: BisectStory) -> Text:
    """The cause with its confidence, or what is known in its place; no evidence yet."""
    words, cause = story.words, story.cause
    if cause is None:
        return _no_cause(story)
    changes = story.joined(
        story.contrast(factor.name, factor.failing_level, factor.passing_level) for factor in cause.factors
    )
    return story.fill(
        "bisect.answer.detailed" if cause.detail else "bisect.answer",
        confidence=confidence(story, story.confidence),
        cause=words.named(f"bisect.cause.{cause.category}", cause.category),
        changes=changes,
        detail=code(cause.detail),
    )


def confidence(story: BisectStory, level: Confidence) -> str:
    """A word of the fixed vocabulary."""
    return story.words(f"bisect.confidence.{level.value}")


def header(story: BisectStory) -> tuple[Section, ...]:
    """What was investigated, when, by what, and how sure the result is."""
    bisect, words = story.bisect, story.words
    status = "interim" if bisect.outcome in INTERIM else "final"
    rows: list[tuple[Text, ...]] = [
        (words("bisect.header.id"), (code(bisect.run_id),)),
        (words("bisect.header.created"), _moments(bisect.created_at)),
        (words("bisect.header.status"), words(f"bisect.status.{status}")),
        (words("bisect.header.confidence"), _confidence(story)),
        (words("bisect.header.subject"), bisect.subject),
        (words("bisect.header.device"), _device(story)),
        (words("bisect.header.command"), (code(bisect.command),)),
        (words("bisect.header.tool"), (code(f"ilora-diag {bisect.tool_version}"), f" (schema {SCHEMA_VERSION})")),
        (words("bisect.header.fingerprint"), (code(bisect.fingerprint),)),
        (words("bisect.header.extent"), _extent(story)),
    ]
    if bisect.example:
        rows.insert(5, (words("bisect.header.example"), (code(bisect.example),)))
    table = Table(columns=(words("column.item"), words("column.value")), rows=tuple(rows))
    return (Section(title=words("bisect.header.title"), blocks=(table,)),)


def summary(story: BisectStory) -> tuple[Section, ...]:
    """Symptom, cause and what to do in a line each, one box, and the pair of trials that the answer rests on."""
    words = story.words
    lines = (
        ("symptom", bisect_symptom.in_one_line(story)),
        ("cause", _cause_line(story)),
        ("action", bisect_next.recommended(story)),
    )
    items: tuple[Text, ...] = tuple((strong(words(f"bisect.summary.{key}")), *spans(text)) for key, text in lines)
    blocks: list[Block] = [Bullets(items=items), _box(story), *_pair(story)]
    return (Section(title=words("bisect.summary.title"), blocks=tuple(blocks), brief=True),)


def plain(text: Text) -> str:
    """A text without its spans, for a line of a terminal."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in spans(text))


def _confidence(story: BisectStory) -> str:
    """That of the answer, and that of the trials where it is another."""
    found, told = story.cause, confidence(story, story.confidence)
    if found is None or found.confidence is story.confidence:
        return told
    return story.words("bisect.header.confidence.virtual", confidence=told, trials=confidence(story, found.confidence))


def _cause_line(story: BisectStory) -> Text:
    bisect = story.bisect
    if bisect.boundary is not None:
        return story.cite(answer(story), *story.runs((bisect.boundary.fail, bisect.boundary.pass_)))
    tried = story.runs(step.trial for step in story.bisect.steps)
    return story.cite(answer(story), *(tried[:4] if tried else (story.fact("outcome"),)))


def _no_cause(story: BisectStory) -> Text:
    bisect, reproduction = story.bisect, story.bisect.reproduction
    return story.fill(
        f"bisect.answer.{bisect.outcome.value}",
        failed=str(reproduction.num_failed),
        runs=str(reproduction.num_runs),
        factors=str(len(bisect.factors)),
        ruled_out=str(len(bisect.ruled_out)),
        suspects=story.joined((code(name),) for name in bisect.suspects) or story.words("bisect.nobody"),
        reason=story.words.reason(bisect_next.why_not_run(story)),
    )


def _box(story: BisectStory) -> Alert:
    """How far the answer can be relied on, in one box."""
    bisect = story.bisect
    if bisect.outcome is not Outcome.CAUSE_FOUND:
        key = f"bisect.box.{bisect.outcome.value}"
        return Alert(kind="warning", text=story.cite(story.words(key), story.fact("outcome")))
    assert story.cause is not None
    key = f"bisect.box.found.{story.confidence.value}"
    if story.on_virtual_card and story.is_driver_error:
        key = "bisect.box.found.virtual_driver"
    elif story.on_virtual_card:
        key = f"{key}.virtual"
    text = story.fill(key, device=code(bisect.device))
    return Alert(kind="note", text=story.cite(text, story.fact("cause/reasons")))


def _pair(story: BisectStory) -> tuple[Block, ...]:
    """The failing and the passing trial side by side."""
    words, boundary = story.words, story.bisect.boundary
    if boundary is None:
        return ()
    caption = story.cite(
        story.fill("bisect.pair.caption", factor=code(boundary.factor)), *story.runs((boundary.fail, boundary.pass_))
    )
    rows = tuple(
        (
            (story.run(trial_id),),
            (code(story.level(boundary.factor, level)),),
            (strong(story.result(story.trial(trial_id))),),
            peak_of(story, trial_id),
        )
        for trial_id, level in ((boundary.fail, boundary.failing_level), (boundary.pass_, boundary.passing_level))
    )
    columns = (
        words("bisect.column.trial"),
        boundary.factor,
        words("bisect.column.result"),
        words("bisect.column.peak"),
    )
    return (Paragraph(text=caption), Table(columns=columns, rows=rows, numeric=(3,)))


def peak_of(story: BisectStory, trial_id: str) -> str:
    """Reserved bytes at a trial's peak; a dash where it ended before it had one."""
    trial = story.trial(trial_id)
    value = measured(trial, "peak_reserved_bytes")
    if isinstance(value, Unavailable):
        return story.words("bisect.no_peak")
    at_failure = trial is not None and trial.status in FAILS
    return story.words("bisect.peak.until_failure" if at_failure else "bisect.peak.whole", size=format_bytes(value))


def _moments(seconds: float) -> str:
    utc = datetime.fromtimestamp(seconds, UTC)
    return f"{utc.astimezone(_JST):%Y-%m-%d %H:%M:%S} JST ({utc:%Y-%m-%d %H:%M:%S} UTC)"


def _device(story: BisectStory) -> Text:
    if story.on_virtual_card:
        return (code(story.bisect.device), " ", story.words("bisect.header.virtual"))
    return (code(story.bisect.device),)


def _extent(story: BisectStory) -> str:
    bisect = story.bisect
    return story.words("bisect.took", num=bisect.num_trials, seconds=format_duration(bisect.duration_s))
