"""One investigation as a document, in the form of the investigation reports that ours answer, conclusion first."""

from __future__ import annotations

from ilora_diag.schema.bisect import Bisect, Outcome
from reports.blocks import Document, Section
from reports.view import (
    bisect_actions,
    bisect_appendix,
    bisect_cause,
    bisect_conclusion,
    bisect_course,
    bisect_environment,
    bisect_findings,
    bisect_limits,
    bisect_method,
    bisect_summary,
    bisect_symptom,
)
from reports.view.bisect_story import tell_bisect

__all__ = ["bisect_document", "bisect_headline"]


def bisect_headline(bisect: Bisect, lang: str) -> str:
    """The investigation in one line.

    Args:
        bisect: the record.
        lang: "en" or "ja".
    """
    return bisect_summary.headline(tell_bisect(bisect, lang))


def bisect_document(bisect: Bisect, lang: str) -> Document:
    """The whole report. The sections that matter when the command ends are brief.

    Args:
        bisect: the record; it says which figures stand beside the report.
        lang: "en" or "ja".

    Raises:
        ValueError: an unknown language.
    """
    story = tell_bisect(bisect, lang)
    parts = (
        bisect_summary.header(story),
        bisect_summary.summary(story),
        bisect_symptom.symptom(story),
        bisect_environment.environment(story),
        bisect_course.course(story),
        bisect_method.method(story),
        bisect_findings.findings(story),
        bisect_cause.cause(story),
        bisect_conclusion.conclusion(story),
        bisect_actions.actions(story),
        bisect_actions.recommendations(story),
        bisect_limits.limits(story),
    )
    sections = [section for number, part in enumerate(parts) for section in _numbered(number, part)]
    key = "bisect.title.found" if bisect.outcome is Outcome.CAUSE_FOUND else "bisect.title"
    title = story.words(key, subject=story.name, error=bisect_symptom.short_error(story))
    return Document(title=title, lang=lang, sections=(*sections, *bisect_appendix.appendix(story)))


def _numbered(number: int, part: tuple[Section, ...]) -> list[Section]:
    """Numbered as in the reports these answer: a colleague can say "see 7.4"."""
    from dataclasses import replace

    head, *rest = part
    return [
        replace(head, title=f"{number}. {head.title}"),
        *(replace(one, title=f"{number}.{sub}. {one.title}", level=3) for sub, one in enumerate(rest, start=1)),
    ]
