"""Where the memory went: its parts at the failure, what the step should need, and what each setting would buy."""

from __future__ import annotations

from collections.abc import Iterable

from ilora_diag.schema import Category, CategoryShare, Estimate, Knob, Unavailable
from ilora_diag.schema.trial_answer import PeakParts
from ilora_diag.units import format_bytes
from reports.blocks import Block, Details, Paragraph, Section, Table, Text, code
from reports.module_tree import module_tree, partition
from reports.view.bisect_story import BisectStory
from reports.view.estimate_rests import signed
from reports.view.estimate_story import bar, percent

_MAX_MODULES = 15
_MAX_KNOBS = 8


def peak(story: BisectStory) -> Section | None:
    """What the allocated bytes consist of; None where no trial could tell and there is no reason worth a section."""
    words, parts = story.words, story.bisect.peak
    title = words("bisect.peak.title")
    if isinstance(parts, Unavailable) and not story.is_out_of_memory:
        return None
    if isinstance(parts, Unavailable):
        text = words("bisect.peak.unknown", reason=words.reason(parts.reason))
        return Section(title=title, blocks=(Paragraph(text=story.cite(text, story.fact("peak"))),))
    key = "bisect.peak.at_failure" if parts.at_failure else "bisect.peak.passing"
    text = words(
        key,
        stage=words.named(f"bisect.stage.{parts.stage.value}", parts.stage.value),
        allocated=format_bytes(parts.allocated_bytes),
        reserved=format_bytes(parts.reserved_bytes),
    )
    blocks: list[Block] = [
        Paragraph(text=story.cite(text, story.fact("peak"))),
        *story.figure("peak"),
        _categories(story, parts),
        *story.figure("modules"),
        _modules(story, parts),
    ]
    return Section(title=title, blocks=tuple(blocks))


def expected(story: BisectStory) -> Section | None:
    """What the step should need by itself against what was there: the first table of the report ours answers."""
    words, estimate = story.words, story.bisect.estimate
    title = words("bisect.estimate.title")
    if isinstance(estimate, Unavailable) and not story.is_out_of_memory:
        return None
    if isinstance(estimate, Unavailable):
        text = words("bisect.estimate.unknown", reason=words.reason(estimate.reason))
        return Section(title=title, blocks=(Paragraph(text=story.cite(text, story.fact("estimate"))),))
    blocks: list[Block] = [
        Paragraph(text=story.cite(_verdict(story, estimate), story.fact("estimate"))),
        _expected_table(story, estimate),
        *story.figure("timeline"),
    ]
    return Section(title=title, blocks=tuple(blocks))


def knobs(story: BisectStory) -> Section | None:
    """What each setting would buy: the second table of the report ours answers, computed."""
    words, estimate = story.words, story.bisect.estimate
    if isinstance(estimate, Unavailable) or not estimate.knobs:
        return None
    caption = story.cite(words("bisect.knobs.caption"), story.fact("estimate/knobs"))
    base = estimate.peak.reserved_bytes
    names = ("change", "new_reserved", "difference", "cost")
    ranked = sorted(estimate.knobs, key=_buys)[:_MAX_KNOBS]
    table = Table(
        columns=tuple(words(f"estimate.column.{name}") for name in names),
        rows=tuple(_knob_row(story, knob, base) for knob in ranked),
        numeric=(1, 2),
    )
    return Section(title=words("bisect.knobs.title"), blocks=(Paragraph(text=caption), table))


def _categories(story: BisectStory, parts: PeakParts) -> Table:
    words, whole = story.words, parts.allocated_bytes
    rows = [
        (words(f"estimate.category.{category.value}"), format_bytes(size), percent(size, whole), bar(size, whole))
        for category, size in by_category(parts.by_category).items()
        if size
    ]
    rows.append((words("estimate.total"), format_bytes(whole), percent(whole, whole), ""))
    columns = (*(words(f"estimate.column.{name}") for name in ("category", "size", "share")), "")
    return Table(columns=columns, rows=tuple(rows), numeric=(1, 2))


def by_category(shares: Iterable[CategoryShare]) -> dict[Category, int]:
    """Bytes by category, in the order that every table keeps."""
    sizes = dict.fromkeys(Category, 0)
    for share in shares:
        sizes[share.category] += share.size_bytes
    return sizes


