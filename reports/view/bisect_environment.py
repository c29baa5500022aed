"""Where it was run: what was asked for against what was in force, and what the checks make of the machine."""

from __future__ import annotations

from ilora_diag.schema import Known, Settings, Unavailable, Value
from ilora_diag.units import format_bytes
from reports.blocks import Block, Bullets, Code, Details, Paragraph, Section, Table, Text, code, strong
from reports.view.bisect_story import BisectStory
from reports.view.env_check import finding_consequence, finding_title, value_text
from reports.view.teller import setting_text

_READ = frozenset(
    {"version", "card", "allocator", "attention", "parameters", "precision", "checkpointing", "loop", "env", "parts"}
)
"""First words of what a trial reads where it acts (`probes.trial_effective`)."""


def environment(story: BisectStory) -> tuple[Section, ...]:
    """Requested against effective, facts, findings, and the whole failing configuration."""
    words = story.words
    blocks: list[Block] = [*_settings(story), *_findings(story), *_facts(story)]
    known = story.bisect.effective
    whole = story.bisect.base if isinstance(known, Unavailable) else known
    if whole:
        key = "bisect.environment.base" if isinstance(known, Unavailable) else "bisect.environment.whole"
        text = "\n".join(f"{name}: {setting_text(value)}" for name, value in whole)
        blocks.append(Details(summary=words(key, num=len(whole)), blocks=(Code(text=text, language="yaml"),)))
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
    rows = tuple(_row(story, key, *values) for key, values in _compared(story, found).items())
    if rows:
        names = ("column.key", "column.requested", "column.effective")
        blocks.append(Table(columns=tuple(words(name) for name in names), rows=rows))
    return blocks


def _compared(story: BisectStory, found: Settings) -> dict[str, tuple[Known[Value], Known[Value]]]:
    """What was typed, what differs from the configuration, and what a trial reads where it acts: key -> both values."""
    nothing = Unavailable(reason="not in the record", source="bisect.json")
    typed = {key: value for key, value in story.bisect.requested if not key.startswith("--")}
    asked, in_force = {**dict(story.bisect.base), **typed}, dict(found)
    rows: dict[str, tuple[Known[Value], Known[Value]]] = {}
    for key, value in asked.items():
        effective: Known[Value] = in_force.get(_read_as(key), nothing)
        differs = not isinstance(effective, Unavailable) and not same(value, effective)
        if key in typed or differs:
            rows[key] = (value, effective)
    shown = {_read_as(key) for key in rows}
    for key, value in found:
        if key.partition(".")[0] in _READ and key not in shown and value not in (None, ()):
            rows[key] = (nothing, value)
    return rows


def _read_as(key: str) -> str:
    """The key under which a trial reads what was asked for: of the virtual card, what the card says."""
    return f"card.{key.removeprefix('device.')}" if key.startswith("device.") else key


def same(asked: Value, effective: Value) -> bool:
    """Whether both are the same setting: what was typed is text."""
    return setting_text(asked) == setting_text(effective)


def _row(story: BisectStory, key: str, asked: Known[Value], effective: Known[Value]) -> tuple[Text, ...]:
    words = story.words
    requested: Text = words("bisect.no_peak") if isinstance(asked, Unavailable) else (code(setting(key, asked)),)
    if isinstance(effective, Unavailable):
        return ((code(key),), requested, words("bisect.environment.not_read"))
    shown = setting(key, effective)
    differs = not isinstance(asked, Unavailable) and not same(asked, effective)
    return ((code(key),), requested, (strong(shown),) if differs else (code(shown),))


def setting(key: str, value: Value) -> str:
    """A setting's value, bytes with their unit."""
    if key.endswith("_bytes") and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return format_bytes(value)
    return setting_text(value)


def _findings(story: BisectStory) -> list[Block]:
    """What the checks of the machine say, each with how sure they are."""
    words, found = story.words, story.bisect.findings
    if not found and isinstance(story.bisect.facts, Unavailable):
        return []
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
