"""What the trials showed, negative results too: effects, boundary, matrix, then memory and what stays in it."""

from __future__ import annotations

import re

from ilora_diag.schema import Status, Unavailable
from ilora_diag.schema.bisect import Effect, FactorKind, SideEffect
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Details, Paragraph, Section, Table, Text, code, strong
from reports.view import bisect_memory, bisect_retention
from reports.view.bisect_story import BisectStory
from reports.view.bisect_summary import peak_of


def findings(story: BisectStory) -> tuple[Section, ...]:
    """The section's parts, those that have something to say."""
    words = story.words
    head = Section(
        title=words("bisect.findings.title"),
        blocks=(Paragraph(text=story.cite(_overview(story), story.fact("trials"))),),
    )
    parts = (
        _effects(story),
        _boundary(story),
        _matrix(story),
        _side_effects(story),
        bisect_memory.peak(story),
        bisect_retention.retention(story),
        bisect_memory.expected(story),
        bisect_memory.knobs(story),
    )
    return (head, *(part for part in parts if part is not None))


def _overview(story: BisectStory) -> str:
    counts = dict.fromkeys(Status, 0)
    for trial in story.bisect.trials:
        counts[trial.status] += 1
    told = [
        story.words("bisect.course.times", num=num, result=story.words(f"bisect.result.{status.value}"))
        for status, num in counts.items()
        if num
    ]
    results = story.words("separator").join(told) or story.words("bisect.nobody")
    return story.words("bisect.findings.overview", num=story.bisect.num_trials, results=results)


def _effects(story: BisectStory) -> Section | None:
    """One factor changed at a time, in the order of what it saved."""
    words, effects = story.words, story.bisect.effects
    if not effects:
        return None
    caption = story.cite(words("bisect.effects.caption"), story.fact("effects"))
    names = ("factor", "level", "result", "peak", *(("difference",) if story.is_out_of_memory else ()), "trials")
    table = Table(
        columns=tuple(words(f"bisect.column.{name}") for name in names),
        rows=tuple(_effect_row(story, effect) for effect in sorted(effects, key=lambda one: _rank(story, one))),
        numeric=(3, 4) if story.is_out_of_memory else (3,),
    )
    blocks: tuple[Block, ...] = (Paragraph(text=caption), *story.figure("effects"), table)
    return Section(title=words("bisect.effects.title"), blocks=blocks)


def _rank(story: BisectStory, effect: Effect) -> tuple[bool, int, str]:
    trial = story.trial(effect.trial)
    peak = effect.peak_reserved_bytes
    failed = trial is None or trial.status is not Status.OK
    return failed, 0 if isinstance(peak, Unavailable) else peak, effect.factor


def _effect_row(story: BisectStory, effect: Effect) -> tuple[Text, ...]:
    trial, delta = story.trial(effect.trial), effect.delta_bytes
    result = story.result(trial)
    difference = story.words("bisect.no_peak") if isinstance(delta, Unavailable) else signed(delta)
    return (
        (code(effect.factor),),
        (code(story.level(effect.factor, effect.level)),),
        (strong(result),) if trial and trial.status is Status.OK else result,
        peak_of(story, effect.trial),
        *((difference,) if story.is_out_of_memory else ()),
        (story.run(effect.trial),),
    )


def signed(num_bytes: int) -> str:
    """A difference with its sign."""
    return f"+{format_bytes(num_bytes)}" if num_bytes > 0 else format_bytes(num_bytes)