def _modules(story: BisectStory, parts: PeakParts) -> Details:
    words, whole = story.words, parts.allocated_bytes
    rows = partition(module_tree(parts.by_module), _MAX_MODULES)
    shown, hidden = rows[:_MAX_MODULES], rows[_MAX_MODULES:]
    lines: list[tuple[Text, ...]] = [
        (
            _name(story, row.branch.path, itself=row.itself),
            format_bytes(row.size_bytes),
            percent(row.size_bytes, whole),
        )
        for row in shown
    ]
    if hidden:
        rest = sum(row.size_bytes for row in hidden)
        lines.append((words("estimate.other", num=len(hidden)), format_bytes(rest), percent(rest, whole)))
    columns = tuple(words(f"estimate.column.{name}") for name in ("module", "size", "share"))
    table = Table(columns=columns, rows=tuple(lines), numeric=(1, 2))
    return Details(summary=words("bisect.peak.modules", num=len(shown)), blocks=(table,))


def _name(story: BisectStory, path: str, *, itself: bool) -> Text:
    if not path:
        return story.words("estimate.module.root")
    return (code(path), story.words("estimate.module.itself")) if itself else (code(path),)


def _verdict(story: BisectStory, estimate: Estimate) -> str:
    """Whether the step by itself explains the failure."""
    card = estimate.cards[0]
    values = {
        "need": format_bytes(estimate.peak.reserved_bytes),
        "used": format_bytes(estimate.peak.device_used_bytes),
        "memory": format_bytes(card.memory_bytes),
        "card": card.gpu.upper(),
    }
    if isinstance(card.fits, Unavailable):
        return story.words("bisect.estimate.close", **values)
    return story.words("bisect.estimate.fits" if card.fits else "bisect.estimate.exceeds", **values)


def _expected_table(story: BisectStory, estimate: Estimate) -> Table:
    words, parts = story.words, story.bisect.peak
    should = by_category(estimate.by_category)
    there = None if isinstance(parts, Unavailable) else by_category(parts.by_category)
    rows: list[tuple[Text, ...]] = [
        (
            words(f"estimate.category.{name.value}"),
            format_bytes(size),
            "" if there is None else format_bytes(there[name]),
        )
        for name, size in should.items()
        if size or (there is not None and there[name])
    ]
    totals = (("allocated", "allocated_bytes"), ("reserved", "reserved_bytes"))
    for word, field in totals:
        seen = "" if isinstance(parts, Unavailable) else format_bytes(getattr(parts, field))
        rows.append((words(f"bisect.estimate.{word}"), format_bytes(getattr(estimate.peak, field)), seen))
    rows.append((words("bisect.estimate.used"), format_bytes(estimate.peak.device_used_bytes), _in_use(story)))
    at_failure = not isinstance(parts, Unavailable) and parts.at_failure
    names = ("should", "failure" if at_failure or there is None else "measured")
    columns = (words("estimate.column.category"), *(words(f"bisect.column.{name}") for name in names))
    return Table(columns=columns, rows=tuple(rows), numeric=(1, 2))


def _in_use(story: BisectStory) -> str:
    """What was in use on the card when the request failed."""
    request = story.bisect.failed_request
    if (
        request is None
        or isinstance(request.capacity_bytes, Unavailable)
        or isinstance(request.free_bytes, Unavailable)
    ):
        return ""
    return format_bytes(request.capacity_bytes - request.free_bytes)


def _buys(knob: Knob) -> tuple[bool, int, str]:
    value = knob.peak_reserved_bytes
    return (True, 0, knob.change) if isinstance(value, Unavailable) else (False, value, knob.change)


def _knob_row(story: BisectStory, knob: Knob, base: int) -> tuple[Text, ...]:
    words, value, cost = story.words, knob.peak_reserved_bytes, story.words.reason(knob.cost)
    if isinstance(value, Unavailable):
        told = words("estimate.knobs.not_computed", cost=cost, reason=words.reason(value.reason))
        return ((code(knob.change),), words("bisect.not_known"), "", told)
    return ((code(knob.change),), format_bytes(value), signed(value - base, base), cost)
