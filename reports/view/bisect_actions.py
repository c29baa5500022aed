"""What to do: now, for good, and against its coming back; then what has not been tried, with how to try it."""

from __future__ import annotations

from ilora_diag.schema import Unavailable
from ilora_diag.schema.bisect import Fix, Outcome, Purpose
from ilora_diag.units import format_bytes
from reports.blocks import Block, Code, Paragraph, Section, Table, Text, code
from reports.view import bisect_next
from reports.view.bisect_story import BisectStory

_PROCESSES = "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv"


def actions(story: BisectStory) -> tuple[Section, ...]:
    """Provisional measures, permanent ones, prevention."""
    words = story.words
    head = Section(
        title=words("bisect.actions.title"),
        blocks=(Paragraph(text=story.cite(words("bisect.actions.caption"), story.fact("fixes"))),),
        brief=True,
    )
    return (
        head,
        Section(title=words("bisect.actions.now"), blocks=_now(story), brief=True),
        Section(title=words("bisect.actions.permanent"), blocks=_permanent(story)),
        Section(title=words("bisect.actions.prevention"), blocks=_prevention(story)),
    )


def recommendations(story: BisectStory) -> tuple[Section, ...]:
    """Only what nobody has tried, each with the command that would try it."""
    words = story.words
    blocks: list[Block] = []
    for text, command in _untried(story):
        blocks += [Paragraph(text=text), Code(text=command, language="sh")]
    if not blocks:
        blocks = [Paragraph(text=story.cite(words("bisect.recommend.none"), story.fact("num_untested")))]
    return (Section(title=words("bisect.recommend.title"), blocks=tuple(blocks)),)


def _now(story: BisectStory) -> tuple[Block, ...]:
    words, fixes = story.words, [fix for _, fix in story.measures]
    if not fixes:
        return (Paragraph(text=story.cite(words("bisect.actions.no_fix"), story.fact("fixes"))),)
    caption = story.cite(words("bisect.actions.verified"), story.fact("fixes"))
    names = ("action", "cost", "headroom", "verified")
    table = Table(
        columns=tuple(words(f"bisect.column.{name}") for name in names),
        rows=tuple(_fix_row(story, fix) for fix in fixes),
        numeric=(2,),
    )
    return (Paragraph(text=caption), table)


def _fix_row(story: BisectStory, fix: Fix) -> tuple[Text, ...]:
    spare, words = fix.headroom_bytes, story.words
    return (
        story.change(fix.change),
        bisect_next.cost(story, fix.cost),
        words("bisect.not_known") if isinstance(spare, Unavailable) else format_bytes(spare),
        story.joined((span,) for span in story.runs(fix.verified_by)),
    )


def _permanent(story: BisectStory) -> tuple[Block, ...]:
    """What removes the root cause; untested here unless it is what was tried."""
    words, found = story.words, story.cause
    if found is None:
        return (Paragraph(text=story.cite(words("bisect.actions.open"), story.fact("outcome"))),)
    text = words.named(f"bisect.permanent.{found.category}", words("bisect.permanent.any"))
    rows: tuple[tuple[Text, ...], ...] = ((text, words("bisect.done_when"), words("bisect.untested")),)
    caption = story.cite(words("bisect.actions.permanent.caption"), story.fact("cause/category"))
    names = ("action", "done_when", "verified")
    return (Paragraph(text=caption), Table(columns=tuple(words(f"bisect.column.{name}") for name in names), rows=rows))


def _prevention(story: BisectStory) -> tuple[Block, ...]:
    """What would have told beforehand."""
    words = story.words
    rows: list[tuple[Text, ...]] = []
    if story.is_out_of_memory:
        rows.append(_preventive(story, "estimate", bisect_next.estimate_command(story)))
        rows.append(_preventive(story, "processes", _PROCESSES))
    rows.append(_preventive(story, "env_check", "ilora-diag env-check --strict"))
    rows.append(_preventive(story, "record", "ilora-diag env-check --save-facts facts.json"))
    caption = story.cite(words("bisect.actions.prevention.caption"), story.fact("signature"))
    names = ("action", "command", "verified")
    table = Table(columns=tuple(words(f"bisect.column.{name}") for name in names), rows=tuple(rows))
    return (Paragraph(text=caption), table)


def _preventive(story: BisectStory, name: str, command: str) -> tuple[Text, ...]:
    return (story.words(f"bisect.prevent.{name}"), (code(command),), story.words("bisect.untested"))


def _untried(story: BisectStory) -> list[tuple[Text, str]]:
    """Sentences and commands, most telling first."""
    bisect, words = story.bisect, story.words
    steps: list[tuple[Text, str]] = []
    if bisect.outcome is not Outcome.CAUSE_FOUND:
        first = story.cite(words(f"bisect.recommend.{bisect.outcome.value}"), story.fact("outcome"))
        steps.append((first, bisect_next.next_command(story)))
    if bisect.outcome is Outcome.OUTSIDE_FACTORS:
        text = story.cite(words("bisect.recommend.place"), story.fact("signature"))
        command = bisect.command.replace("bisect-oom", "bisect-device", 1)
        steps.append((text, command))
    if story.on_virtual_card:
        steps.append((story.cite(words("bisect.recommend.card"), story.fact("device")), bisect_next.on_the_card(story)))
    if story.is_driver_error and story.on_virtual_card:
        text = story.cite(words("bisect.recommend.driver"), story.fact("cause" if story.cause else "signature"))
        steps.append((text, "ilora-diag env-check --deep"))
    if story.cause is not None and not story.steps(Purpose.EFFECT):
        text = story.cite(words("bisect.recommend.full"), story.fact("num_untested"))
        steps.append((text, bisect_next.with_option(bisect.command, "--mode", "full")))
    if story.cause is not None and bisect.unsure:
        names = ",".join((*(factor.name for factor in story.cause.factors), *(one.what for one in bisect.unsure)))
        text = story.cite(words("bisect.recommend.unsure"), story.fact("unsure"))
        steps.append((text, bisect_next.with_option(bisect.command, "--factors", names)))
    return steps
