"""What came out: metrics, files, and what is not known."""

from __future__ import annotations

from ilora_diag.schema import EvalMetric, Unavailable
from reports.blocks import Block, Bullets, Paragraph, Section, Table, Text, code, link
from reports.view.course import figure_blocks
from reports.view.story import Story
from reports.view.unknowns import gaps

_MAX_PATHS = 8


def metrics(story: Story) -> Section:
    """Evaluated numbers with their 95 % intervals and what guessing would reach."""
    words, found = story.words, story.run.metrics
    if isinstance(found, Unavailable):
        return Section(title=words("metrics.title"), blocks=(Paragraph(text=story.tell.known(found)),), brief=True)
    names = ("metric", "value", "interval", "chance", "correct", "samples", "split")
    table = Table(
        columns=tuple(words(f"column.{name}") for name in names),
        rows=tuple(_metric_row(story, metric) for metric in found),
        numeric=(1, 2, 3, 4, 5),
    )
    blocks: list[Block] = [*figure_blocks(story, "metrics"), table]
    noted = [metric for metric in found if metric.note]
    if noted:
        counted = [words("metrics.counted", name=words.metric(metric.name), note=metric.note) for metric in noted]
        blocks.append(Bullets(items=tuple(counted)))
    blocks.append(Paragraph(text=words("metrics.note")))
    return Section(title=words("metrics.title"), blocks=tuple(blocks), brief=True)


def artefacts(story: Story) -> Section:
    """The files the run left, with links."""
    words, run = story.words, story.run
    rows: list[tuple[Text, ...]] = [
        (words("artefacts.checkpoint", step=checkpoint.step), _file(checkpoint.path)) for checkpoint in run.checkpoints
    ]
    rows += [(artefact.kind, _file(artefact.path)) for artefact in run.artefacts]
    if not rows:
        return Section(title=words("artefacts.title"), blocks=(Paragraph(text=words("artefacts.none")),))
    table = Table(columns=(words("column.kind"), words("column.file")), rows=tuple(rows))
    return Section(title=words("artefacts.title"), blocks=(table,), brief=True)


def unknowns(story: Story) -> Section:
    """What was not measured and why, and what the trainer warned of."""
    words = story.words
    rows = tuple((_paths(story, gap.paths), gap.reason) for gap in gaps(story.report, words.reason))
    blocks: list[Block] = []
    if rows:
        blocks.append(Table(columns=(words("column.what"), words("column.why")), rows=rows))
    else:
        blocks.append(Paragraph(text=words("unknowns.none")))
    if story.run.warnings:
        blocks += [Paragraph(text=words("unknowns.warnings")), Bullets(items=story.run.warnings)]
    return Section(title=words("unknowns.title"), blocks=tuple(blocks))


def _metric_row(story: Story, metric: EvalMetric) -> tuple[Text, ...]:
    words, tell = story.words, story.tell
    interval = f"[{tell.fixed(metric.low, 3)}, {tell.fixed(metric.high, 3)}]"
    if isinstance(metric.low, Unavailable) or isinstance(metric.high, Unavailable):
        interval = tell.known(metric.low if isinstance(metric.low, Unavailable) else metric.high)
    return (
        words.metric(metric.name),
        tell.fixed(metric.value, 3),
        interval,
        tell.fixed(metric.chance, 3),
        tell.count(metric.num_correct),
        tell.count(metric.num_samples),
        tell.known(metric.split),
    )


def _file(path: str) -> Text:
    """A link to a file of the run folder; what lies elsewhere is named only, for a link could not be followed."""
    outside = path.startswith(("/", "~", "..")) or "://" in path
    return (code(path),) if outside else (link(path, path),)


def _paths(story: Story, paths: tuple[str, ...]) -> Text:
    shown = [piece for path in paths[:_MAX_PATHS] for piece in (", ", code(path))][1:]
    more = story.words("unknowns.more", num=len(paths) - _MAX_PATHS) if len(paths) > _MAX_PATHS else ""
    return (*shown, more)
