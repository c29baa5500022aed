"""What a bisection would do, before anything runs: the factors, the schedule, how many trials that takes."""

from __future__ import annotations

from ilora_diag.schema.bisect_plan import Plan
from reports.blocks import Document, Paragraph, Section, Table, code
from reports.messages import Words


def plan_document(plan: Plan, lang: str) -> Document:
    """The plan.

    Args:
        plan: the record.
        lang: "en" or "ja".
    """
    words = Words(lang)
    return Document(
        title=words("bisect.plan.title"),
        lang=lang,
        sections=(_numbers(plan, words), _factors(plan, words), _schedule(plan, words), _left_out(plan, words)),
    )


def _numbers(plan: Plan, words: Words) -> Section:
    text = words(
        "bisect.plan.numbers",
        factors=len(plan.factors),
        least=plan.least,
        expected=f"{plan.expected:.1f}",
        most=plan.most,
    )
    return Section(title="", blocks=(Paragraph(text=text), Paragraph(text=words("bisect.plan.nothing_run"))))


def _factors(plan: Plan, words: Words) -> Section:
    rows = tuple(
        (
            (code(factor.name),),
            words("separator").join(level.name for level in factor.levels),
            words.named(f"cost.{factor.levels[-1].cost}", factor.levels[-1].cost),
        )
        for factor in plan.factors
    )
    columns = (words("bisect.plan.factor"), words("bisect.plan.levels"), words("bisect.plan.cost"))
    return Section(title=words("bisect.plan.factors"), blocks=(Table(columns=columns, rows=rows),))


def _schedule(plan: Plan, words: Words) -> Section:
    levels = {factor.name: factor.levels for factor in plan.factors}
    rows = tuple(
        (
            str(trial.num),
            words(f"bisect.purpose.{trial.purpose.value}"),
            f"{trial.factor}: {levels[trial.factor][trial.level].name}" if trial.factor else "",
        )
        for trial in plan.trials
    )
    columns = (words("bisect.plan.num"), words("bisect.plan.purpose"), words("bisect.plan.change"))
    return Section(title=words("bisect.plan.schedule"), blocks=(Table(columns=columns, rows=rows, numeric=(0,)),))


def _left_out(plan: Plan, words: Words) -> Section:
    rows = tuple(((code(one.what),), words.reason(one.reason)) for one in plan.not_applicable)
    if not rows:
        return Section(
            title=words("bisect.plan.left_out"), blocks=(Paragraph(text=words("bisect.plan.none_left_out")),)
        )
    columns = (words("bisect.plan.factor"), words("bisect.plan.reason"))
    return Section(title=words("bisect.plan.left_out"), blocks=(Table(columns=columns, rows=rows),))
