"""The answer first: one line, then every card, then what went wrong on those that were full."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ilora_diag.schema import CardEstimate, Known, Unavailable
from ilora_diag.schema.estimate import NO_ATTENTION, SCRIPT
from ilora_diag.units import format_bytes
from reports.blocks import Alert, Block, Bullets, Code, Paragraph, Section, Table, Text, code, strong
from reports.figures.shares import gap_name
from reports.messages import Words
from reports.view import estimate_elsewhere, estimate_evaluation
from reports.view.estimate_story import EstimateStory, by_reason, spoken


def headline(story: EstimateStory) -> str:
    """The estimate for the first card in one line, conclusion included."""
    words, card, peak = story.words, story.card, story.card.peak
    if card.oom is not None:
        return words(
            "estimate.headline.oom",
            subject=story.subject,
            gpu=story.gpu,
            memory=format_bytes(card.memory_bytes),
            place=story.place(card.oom.step, card.oom.phase),
            module=story.module(card.oom.module),
            requested=format_bytes(card.oom.requested_bytes),
            allocated=format_bytes(peak.allocated_bytes),
        )
    others = any(gap_name(gap.name) == "other_processes" and gap.size_bytes for gap in story.estimate.chain)
    return words(
        "estimate.headline",
        subject=story.subject,
        gpu=story.gpu,
        used=format_bytes(peak.device_used_bytes),
        allocated=format_bytes(peak.allocated_bytes),
        reserved=format_bytes(peak.reserved_bytes),
        outside=format_bytes(peak.device_used_bytes - peak.reserved_bytes),
        what=words("estimate.outside.others" if others else "estimate.outside.context"),
        verdict=_verdict(story, card),
    )


def first(story: EstimateStory) -> tuple[Block, ...]:
    """Headline, what else the reader sees in use, and the cards: what is known before batches are looked for."""
    blocks: list[Block] = [Paragraph(text=(strong(headline(story)),))]
    if len(story.estimate.cards) > 1:
        blocks.append(Paragraph(text=_fitting(story)))
    blocks += estimate_evaluation.needs_most(story)
    observed = story.estimate.observed_bytes
    if observed is not None:
        kind, text = estimate_elsewhere.verdict(story, observed)
        blocks.append(Alert(kind=kind, text=text))
    return (*blocks, _cards(story))


def answer(story: EstimateStory) -> Section:
    """What is known first, then the cards' largest batches, and their troubles in words."""
    blocks: list[Block] = [*first(story), _more_of_cards(story)]
    notes = _notes(story)
    if notes:
        blocks.append(Bullets(items=notes))
    for card in story.estimate.cards:
        blocks += _out_of_memory(story, card)
    return Section(title="", blocks=tuple(blocks), brief=True)


def _verdict(story: EstimateStory, card: CardEstimate) -> str:
    """Whether the card is enough. To spare is what stays free at the upper end of the interval, too much likewise."""
    words = story.words
    if isinstance(card.fits, Unavailable):
        return words("estimate.verdict.unknown" if story.is_cut_short else "estimate.verdict.close")
    if card.fits:
        return words("estimate.verdict.fits", spare=format_bytes(card.memory_bytes - card.interval.high_bytes))
    missing = card.interval.low_bytes - card.memory_bytes
    return (
        words("estimate.verdict.exceeds", missing=format_bytes(missing))
        if missing > 0
        else words("estimate.verdict.no")
    )


def _fits(story: EstimateStory, card: CardEstimate) -> str:
    if card.oom is not None:
        return "no"
    if isinstance(card.fits, Unavailable):
        return "unknown" if story.is_cut_short else "close"
    return "yes" if card.fits else "no"


def _fitting(story: EstimateStory) -> str:
    """Which cards are enough: the sentence a reader with a list of cards came for."""
    groups = {
        answer: [card.gpu for card in story.estimate.cards if _fits(story, card) == answer] for answer in _ANSWERS
    }
    told = [story.words(key, cards=", ".join(groups[answer])) for answer, key in _ANSWERS.items() if groups[answer]]
    return " ".join(told)


_ANSWERS = {answer: f"estimate.cards.{answer}" for answer in ("yes", "close", "unknown", "no")}


