"""How it was investigated: what a trial is, what counts as the same failure, which factors, how often."""

from __future__ import annotations

from ilora_diag.schema import Unavailable
from ilora_diag.schema.bisect import Factor, Outcome, Purpose
from reports.blocks import Block, Bullets, Details, Paragraph, Section, Table, Text, code
from reports.view.bisect_story import BisectStory


def method(story: BisectStory) -> tuple[Section, ...]:
    """The rules in a few lines, then the factors with their levels, then what does not apply here."""
    words, bisect = story.words, story.bisect
    blocks: list[Block] = [Bullets(items=_rules(story))]
    if bisect.factors:
        caption = story.cite(words("bisect.method.factors", num=len(bisect.factors)), story.fact("factors"))
        names = ("factor", "about", "failing", "levels", "kind")
        table = Table(
            columns=tuple(words(f"bisect.column.{name}") for name in names),
            rows=tuple(_factor_row(story, factor) for factor in bisect.factors),
        )
        blocks += [Paragraph(text=caption), table]
    if bisect.not_applicable:
        rows: tuple[tuple[Text, ...], ...] = tuple(
            ((code(one.what),), words.reason(one.reason)) for one in bisect.not_applicable
        )
        table = Table(columns=(words("bisect.column.factor"), words("column.why")), rows=rows)
        blocks.append(Details(summary=words("bisect.method.not_applicable", num=len(rows)), blocks=(table,)))
    return (Section(title=words("bisect.method.title"), blocks=tuple(blocks)),)


def _rules(story: BisectStory) -> tuple[Text, ...]:
    words, bisect, reproduction = story.words, story.bisect, story.bisect.reproduction
    items: list[Text] = [story.cite(words("bisect.method.trial"), story.fact("steps"))]
    if not isinstance(bisect.signature, Unavailable):
        text = story.fill("bisect.method.oracle", signature=code(story.signature(bisect.signature)))
        items.append(story.cite(text, story.fact("signature")))
    mode = "full" if story.steps(Purpose.EFFECT) else "fast"
    items.append(story.cite(words(f"bisect.method.search.{mode}"), story.fact("steps")))
    controls = story.steps(Purpose.CONTROL)
    flaky = bisect.outcome in (Outcome.FLAKY, Outcome.SUSPECTS)
    steady = not flaky and reproduction.num_failed == reproduction.num_runs
    repeats = words(
        "bisect.method.repeats.once" if steady else "bisect.method.repeats",
        alpha=f"{reproduction.alpha:g}",
        repeats=reproduction.pass_repeats,
        runs=len(story.steps(Purpose.PREFLIGHT_FAIL)),
        controls=len(controls),
    )
    items.append(story.cite(repeats, story.fact("reproduction"), *story.runs(step.trial for step in controls)))
    items.append(words("bisect.method.vocabulary"))
    if story.on_virtual_card:
        text = story.fill("bisect.method.virtual", device=code(bisect.device))
        items.append(story.cite(text, story.fact("device")))
    return tuple(items)


def _factor_row(story: BisectStory, factor: Factor) -> tuple[Text, ...]:
    words = story.words
    kind = words(f"bisect.kind.{factor.kind.value}")
    marks = [kind, *([words("bisect.method.mitigation")] if factor.is_mitigation else [])]
    return (
        (code(factor.name),),
        story.about(factor.name),
        (code(story.level(factor.name, 0)),),
        story.joined((code(story.level(factor.name, index)),) for index in range(1, len(factor.levels))),
        words("separator").join(marks),
    )
