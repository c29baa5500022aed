"""A run of somebody's script as a document: how it ended, then what memory it took."""

from __future__ import annotations

from dataclasses import replace

from ilora_diag.schema import Estimate, ScriptEnd, ScriptRun, Unavailable
from ilora_diag.units import format_bytes
from reports.blocks import Alert, Block, Code, Details, Document, Paragraph, Section, strong
from reports.messages import Words
from reports.view import estimate_cards, estimate_peak, estimate_rests
from reports.view.estimate_story import EstimateStory, spoken

_GOOD = (ScriptEnd.FINISHED, ScriptEnd.STOPPED)
_CUT_SHORT = (ScriptEnd.FAILED, ScriptEnd.NOT_CARRIED, ScriptEnd.INTERRUPTED)


def run_headline(run: ScriptRun, lang: str) -> str:
    """How the script ended, in one line.

    Raises:
        ValueError: an unknown language.
    """
    return _headline(run, Words(lang))


def run_document(run: ScriptRun, lang: str, *, figures: bool = False) -> Document:
    """The whole run. Every section but the command line is brief, to be shown on a terminal.

    Args:
        run: the record.
        lang: "en" or "ja".
        figures: whether the document stands in a folder where `draw_estimate_figures` has drawn.

    Raises:
        ValueError: an unknown language.
    """
    words, estimate = Words(lang), run.estimate
    ending = Section(title="", blocks=tuple(_ending(run, words)), brief=True)
    if isinstance(estimate, Unavailable):
        nothing = Paragraph(text=words("run.nothing", reason=words.reason(estimate.reason)))
        told = replace(ending, blocks=(*ending.blocks, nothing))
        return Document(title=words("run.title", script=run.script, card=run.device), lang=lang, sections=(told,))
    story = EstimateStory(estimate=estimate, words=words, figures=figures, is_cut_short=run.end in _CUT_SHORT)
    answer = estimate_cards.answer(story)
    sections = (
        estimate_peak.peak(story),
        estimate_peak.phases(story),
        estimate_rests.chain(story),
        estimate_rests.rests(story),
        estimate_rests.settings(story),
    )
    numbered = [
        replace(section, title=f"{num}. {section.title}")
        for num, section in enumerate((section for section in sections if section), start=1)
    ]
    first = replace(answer, blocks=(*ending.blocks, *answer.blocks))
    return Document(title=_title(run, estimate, words), lang=lang, sections=(first, *numbered))


def _title(run: ScriptRun, estimate: Estimate, words: Words) -> str:
    return words("run.title", script=run.script, card=spoken(estimate.cards[0]))


def _headline(run: ScriptRun, words: Words) -> str:
    error = run.error
    message = "" if error is None else (error.message.strip().splitlines() or [""])[0]
    kind = "" if error is None else error.type
    counted = words(f"run.counted.{run.steps_counted}", num=run.steps)
    return words(
        f"run.end.{run.end.value}", script=run.script, steps=counted, code=run.exit_code, type=kind, message=message
    )


def _ending(run: ScriptRun, words: Words) -> list[Block]:
    blocks: list[Block] = []
    if run.end in _GOOD:
        blocks.append(Paragraph(text=_headline(run, words)))
    else:
        blocks.append(Alert(kind="caution", text=(strong(_headline(run, words)),)))
        blocks.append(Paragraph(text=_stood(run, words)))
    if run.made_up and run.end in (ScriptEnd.FAILED, ScriptEnd.EXITED):
        told = words("separator").join(words.reason(sentence) for sentence in run.made_up)
        blocks.append(Alert(kind="warning", text=words("run.made_up", values=told)))
    if run.started:
        kind = "virtual" if run.device.startswith("virtual:") else "cuda"
        told = words(f"run.started.{kind}", commands="; ".join(run.started))
        blocks.append(Alert(kind="warning", text=told))
    if run.error is not None:
        trace = Code(text=run.error.traceback, language="text")
        blocks.append(Details(summary=words("run.traceback"), blocks=(trace,)))
    return blocks


def _stood(run: ScriptRun, words: Words) -> str:
    moment = run.moment
    key = "estimate.place" if moment.step else "estimate.place.before"
    return words(
        "run.stood",
        place=words(key, step=moment.step, phase=moment.phase),
        module=moment.module or words("estimate.module.root"),
        allocated=format_bytes(moment.allocated_bytes),
        reserved=format_bytes(moment.reserved_bytes),
    )
