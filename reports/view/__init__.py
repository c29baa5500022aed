"""Records to rows and sentences: what a report says, before anything is laid out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reports.blocks import Document, Section

if TYPE_CHECKING:
    from ilora_diag.schema import Report

__all__ = ["headline", "train_document"]


def headline(report: Report, lang: str) -> str:
    """The report in one line."""
    # Here and below: the views of other documents live in this package too, and are shown without all of these.
    from reports.view import outcome
    from reports.view.story import tell_story

    return outcome.headline(tell_story(report, lang))


def train_document(report: Report, lang: str) -> Document:
    """The report of a training.

    Args:
        report: with a `train` record.
        lang: "en" or "ja".

    Raises:
        ValueError: another kind of report, or an unknown language.
    """
    from reports.view import course, outcome, results, setup
    from reports.view.story import tell_story

    story = tell_story(report, lang)
    sections = (
        outcome.summary(story),
        outcome.failure(story),
        setup.configuration(story),
        setup.environment(story),
        setup.data(story),
        setup.model(story),
        course.recommender(story),
        course.loss(story),
        course.throughput(story),
        course.memory(story),
        results.metrics(story),
        results.artefacts(story),
        results.unknowns(story),
        outcome.reproduction(story),
    )
    title = story.words("title.failed" if story.failed else "title", run=report.run_id)
    return Document(title=title, lang=lang, sections=_numbered([section for section in sections if section]))


def _numbered(sections: list[Section]) -> tuple[Section, ...]:
    """Numbered as in the reports these answer: a colleague can say "see 3"."""
    return tuple(replace(section, title=f"{num}. {section.title}") for num, section in enumerate(sections, start=1))
