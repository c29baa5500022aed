"""Several machines compared, as a document."""

from __future__ import annotations

from ilora_diag.schema.env_check import RankCheck
from reports.blocks import Document, Paragraph, Section, Table, Text, code
from reports.messages import Words
from reports.view.env_check import finding_blocks, finding_name, value_text


def ranks_document(check: RankCheck, lang: str) -> Document:
    """What differs between the ranks, and what is wrong with each.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    grave = [one for one in check.differences if one.matters]
    title = words("env.ranks.differ", num=len(grave)) if grave else words("env.ranks.same")
    sections: list[Section] = []
    if check.differences:
        columns = (words("env.column.fact"), *(words("env.ranks.column.rank", rank=name) for name in check.ranks))
        rows: list[tuple[Text, ...]] = [
            (
                (code(one.path), " [!]" if one.matters else ""),
                *(value_text(value, words, one.path) for value in one.values),
            )
            for one in check.differences
        ]
        heading = words("env.ranks.title", num=len(check.ranks))
        sections.append(Section(title=heading, blocks=(Table(columns=columns, rows=tuple(rows)),)))
    for name, findings in zip(check.ranks, check.findings, strict=True):
        for one in findings:
            heading = f"{words('env.ranks.column.rank', rank=name)}: {finding_name(one, words)}"
            sections.append(Section(title=heading, blocks=finding_blocks(one, words)))
    sections = sections or [Section(title="", blocks=(Paragraph(text=words("env.ranks.title", num=len(check.ranks))),))]
    return Document(title=title, lang=lang, sections=tuple(sections))
