"""The cause in its four parts: direct, root, the conditions it needs, and what it is not."""

from __future__ import annotations

from ilora_diag.schema import Status, Unavailable
from ilora_diag.schema.bisect import Cause, Purpose, RuledOut
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Paragraph, Section, Span, Table, Text, code
from reports.view import bisect_retention, bisect_symptom
from reports.view.bisect_story import BisectStory


def cause(story: BisectStory) -> tuple[Section, ...]:
    """Direct cause, root cause, conditions, hypotheses ruled out."""
    words, found = story.words, story.cause
    head = "bisect.cause_section.found" if found else "bisect.cause_section.open"
    where = (story.fact("cause"),) if found else (story.fact("outcome"),)
    return (
        Section(title=words("bisect.cause_section.title"), blocks=(Paragraph(text=story.cite(words(head), *where)),)),
        Section(title=words("bisect.direct.title"), blocks=_direct(story)),
        Section(title=words("bisect.root.title"), blocks=(_root(story),)),
        Section(title=words("bisect.conditions.title"), blocks=_conditions(story)),
        Section(title=words("bisect.ruled_out.title"), blocks=_ruled_out(story)),
    )


def passing_trials(story: BisectStory, found: Cause) -> tuple[Span, ...]:
    """The trials that ran with the cause relaxed, and nothing else, and passed."""
    relaxed = {(factor.name, factor.passing_level) for factor in found.factors}
    ids = [step.trial for step in story.searched() if set(step.relaxed) == relaxed]
    return story.runs(one for one in ids if _passed(story, one))


def is_proven(found: Cause) -> bool:
    """Whether the factors are necessary, which the certificate says, and sufficient, which a trial of its own says."""
    return found.is_sufficient is True


def _passed(story: BisectStory, trial_id: str) -> bool:
    trial = story.trial(trial_id)
    return trial is not None and trial.status is Status.OK


def _direct(story: BisectStory) -> tuple[Block, ...]:
    found, words = story.cause, story.words
    if found is None:
        return (Paragraph(text=story.cite(words("bisect.open"), story.fact("outcome"))), *_clues(story))
    names = ", ".join(factor.name for factor in found.factors)
    failing = story.settings((factor.name, factor.failing_level) for factor in found.factors)
    passing = story.settings((factor.name, factor.passing_level) for factor in found.factors)
    blocks: list[Block] = [
        Paragraph(
            text=story.cite(words.named(f"bisect.meaning.{found.category}", names), story.fact("cause/category"))
        ),
        Paragraph(
            text=story.cite(story.fill("bisect.direct.fails", failing=failing), *bisect_symptom.failing_runs(story))
        ),
        Paragraph(text=story.cite(story.fill("bisect.direct.passes", passing=passing), *passing_trials(story, found))),
    ]
    if found.detail:
        text = story.fill("bisect.direct.detail", detail=code(found.detail))
        blocks.append(Paragraph(text=story.cite(text, story.fact("cause/detail"))))
    return tuple(blocks)


def _clues(story: BisectStory) -> list[Block]:
    """What points at a cause that is not proven: the first touch, what stays from step to step, and who holds it."""
    found: list[Block] = []
    for step in story.steps(Purpose.FIRST_TOUCH):
        key = "bisect.clue.first_touch.passes" if _passed(story, step.trial) else "bisect.clue.first_touch.fails"
        found.append(Paragraph(text=story.cite(story.words(key), story.run(step.trial))))
    return [*found, *_growth_clue(story)]


def _growth_clue(story: BisectStory) -> list[Block]:
    retention = story.bisect.retention
    if retention is None or not retention.is_growing:
        return []
    slope = format_bytes(round(retention.slope_bytes))
    grown = [(index, one) for index, one in enumerate(retention.grown) if not isinstance(one.holder, Unavailable)]
    if not grown:
        return [Paragraph(text=story.cite(story.words("bisect.clue.growth", slope=slope), story.fact("retention")))]
    index, one = grown[0]
    text = story.fill("bisect.clue.held", slope=slope, holder=bisect_retention.holder_text(story, one.holder))
    return [Paragraph(text=story.cite(text, story.fact("retention"), story.fact(f"retention/grown/{index}")))]


