"""What a change would buy, how a request becomes card memory, and what all of it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ilora_diag.schema import Interval, Knob, Unavailable
from ilora_diag.schema.estimate import EVALUATION_PHASES
from ilora_diag.units import format_bytes, format_duration
from reports.blocks import Block, Bullets, Code, Details, Paragraph, Section, Table, Text, code
from reports.figures.shares import gap_name
from reports.view.estimate_story import EstimateStory, by_reason, percent
from reports.view.teller import setting_text


def knobs(story: EstimateStory) -> Section:
    """Every change with what it would buy, the one that buys most first, those not computed last.

    Where the evaluation needs most, what changes it comes first; all else is of the training step alone.
    """
    words, found = story.words, story.estimate.knobs
    title = words("estimate.knobs.title")
    if not found:
        return Section(title=title, blocks=(Paragraph(text=words("estimate.knobs.none")),), brief=True)
    blocks: list[Block] = []
    of_run = [knob for knob in found if knob.of_run]
    if of_run:
        reserved = format_bytes(story.estimate.peak.reserved_bytes)
        blocks.append(Paragraph(text=words("estimate.knobs.of_run", reserved=reserved)))
        blocks += _changes(story, of_run, base=story.estimate.peak.reserved_bytes, compared=story.card.oom is None)
    rest = [knob for knob in found if not knob.of_run]
    if rest:
        reserved = format_bytes(story.training_reserved_bytes)
        oom = story.card.oom
        compared = oom is None or oom.phase in EVALUATION_PHASES
        if story.is_evaluated:
            blocks.append(Paragraph(text=words("estimate.knobs.of_step", reserved=reserved)))
        blocks += _changes(story, rest, base=story.training_reserved_bytes, compared=compared)
    return Section(title=title, blocks=tuple(blocks), brief=True)


def _changes(story: EstimateStory, found: Sequence[Knob], *, base: int, compared: bool) -> list[Block]:
    ranked = sorted(found, key=_new_reserved)
    names = ("change", "new_reserved", *(("difference",) if compared else ()), "cost")
    table = Table(
        columns=tuple(story.words(f"estimate.column.{name}") for name in names),
        rows=tuple(_knob_row(story, knob, base=base, compared=compared) for knob in ranked),
        numeric=tuple(range(1, len(names) - 1)),
    )
    return [Paragraph(text=_best(story, ranked[0], base=base, compared=compared)), table]


def chain(story: EstimateStory) -> Section:
    """From what the code asked for to what the card shows, every gap with a name."""
    words, gaps = story.words, story.estimate.chain
    subtotals = accumulate(gap.size_bytes for gap in gaps)
    rows = []
    for gap, subtotal in zip(gaps, subtotals, strict=True):
        name = gap_name(gap.name)
        told = words.named(f"estimate.gap.{name}", gap.name)
        reached = _level(story, name, subtotal)
        rows.append((told, format_bytes(gap.size_bytes), format_bytes(subtotal), reached))
    columns = (*(words(f"estimate.column.{name}") for name in ("step", "size", "subtotal")), "")
    table = Table(columns=columns, rows=tuple(rows), numeric=(1, 2))
    blocks = (table, Paragraph(text=_left(story)))
    return Section(title=words("estimate.chain.title"), blocks=blocks, brief=True)


def rests(story: EstimateStory) -> Section:
    """How it was computed, the intervals' bases, and what was assumed."""
    words, estimate, cards = story.words, story.estimate, story.estimate.cards
    traced = words(
        "estimate.rests.traced",
        steps=estimate.steps,
        num=f"{estimate.num_requests:,}",
        torch=estimate.torch,
        seconds=format_duration(estimate.duration_s),
    )
    bases = by_reason((card, words.reason(card.interval.basis)) for card in cards)
    items = [traced, *(words("estimate.rests.interval", cards=names, basis=basis) for basis, names in bases.items())]
    contexts: dict[Interval, list[str]] = {}
    for card in cards:
        contexts.setdefault(card.context_bytes, []).append(card.gpu)
    for context, names in contexts.items():
        told = {"span": story.span(context), "basis": words.reason(context.basis)}
        items.append(words("estimate.rests.context", cards=", ".join(names), **told))
    items += [words.reason(assumption) for assumption in estimate.assumptions]
    return Section(title=words("estimate.rests.title"), blocks=(Bullets(items=tuple(items)),), brief=True)