def _cards(story: EstimateStory) -> Table:
    columns = ("card", "memory", "allocated", "reserved", "used", "fits")
    return Table(
        columns=tuple(story.words(f"estimate.column.{name}") for name in columns),
        rows=tuple(_card_row(story, card) for card in story.estimate.cards),
        numeric=(1, 2, 3, 4),
    )


def _more_of_cards(story: EstimateStory) -> Table:
    """What is worth knowing of a card beside the answer: together they would be too wide for a terminal."""
    words = story.words
    columns: dict[str, Callable[[CardEstimate], Text]] = {
        "card": lambda card: (code(card.gpu),),
        "name": lambda card: card.name,
        "capability": lambda card: card.compute_capability,
        "batch": lambda card: _cell(story, card.largest_batch_that_fits, partial(_batch, words)),
        "attention": lambda card: _cell(story, card.attention, partial(_attention, words)),
    }
    if not _batches(story):
        del columns["batch"]
    return Table(
        columns=tuple(words(f"estimate.column.{name}") for name in columns),
        rows=tuple(tuple(cell(card) for cell in columns.values()) for card in story.estimate.cards),
        numeric=tuple(place for place, name in enumerate(columns) if name in ("capability", "batch")),
    )


def _batches(story: EstimateStory) -> list[CardEstimate]:
    """The cards of which a largest batch can be told at all: of a script it cannot."""
    return [card for card in story.estimate.cards if not _is_of_script(card.largest_batch_that_fits)]


def _is_of_script(batch: Known[int]) -> bool:
    return isinstance(batch, Unavailable) and batch.source == SCRIPT


def _batch(words: Words, num: int | str) -> str:
    return str(num) if num else words("estimate.batch.none")


def _attention(words: Words, backend: int | str) -> str:
    return words("estimate.attention.none") if backend == NO_ATTENTION else str(backend)


def _card_row(story: EstimateStory, card: CardEstimate) -> tuple[Text, ...]:
    words, peak = story.words, card.peak
    used = story.with_span(peak.device_used_bytes, card.interval)
    fits = words(f"estimate.fits.{_fits(story, card)}")
    if card.oom is not None:
        fits = words("estimate.fits.oom", phase=card.oom.phase)
    return (
        (code(card.gpu),),
        format_bytes(card.memory_bytes),
        format_bytes(peak.allocated_bytes),
        format_bytes(peak.reserved_bytes),
        used,
        (strong(fits),),
    )


def _cell(story: EstimateStory, value: Known[int] | Known[str], show: Callable[[int | str], str]) -> str:
    """A cell of the table; the reasons of what is unknown stand below it, once for all cards."""
    return story.words("estimate.not_known") if isinstance(value, Unavailable) else show(value)


def _notes(story: EstimateStory) -> tuple[Text, ...]:
    words, cards = story.words, story.estimate.cards
    whether_it_fits = "estimate.note.unfinished" if story.is_cut_short else "estimate.note.fits"
    unknown = (
        (whether_it_fits, [(card, card.fits) for card in cards if card.oom is None]),
        ("estimate.note.batch", [(card, card.largest_batch_that_fits) for card in _batches(story)]),
        ("estimate.note.attention", [(card, card.attention) for card in cards]),
    )
    notes = []
    for key, values in unknown:
        reasons = [(card, words.reason(value.reason)) for card, value in values if isinstance(value, Unavailable)]
        notes += [words(key, cards=names, reason=reason) for reason, names in by_reason(reasons).items()]
    retries = by_reason((card, str(card.num_alloc_retries)) for card in cards if card.num_alloc_retries)
    return (*notes, *(words("estimate.note.retries", cards=names, num=num) for num, names in retries.items()))


def _out_of_memory(story: EstimateStory, card: CardEstimate) -> list[Block]:
    """Where a card was full, and what its user would read."""
    oom = card.oom
    if oom is None:
        return []
    where = story.words(
        "estimate.oom.where",
        card=spoken(card),
        place=story.place(oom.step, oom.phase),
        module=story.module(oom.module),
        op=oom.op,
        requested=format_bytes(oom.requested_bytes),
    )
    return [Paragraph(text=where), Code(text=oom.message, language="text")]
