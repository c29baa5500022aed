"""A memory estimate as a document: the answer, what it consists of, what would change it, what it rests on."""

from __future__ import annotations

from dataclasses import replace

from ilora_diag.schema import Estimate
from reports.blocks import Document, Section
from reports.messages import Words
from reports.view import estimate_cards, estimate_elsewhere, estimate_peak, estimate_rests
from reports.view.estimate_story import EstimateStory, spoken


def estimate_beginning(estimate: Estimate, lang: str) -> Section:
    """How the first section of `estimate_document` begins, of an estimate whose batches and changes are to come.

    Args:
        estimate: the record.
        lang: "en" or "ja".
    """
    return Section(title="", blocks=estimate_cards.first(_story(estimate, lang)), brief=True)


def estimate_document(estimate: Estimate, lang: str, *, figures: bool = False) -> Document:
    """The whole estimate. Every section but the configuration is brief, to be shown on a terminal.

    Where the record says what the reader sees in use on the first card, the document says what of it the step does not
    account for, and how to find where that comes from.

    Args:
        estimate: the record.
        lang: "en" or "ja".
        figures: whether the document stands in a folder where `draw_estimate_figures` has drawn.

    Raises:
        ValueError: an unknown language.
    """
    story = replace(_story(estimate, lang), figures=figures)
    sections = (
        estimate_cards.answer(story),
        estimate_peak.peak(story),
        estimate_peak.phases(story),
        estimate_rests.knobs(story),
        estimate_rests.chain(story),
        estimate_rests.rests(story),
        estimate_elsewhere.elsewhere(story),
        estimate_rests.settings(story),
    )
    cards = ", ".join(spoken(card) for card in estimate.cards)
    title = story.words("estimate.title", subject=story.subject, cards=cards)
    return Document(title=title, lang=lang, sections=_numbered([section for section in sections if section]))


def _story(estimate: Estimate, lang: str) -> EstimateStory:
    return EstimateStory(estimate=estimate, words=Words(lang))


def _numbered(sections: list[Section]) -> tuple[Section, ...]:
    """Numbered from the second on: the first is the answer, and needs no title."""
    answer, *rest = sections
    return (answer, *(replace(section, title=f"{num}. {section.title}") for num, section in enumerate(rest, start=1)))