def _root(story: BisectStory) -> Paragraph:
    """Filled in only where the check of necessity and sufficiency passed."""
    found, words = story.cause, story.words
    if found is None or not is_proven(found):
        if found is None:
            text = words("bisect.root.open")
            return Paragraph(text=story.cite(text, story.fact("outcome")))
        unknown = isinstance(found.is_sufficient, Unavailable)
        text = words("bisect.root.untried" if unknown else "bisect.root.insufficient")
        return Paragraph(text=story.cite(text, story.fact("cause/is_sufficient")))
    root = words.named(f"bisect.root.{found.category}", words.named(f"bisect.meaning.{found.category}", ""))
    proof = story.runs(step.trial for step in story.steps(Purpose.SUFFICIENT, Purpose.CERTIFICATE))
    where = proof or (story.fact("cause/is_sufficient"),)
    virtual = story.on_virtual_card and story.is_driver_error
    text = f"{root}{words('bisect.gap')}{words('bisect.root.virtual')}" if virtual else root
    return Paragraph(text=story.cite(text, *where, story.fact("cause/is_sufficient")))


def _conditions(story: BisectStory) -> tuple[Block, ...]:
    """When it fails, in terms of levels, and on what."""
    found, words, boundary = story.cause, story.words, story.bisect.boundary
    if found is None:
        return (Paragraph(text=story.cite(words("bisect.open"), story.fact("outcome"))),)
    items: list[Text] = []
    failing = story.settings((factor.name, factor.failing_level) for factor in found.factors)
    key = "bisect.conditions.together" if len(found.factors) > 1 else "bisect.conditions.one"
    items.append(story.cite(story.fill(key, failing=failing), story.fact("cause/factors")))
    sufficient = story.runs(step.trial for step in story.steps(Purpose.SUFFICIENT))
    if is_proven(found):
        where = sufficient or (story.fact("cause/is_sufficient"),)
        items.append(story.cite(words("bisect.conditions.sufficient"), *where))
    mending = set(passing_trials(story, found))
    for index, fix in story.measures:
        if not mending.intersection(story.runs(fix.verified_by)):
            text = story.fill("bisect.conditions.also", change=story.change(fix.change))
            items.append(story.cite(text, *story.runs(fix.verified_by), story.fact(f"fixes/{index}")))
    if boundary is not None:
        at, gone = (
            code(story.level(boundary.factor, level)) for level in (boundary.failing_level, boundary.passing_level)
        )
        text = story.fill("bisect.conditions.boundary", factor=code(boundary.factor), at=at, gone=gone)
        items.append(story.cite(text, *story.runs((boundary.fail, boundary.pass_))))
    items.append(
        story.cite(story.fill("bisect.conditions.device", device=code(story.bisect.device)), story.fact("fingerprint"))
    )
    return (Bullets(items=tuple(items)),)


def _ruled_out(story: BisectStory) -> tuple[Block, ...]:
    words, found = story.words, story.bisect.ruled_out
    if not found:
        return (Paragraph(text=story.cite(words("bisect.ruled_out.none"), story.fact("ruled_out"))),)
    caption = story.cite(words("bisect.ruled_out.caption", num=len(found)), story.fact("ruled_out"))
    names = ("hypothesis", "changed", "result", "trials")
    table = Table(
        columns=tuple(words(f"bisect.column.{name}") for name in names),
        rows=tuple(_ruled_out_row(story, one) for one in found),
    )
    return (Paragraph(text=caption), table)


def _ruled_out_row(story: BisectStory, one: RuledOut) -> tuple[Text, ...]:
    words, factor = story.words, story.factor(one.factor)
    hypothesis: Text = (code(one.factor),)
    about = story.about(one.factor)
    if about:
        hypothesis = (code(one.factor), f": {about}")
    changes = [
        (code(f"{factor.levels[0].name} -> {story.level(one.factor, level)}" if factor else str(level)),)
        for level in dict.fromkeys(
            dict(step.relaxed)[one.factor]
            for step in story.bisect.steps
            if step.trial in one.trials and one.factor in dict(step.relaxed)
        )
    ]
    results = dict.fromkeys(story.result(story.trial(trial_id)) for trial_id in one.trials)
    return (
        hypothesis,
        story.joined(changes),
        words("separator").join(results),
        story.joined((span,) for span in story.runs(one.trials)),
    )
