"""What happened: the exact error, how surely it comes back, where, and what the allocator says of it."""

from __future__ import annotations

import re

from ilora_diag.schema import FailureSignature, Unavailable
from ilora_diag.schema.bisect import Purpose
from ilora_diag.units import format_bytes
from reports.blocks import Block, Code, Paragraph, Section, Span, Table, Text, code
from reports.view.bisect_story import FAILS, BisectStory

_LONGEST = 120
_ASKED = re.compile(r".*?Tried to allocate [\d.]+ \w+")
_REQUEST = ("requested", "capacity", "free", "this_process", "other_processes", "allocated", "unallocated")


def short_error(story: BisectStory) -> str:
    """What the failure is called in a title."""
    signature = story.bisect.signature
    if isinstance(signature, Unavailable):
        return story.words("bisect.error.none")
    family = signature.family.value
    return story.words.named(f"bisect.error.{family}", first_line(story.bisect.error_text) or family)


def first_line(text: str) -> str:
    """The first line of an error, cut where it gets long."""
    line = text.strip().partition("\n")[0]
    asked = _ASKED.match(line)
    if asked is not None:
        return asked[0]  # the numbers behind it stand in a table of their own
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST].rstrip()} ..."


def in_one_line(story: BisectStory) -> Text:
    """The failure, how often, and at which stage."""
    bisect, reproduction = story.bisect, story.bisect.reproduction
    signature = bisect.signature
    if isinstance(signature, Unavailable):
        text = story.fill("bisect.symptom.none", reason=story.words.reason(signature.reason))
        return story.cite(text, story.fact("signature"), story.fact("reproduction"))
    text = story.fill(
        "bisect.symptom.line",
        error=code(first_line(bisect.error_text)),
        stage=stage(story, signature),
        failed=str(reproduction.num_failed),
        runs=str(reproduction.num_runs),
    )
    return story.cite(text, *failing_runs(story), story.fact("reproduction"))


def stage(story: BisectStory, signature: FailureSignature) -> str:
    """Where a run was when it failed, in words."""
    if isinstance(signature.stage, Unavailable):
        return story.tell.known(signature.stage)
    return story.words.named(f"bisect.stage.{signature.stage}", signature.stage)


def failing_runs(story: BisectStory) -> tuple[Span, ...]:
    """The runs of the unchanged configuration that failed."""
    return story.runs(step.trial for step in story.unchanged() if _failed(story, step.trial))


def symptom(story: BisectStory) -> tuple[Section, ...]:
    """The error word for word, its signature, and how often it came."""
    words, bisect = story.words, story.bisect
    first = failing_runs(story)[:1] or (story.fact("error_text"),)
    blocks: list[Block] = []
    if bisect.error_text:
        caption = story.cite(words("bisect.symptom.error"), *first)
        blocks += [Paragraph(text=caption), Code(text=bisect.error_text, language="text")]
    caption = story.cite(words("bisect.symptom.signature"), story.fact("signature"), story.fact("reproduction"))
    table = Table(columns=(words("column.item"), words("column.value")), rows=_rows(story))
    blocks += [Paragraph(text=caption), table, *_request(story)]
    return (Section(title=words("bisect.symptom.title"), blocks=tuple(blocks)),)


def _failed(story: BisectStory, trial_id: str) -> bool:
    trial = story.trial(trial_id)
    return trial is not None and trial.status in FAILS


def _rows(story: BisectStory) -> tuple[tuple[Text, ...], ...]:
    words, bisect, reproduction = story.words, story.bisect, story.bisect.reproduction
    rows: list[tuple[Text, ...]] = []
    signature = bisect.signature
    if isinstance(signature, Unavailable):
        rows.append((words("bisect.symptom.family"), story.tell.known(signature)))
    else:
        rows += [
            (words("bisect.symptom.family"), (code(signature.family.value),)),
            (words("bisect.symptom.stage"), stage(story, signature)),
            (words("bisect.symptom.frame"), story.tell.known(signature.top_frame)),
            (words("bisect.symptom.code"), (code(signature.code),)),
        ]
    rate = words("bisect.symptom.rate.of", failed=reproduction.num_failed, runs=reproduction.num_runs)
    rows.append((words("bisect.symptom.rate"), rate))
    first = story.steps(Purpose.PREFLIGHT_FAIL)
    trial = story.trial(first[0].trial) if first else None
    if trial is not None:
        rows.append((words("bisect.symptom.seconds"), story.tell.duration(trial.seconds)))
    return tuple(rows)


def _request(story: BisectStory) -> list[Block]:
    """What the allocator, or its message, says of the request that failed."""
    request, words = story.bisect.failed_request, story.words
    if request is None:
        return []
    rows: list[tuple[Text, ...]] = []
    for name in _REQUEST:
        value = getattr(request, f"{name}_bytes")
        shown = words("bisect.not_known") if isinstance(value, Unavailable) else format_bytes(value)
        rows.append((words(f"bisect.request.{name}"), shown))
    caption = story.cite(words("bisect.request.caption"), story.fact("failed_request"))
    table = Table(columns=(words("column.item"), words("bisect.column.size")), rows=tuple(rows), numeric=(1,))
    return [Paragraph(text=caption), table]
