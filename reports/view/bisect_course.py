"""How the investigation went, from the journal: what the user had already tried, then every group of trials in time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby

from ilora_diag.schema.bisect import Step
from reports.blocks import Block, Bullets, Paragraph, Section, Table, Text, code
from reports.view.bisect_story import BisectStory

_ZONES = {"ja": timezone(timedelta(hours=9), "JST")}


def course(story: BisectStory) -> tuple[Section, ...]:
    """Mitigations found in force, then the trials in groups of one purpose."""
    words = story.words
    blocks: list[Block] = [*_mitigations(story)]
    zone = _ZONES.get(words.lang, UTC)
    caption = story.cite(words("bisect.course.caption"), story.fact("steps"))
    if story.bisect.steps:
        groups = groupby(story.bisect.steps, key=lambda step: step.purpose)
        rows = tuple(_row(story, tuple(steps), zone) for _, steps in groups)
        names = ("time", "what", "result", "trials")
        columns = tuple(words(f"bisect.column.{name}", zone=zone.tzname(None)) for name in names)
        blocks += [Paragraph(text=caption), Table(columns=columns, rows=rows)]
    else:
        blocks.append(Paragraph(text=story.cite(words("bisect.course.none"), story.fact("steps"))))
    return (Section(title=words("bisect.course.title"), blocks=tuple(blocks)),)


def _mitigations(story: BisectStory) -> list[Block]:
    """What had been applied against the failure before; each is a factor like the others."""
    applied = [(index, one) for index, one in enumerate(story.bisect.factors) if one.is_mitigation]
    if not applied:
        return [Paragraph(text=story.cite(story.words("bisect.course.no_mitigation"), story.fact("factors")))]
    items = tuple(
        story.cite(
            story.fill("bisect.course.mitigation", setting=code(f"{factor.name}={factor.levels[0].name}")),
            story.fact(f"factors/{index}", f"factors.{factor.name}"),
        )
        for index, factor in applied
    )
    caption = story.cite(story.words("bisect.course.mitigations"), story.fact("factors"))
    return [Paragraph(text=caption), Bullets(items=items)]


def _row(story: BisectStory, steps: tuple[Step, ...], zone: timezone) -> tuple[Text, ...]:
    words = story.words
    trials = [story.trial(step.trial) for step in steps]
    begun = [trial.started_at for trial, step in zip(trials, steps, strict=True) if trial and not step.reused]
    time = f"{datetime.fromtimestamp(min(begun), zone):%H:%M:%S}" if begun else words("bisect.course.reused")
    counted = Counter(story.result(trial) for trial in trials)
    results = words("separator").join(
        words("bisect.course.times", num=num, result=result) if len(steps) > 1 else result
        for result, num in counted.items()
    )
    what = words(f"bisect.purpose.{steps[0].purpose.value}")
    return time, what, results, story.joined((span,) for span in story.runs(step.trial for step in steps))
