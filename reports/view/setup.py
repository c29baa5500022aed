"""What the run was: configuration, environment, data, model."""

from __future__ import annotations

from dataclasses import fields

from ilora_diag.schema import DataSummary, Settings, TrainerEnvironment, Unavailable
from reports.blocks import Block, Code, Details, Paragraph, Section, Table, Text, code, strong
from reports.view.story import Story
from reports.view.teller import setting_text

_NOT_SETTINGS = ("--run-dir", "--deadline")
_KEY_VALUE = ("column.item", "column.value")


def configuration(story: Story) -> Section:
    """What was asked for beside what came into force, and everything that was in force."""
    words, run = story.words, story.run
    blocks: list[Block] = []
    if isinstance(run.requested, Unavailable) or isinstance(run.effective, Unavailable):
        for key, value in (("requested", run.requested), ("effective", run.effective)):
            if isinstance(value, Unavailable):
                blocks.append(Paragraph(text=f"{words(f'column.{key}')}: {story.tell.known(value)}"))
    else:
        blocks.append(_comparison(story, run.requested, run.effective))
    if not isinstance(run.effective, Unavailable):
        text = "\n".join(f"{key}: {setting_text(value)}" for key, value in run.effective)
        full = words("configuration.full", num=len(run.effective))
        blocks.append(Details(summary=full, blocks=(Code(text=text, language="yaml"),)))
    return Section(title=words("configuration.title"), blocks=tuple(blocks))


def environment(story: Story) -> Section:
    """What the trainer found itself running on."""
    words, found = story.words, story.run.environment
    if isinstance(found, Unavailable):
        return Section(title=words("environment.title"), blocks=(Paragraph(text=story.tell.known(found)),))
    rows = tuple(
        (words(f"environment.{spec.name}"), _environment_value(story, found, spec.name)) for spec in fields(found)
    )
    return Section(title=words("environment.title"), blocks=(_pairs(story, rows),))


def data(story: Story) -> Section:
    """Where the samples came from, how many there are, and which rows could not be used."""
    words, tell, found = story.words, story.tell, story.run.data
    if isinstance(found, Unavailable):
        return Section(title=words("data.title"), blocks=(Paragraph(text=tell.known(found)),))
    rows = [
        (words("data.source"), tell.known(found.source)),
        (words("data.licence"), tell.known(found.licence)),
        (words("data.num_users"), tell.count(found.num_users)),
        (words("data.num_items"), tell.count(found.num_items)),
        (words("data.num_interactions"), tell.count(found.num_interactions)),
        *_split_rows(story, found),
        (words("data.num_bad_rows"), tell.count(found.num_bad_rows)),
    ]
    blocks: list[Block] = [_pairs(story, tuple(rows))]
    if found.bad_rows:
        blocks.append(_bad_rows(story, found))
    return Section(title=words("data.title"), blocks=tuple(blocks))


def model(story: Story) -> Section:
    """The language model, and which of its parameters train."""
    words, tell, found = story.words, story.tell, story.run.model
    if isinstance(found, Unavailable):
        return Section(title=words("model.title"), blocks=(Paragraph(text=tell.known(found)),))
    rows = (
        (words("model.llm"), tell.known(found.llm)),
        (words("model.dtype"), tell.known(found.dtype)),
        (words("model.num_parameters"), tell.count(found.num_parameters)),
        (words("model.num_trainable"), tell.count(found.num_trainable)),
    )
    groups = found.trainable_by_group
    if isinstance(groups, Unavailable):
        return Section(title=words("model.title"), blocks=(_pairs(story, rows), Paragraph(text=tell.known(groups))))
    table = Table(
        columns=(words("column.group"), words("column.trainable")),
        rows=tuple(((code(name),), f"{count:,}") for name, count in groups),
        numeric=(1,),
    )
    return Section(title=words("model.title"), blocks=(_pairs(story, rows), table))


def _pairs(story: Story, rows: tuple[tuple[Text, ...], ...]) -> Table:
    return Table(columns=tuple(story.words(key) for key in _KEY_VALUE), rows=rows)


def _comparison(story: Story, requested: Settings, effective: Settings) -> Block:
    """One row for each key asked for; where something else came into force, that stands out."""
    words, found = story.words, dict(effective)
    asked_for = [(key, value) for key, value in requested if key not in _NOT_SETTINGS]
    if not asked_for:
        return Paragraph(text=words("configuration.nothing"))
    rows = []
    for key, value in asked_for:
        # `llm=NAME` is short for llm.preset=NAME.
        name = key if key in found else f"{key}.preset"
        asked, given = setting_text(value), setting_text(found[name]) if name in found else words("configuration.typed")
        rows.append(((code(key),), asked, given if given == asked or name not in found else (strong(given),)))
    return Table(columns=(words("column.key"), words("column.requested"), words("column.effective")), rows=tuple(rows))


def _environment_value(story: Story, found: TrainerEnvironment, name: str) -> str:
    value = getattr(found, name)
    return story.words("environment.no_cuda") if value is None else story.tell.known(value)


def _split_rows(story: Story, found: DataSummary) -> list[tuple[str, str]]:
    if isinstance(found.rows, Unavailable):
        return [(story.words("data.rows"), story.tell.known(found.rows))]
    return [(story.words("data.rows_of", split=split), f"{num:,}") for split, num in found.rows]


def _bad_rows(story: Story, found: DataSummary) -> Details:
    words = story.words
    rows = []
    for row in found.bad_rows:
        place = row.file if isinstance(row.line, Unavailable) else f"{row.file}:{row.line}"
        rows.append(((code(place),), row.reason))
    total = story.tell.count(found.num_bad_rows)
    return Details(
        summary=words("data.bad_rows", shown=len(rows), total=total),
        blocks=(Table(columns=(words("column.place"), words("column.reason")), rows=tuple(rows)),),
    )
