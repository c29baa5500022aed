"""A memory estimate as a document: the answer, what it consists of, what would change it, what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ilora_diag.schema import Estimate, Skipped
from reports.blocks import Document, Section
from reports.messages import Words
from reports.view import estimate_cards, estimate_elsewhere, estimate_peak, estimate_rests
from reports.view.estimate_story import EstimateStory, spoken


def estimate_headline(estimate: Estimate, lang: str) -> str:
    """The estimate for its first card in one line.

    Args:
        estimate: the record.
        lang: "en" or "ja".
    """
    return estimate_cards.headline(_story(estimate, lang))


def estimate_document(
    estimate: Estimate,
    lang: str,
    *,
    observed_bytes: int | None = None,
    overrides: Sequence[str] = (),
    figures: bool = False,
    skipped: Sequence[Skipped] = (),
) -> Document:
    """The whole estimate. Every section but the configuration is brief, to be shown on a terminal.

    Args:
        estimate: the record.
        lang: "en" or "ja".
        observed_bytes: what the reader sees in use on the first card: the document then says what of it the step does
            not account for, and how to find where that comes from.
        overrides: the arguments of the configuration as typed (`llm=opt-125m`, `--config FILE`), for the commands
            that go on from here.
        figures: whether the document stands in a folder where `draw_estimate_figures` has drawn.
        skipped: what that could not draw.

    Raises:
        ValueError: an unknown language.
    """
    story = replace(
        _story(estimate, lang),
        observed_bytes=observed_bytes,
        overrides=tuple(overrides),
        figures=figures,
        skipped=tuple(skipped),
    )
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
