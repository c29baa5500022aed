"""The report's particulars, then the answer in three lines with the pair of trials that proves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from ilora_diag.schema import SCHEMA_VERSION, Confidence, Unavailable
from ilora_diag.schema.bisect import Cause, Outcome
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
    if story.cause is None:
        return _no_cause(story)
    values = {"confidence": confidence(story, story.confidence), "finding": finding(story, story.cause)}
    return story.fill("bisect.answer", **values)


def finding(story: BisectStory, cause: Cause) -> Text:
    """What the cause is, and at which levels it comes and goes."""
    words = story.words
    changes = story.joined(
        story.contrast(factor.name, factor.failing_level, factor.passing_level) for factor in cause.factors
    )
    return story.fill(
        "bisect.finding.detailed" if cause.detail else "bisect.finding",
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
        (words("bisect.summary.symptom"), bisect_symptom.in_one_line(story)),
        (_cause_label(story), _cause_line(story)),
        (words("bisect.summary.action"), bisect_next.recommended(story)),
    )
    items: tuple[Text, ...] = tuple((strong(label), " ", *spans(text)) for label, text in lines)
    blocks: list[Block] = [Bullets(items=items), _box(story), *_pair(story)]
    return (Section(title=words("bisect.summary.title"), blocks=tuple(blocks), brief=True),)


def plain(text: Text) -> str:
    """A text without its spans, for a line of a terminal."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in spans(text))


def _confidence(story: BisectStory) -> str:
    """That of the answer, and that of the trials where it is another."""
    told = confidence(story, story.confidence)
    if not story.is_virtual_alone:
        return told
    confirmed = confidence(story, Confidence.CONFIRMED)
    return story.words("bisect.header.confidence.virtual", confidence=told, trials=confirmed)


def _cause_label(story: BisectStory) -> str:
    if story.cause is None:
        return story.words("bisect.summary.answer")
    return story.words("bisect.summary.cause", confidence=confidence(story, story.confidence))


def _cause_line(story: BisectStory) -> Text:
    bisect = story.bisect
    if story.cause is None:
        tried = story.runs(step.trial for step in bisect.steps)
        return story.cite(_no_cause(story), *tried[:4], story.fact("outcome"))
    pair = bisect.boundary
    where = (story.fact("cause"),) if pair is None else story.runs((pair.fail, pair.pass_))
    return story.cite(finding(story, story.cause), *where)


def _no_cause(story: BisectStory) -> Text:
    bisect, reproduction = story.bisect, story.bisect.reproduction
    found = story.fill(
        f"bisect.answer.{bisect.outcome.value}",
        failed=str(reproduction.num_failed),
        runs=str(reproduction.num_runs),
        factors=str(len(bisect.factors)),
        ruled_out=str(len(bisect.ruled_out)),
        suspects=story.joined((code(name),) for name in bisect.suspects) or story.words("bisect.nobody"),
        reason=story.words.reason(bisect_next.why_not_run(story)),
    )
    if not story.measures:
        return found
    best = story.fill("bisect.answer.best", change=story.change(story.measures[0][1].change))
    return (*spans(found), story.words("bisect.gap"), *spans(best))


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
    at_failure = trial is not None and trial.status in FAILS
    if isinstance(value, Unavailable) or (at_failure and not story.is_out_of_memory):
        return story.words("bisect.no_peak")
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
