"""Where it was run: what was asked for against what was in force, and what the checks make of the machine."""

from __future__ import annotations

from ilora_diag.schema import Settings, Unavailable, Value
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Code, Details, Paragraph, Section, Table, Text, code, strong
from reports.view.bisect_story import BisectStory
from reports.view.env_check import finding_consequence, finding_title, value_text
from reports.view.teller import setting_text


def environment(story: BisectStory) -> tuple[Section, ...]:
    """Requested against effective, facts, findings, and the whole failing configuration."""
    words = story.words
    blocks: list[Block] = [*_settings(story), *_findings(story), *_facts(story)]
    if story.bisect.base:
        text = "\n".join(f"{key}: {setting_text(value)}" for key, value in story.bisect.base)
        summary = words("bisect.environment.base", num=len(story.bisect.base))
        blocks.append(Details(summary=summary, blocks=(Code(text=text, language="yaml"),)))
    return (Section(title=words("bisect.environment.title"), blocks=tuple(blocks)),)


def _settings(story: BisectStory) -> list[Block]:
    words, bisect = story.words, story.bisect
    effective = bisect.effective
    if isinstance(effective, Unavailable):
        text = words("bisect.environment.unknown", reason=words.reason(effective.reason))
        found: Settings = ()
        blocks: list[Block] = [Paragraph(text=story.cite(text, story.fact("effective")))]
    else:
        found = effective
        text = words("bisect.environment.caption")
        blocks = [Paragraph(text=story.cite(text, story.fact("requested"), story.fact("effective")))]
    asked, in_force = {**dict(bisect.requested)}, dict(found)
    rows = tuple(_row(story, key, asked, in_force) for key in dict.fromkeys((*asked, *in_force)))
    if rows:
        names = ("column.key", "column.requested", "column.effective")
        blocks.append(Table(columns=tuple(words(name) for name in names), rows=rows))
    return blocks


def _row(story: BisectStory, key: str, asked: dict[str, Value], in_force: dict[str, Value]) -> tuple[Text, ...]:
    requested: Text = (code(setting(key, asked[key])),) if key in asked else story.words("bisect.environment.default")
    if key not in in_force:
        return ((code(key),), requested, story.words("bisect.environment.not_read"))
    effective = setting(key, in_force[key])
    differs = key in asked and asked[key] != in_force[key]
    return ((code(key),), requested, (strong(effective),) if differs else (code(effective),))


def setting(key: str, value: Value) -> str:
    """A setting's value, bytes with their unit."""
    if key.endswith("_bytes") and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return format_bytes(value)
    return setting_text(value)


def _findings(story: BisectStory) -> list[Block]:
    """What the checks of the machine say, each with how sure they are."""
    words, found = story.words, story.bisect.findings
    if not found:
        return [Paragraph(text=story.cite(words("bisect.environment.no_finding"), story.fact("findings")))]
    items = []
    for index, finding in enumerate(found):
        sure = words(f"bisect.confidence.{finding.confidence.value}")
        text: Text = (
            strong(f"{finding.code} {finding.category}"),
            words("bisect.environment.sure", confidence=sure),
            f"{finding_title(finding, words)} {finding_consequence(finding, words)}",
        )
        items.append(story.cite(text, story.fact(f"findings/{index}", finding.code)))
    caption = story.cite(words("bisect.environment.findings", num=len(found)), story.fact("findings"))
    return [Paragraph(text=caption), Bullets(items=tuple(items))]


def _facts(story: BisectStory) -> list[Block]:
    words, facts = story.words, story.bisect.facts
    if isinstance(facts, Unavailable):
        text = words("bisect.environment.no_facts", reason=words.reason(facts.reason))
        return [Paragraph(text=story.cite(text, story.fact("facts")))]
    known = [fact for fact in facts.facts if not isinstance(fact.value, Unavailable)]
    rows: tuple[tuple[Text, ...], ...] = tuple(
        ((code(fact.path),), value_text(fact.value, words, fact.path), fact.source) for fact in known
    )
    if not rows:
        return []
    columns = (words("env.column.fact"), words("env.column.value"), words("env.column.source"))
    summary = words("bisect.environment.facts", num=len(known), total=len(facts.facts))
    return [Details(summary=summary, blocks=(Table(columns=columns, rows=rows),))]