def _boundary(story: BisectStory) -> Section | None:
    """The two adjacent levels that were both run, one failing and one passing, and whatever else was run on the way."""
    words, boundary = story.words, story.bisect.boundary
    if boundary is None:
        return None
    fail, passing = (
        code(f"{boundary.factor}={story.level(boundary.factor, level)}")
        for level in (boundary.failing_level, boundary.passing_level)
    )
    factor = story.factor(boundary.factor)
    ordered = factor is None or factor.kind is not FactorKind.UNORDERED
    key = "bisect.boundary.text" if ordered else "bisect.boundary.text.unordered"
    text = story.cite(
        story.fill(key, fail=fail, passing=passing),
        *story.runs((boundary.fail, boundary.pass_)),
        story.fact("boundary"),
    )
    rows = []
    for step in story.searched():
        others = [item for item in step.relaxed if item[0] != boundary.factor]
        if others and step.trial not in (boundary.fail, boundary.pass_):
            continue
        level = dict(step.relaxed).get(boundary.factor, 0)
        shown = story.result(story.trial(step.trial))
        rows.append((level, step.trial, (story.level(boundary.factor, level), shown, peak_of(story, step.trial))))
    lines = tuple(
        ((code(name),), shown, peak, (story.run(trial_id),))
        for _, trial_id, (name, shown, peak) in sorted(dict.fromkeys(rows))
    )
    names = ("level", "result", "peak", "trial")
    table = Table(columns=tuple(words(f"bisect.column.{name}") for name in names), rows=lines, numeric=(2,))
    blocks: tuple[Block, ...] = (Paragraph(text=text), *story.figure("boundary"), table)
    return Section(title=words("bisect.boundary.title"), blocks=blocks)


def _matrix(story: BisectStory) -> Section | None:
    """Every trial against every factor: a level where it was changed, a dot where it was left as it fails."""
    words, bisect = story.words, story.bisect
    steps = story.searched()
    if not steps or not bisect.factors:
        return None
    caption = story.cite(words("bisect.matrix.caption"), story.fact("steps"))
    rows = []
    for step in steps:
        relaxed = dict(step.relaxed)
        cells: list[Text] = [
            (code(story.level(factor.name, relaxed[factor.name])),) if factor.name in relaxed else "\N{MIDDLE DOT}"
            for factor in bisect.factors
        ]
        rows.append(((story.run(step.trial),), story.result(story.trial(step.trial)), *cells))
    columns = (words("bisect.column.trial"), words("bisect.column.result"), *(one.name for one in bisect.factors))
    table = Details(summary=words("bisect.matrix.table"), blocks=(Table(columns=columns, rows=tuple(rows)),))
    blocks: tuple[Block, ...] = (Paragraph(text=caption), *story.figure("trials"), table)
    return Section(title=words("bisect.matrix.title"), blocks=blocks)


def _side_effects(story: BisectStory) -> Section | None:
    """Changes that failed in another way, and factors that stay undecided."""
    words, bisect = story.words, story.bisect
    items = [_side_effect(story, index, one) for index, one in enumerate(bisect.side_effects)]
    for index, unsure in enumerate(bisect.unsure):
        if unsure.what in bisect.suspects:
            continue  # told as such
        reason, trials = split_trials(unsure.reason)
        text = story.fill("bisect.unsure", factor=code(unsure.what), reason=words.reason(reason))
        items.append(story.cite(text, *story.runs(trials), story.fact(f"unsure/{index}")))
    if not items:
        return None
    return Section(title=words("bisect.side_effects.title"), blocks=(Bullets(items=tuple(items)),))


def split_trials(reason: str) -> tuple[str, tuple[str, ...]]:
    """A reason without the trials that stand behind it, and these."""
    match = re.fullmatch(r"(.+): (T-\d+(?:, T-\d+)*)", reason)
    return (match[1], tuple(match[2].split(", "))) if match else (reason, ())


def _side_effect(story: BisectStory, index: int, effect: SideEffect) -> Text:
    trial = story.trial(effect.trial)
    if trial is not None and trial.status is Status.INVALID:
        text = story.fill("bisect.side_effect.refused", factor=code(effect.factor), text=code(_first(trial.reason)))
    elif effect.signature is not None:
        what = story.signature(effect.signature)
        text = story.fill("bisect.side_effect.other", factor=code(effect.factor), signature=code(what))
    else:
        reason = _first(effect.text)
        told = story.words.reason(reason)
        text = story.fill("bisect.side_effect", factor=code(effect.factor), text=told if told != reason else code(told))
    return story.cite(text, story.run(effect.trial), story.fact(f"side_effects/{index}"))


def _first(text: str) -> str:
    return text.partition("\n")[0] or "?"