def settings(story: EstimateStory) -> Section | None:
    """The configuration that was traced, whole; None where there was none, as of a script."""
    words, found = story.words, story.estimate.settings
    if not found:
        return None
    text = "\n".join(f"{key}: {setting_text(value)}" for key, value in found)
    full = words("estimate.settings.full", num=len(found))
    block = Details(summary=full, blocks=(Code(text=text, language="yaml"),))
    return Section(title=words("estimate.settings.title"), blocks=(block,))


def signed(difference_bytes: int, base_bytes: int) -> str:
    """A difference with its sign, and in percent of where it starts."""
    size = f"+{format_bytes(difference_bytes)}" if difference_bytes > 0 else format_bytes(difference_bytes)
    return f"{size} ({100 * difference_bytes / base_bytes:+.1f} %)" if difference_bytes and base_bytes else size


def _new_reserved(knob: Knob) -> tuple[bool, int, str]:
    """Sorts knobs: known ones by the peak they lead to, unknown ones behind them by name."""
    value = knob.peak_reserved_bytes
    return (True, 0, knob.change) if isinstance(value, Unavailable) else (False, value, knob.change)


def _best(story: EstimateStory, knob: Knob, *, base: int, compared: bool) -> Text:
    words, value = story.words, knob.peak_reserved_bytes
    if not compared:
        return words("estimate.knobs.oom", gpu=story.gpu)
    if isinstance(value, Unavailable) or value >= base:
        return words("estimate.knobs.useless")
    saved = words("estimate.knobs.best", saved=format_bytes(base - value), percent=percent(base - value, base))
    return (code(knob.change), " ", saved)


def _knob_row(story: EstimateStory, knob: Knob, *, base: int, compared: bool) -> tuple[Text, ...]:
    value = knob.peak_reserved_bytes
    words, cost = story.words, story.words.reason(knob.cost)
    if isinstance(value, Unavailable):
        told = words("estimate.knobs.not_computed", cost=cost, reason=words.reason(value.reason))
        return ((code(knob.change),), words("estimate.not_known"), *(("",) if compared else ()), told)
    difference = (signed(value - base, base),) if compared else ()
    return ((code(knob.change),), format_bytes(value), *difference, cost)


def _level(story: EstimateStory, name: str, subtotal: int) -> str:
    """Which of PyTorch's quantities a gap completes, said only where the bytes agree."""
    peak = story.estimate.peak
    levels = {
        "requested": ("requested", peak.requested_bytes),
        "rounding": ("allocated", peak.allocated_bytes),
        "cached": ("reserved", peak.reserved_bytes),
    }
    level, size = levels.get(name, ("used", peak.device_used_bytes))
    return story.words(f"estimate.level.{level}") if subtotal == size else ""


def _left(story: EstimateStory) -> str:
    words, card = story.words, story.card
    memory, left = format_bytes(card.memory_bytes), card.memory_bytes - card.peak.device_used_bytes
    if left < 0:
        return words("estimate.chain.short", gpu=story.gpu, memory=memory, short=format_bytes(-left))
    if card.oom is None:
        return words("estimate.chain.left", gpu=story.gpu, memory=memory, left=format_bytes(left))
    requested = format_bytes(card.oom.requested_bytes)
    return words("estimate.chain.oom", gpu=story.gpu, memory=memory, left=format_bytes(left), requested=requested)
