"""How the training went: the recommender's epochs, loss, throughput, memory. Every figure has its table twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ilora_diag.schema import DeviceMemory, Known, Phase, Step, Unavailable
from reports.blocks import Block, Details, Figure, Leaf, Paragraph, Section, Table, Text
from reports.figures import FIGURES, drawn_path
from reports.view.story import Story

MAX_ROWS = 50
T = TypeVar("T")


def recommender(story: Story) -> Section | None:
    """The recommender's own training; None where it was loaded or the run did not get that far."""
    words, tell, epochs = story.words, story.tell, story.run.rec_epochs
    if not epochs:
        return None
    table = Table(
        columns=(words("column.epoch"), words("column.loss"), words("column.val_hr1"), words("column.seconds")),
        rows=tuple(
            (str(row.epoch), tell.fixed(row.loss, 4), tell.fixed(row.val_hr1, 4), tell.fixed(row.seconds, 2))
            for row in sampled(epochs)
        ),
        numeric=(0, 1, 2, 3),
    )
    twin = _folded(story, table, shown=len(table.rows), total=len(epochs))
    return Section(title=words("recommender.title"), blocks=(*figure_blocks(story, "recommender"), twin))


def loss(story: Story) -> Section:
    """The loss curve, with everything that was logged beside it."""
    words, tell, steps = story.words, story.tell, story.steps
    blocks: list[Block] = [*figure_blocks(story, "loss")]
    if not steps:
        return Section(title=words("loss.title"), blocks=(Paragraph(text=_nothing(story)),))
    first, last, window = (story.number(f"loss_{name}") for name in ("first_mean", "last_mean", "window"))
    if not isinstance(first, Unavailable) and not isinstance(last, Unavailable):
        averaged = words("loss.change", first=f"{first:.4f}", last=f"{last:.4f}", window=tell.fixed(window, 0))
        blocks.insert(0, Paragraph(text=averaged))
    rows = tuple(_step_row(story, step) for step in sampled(steps))
    columns = tuple(words(f"column.{name}") for name in ("step", "loss", "lr", "grad_norm", "tokens", "samples"))
    table = Table(columns=columns, rows=rows, numeric=tuple(range(len(columns))))
    blocks.append(_folded(story, table, shown=len(rows), total=len(steps)))
    if story.run.val_losses:
        blocks.append(_validation(story))
    return Section(title=words("loss.title"), blocks=tuple(blocks))


def throughput(story: Story) -> Section:
    """Tokens a second."""
    words, tell, steps = story.words, story.tell, story.steps
    if not steps:
        return Section(title=words("throughput.title"), blocks=(Paragraph(text=_nothing(story)),))
    median = words(
        "throughput.median",
        tokens=tell.fixed(story.number("tokens_per_s_median"), 1),
        seconds=tell.duration(story.number("step_s_median")),
    )
    rows = tuple(
        (str(step.step), tell.count(step.num_tokens), tell.fixed(step.seconds, 3), tell.fixed(step.tokens_per_s, 1))
        for step in sampled(steps)
    )
    columns = tuple(words(f"column.{name}") for name in ("step", "tokens", "seconds", "tokens_per_s"))
    twin = _folded(story, Table(columns=columns, rows=rows, numeric=(0, 1, 2, 3)), shown=len(rows), total=len(steps))
    blocks = (Paragraph(text=median), *figure_blocks(story, "throughput"), twin)
    return Section(title=words("throughput.title"), blocks=blocks)


def memory(story: Story) -> Section:
    """What was held when each phase ended, on the host and on the device."""
    words, phases = story.words, story.run.phases
    if not phases:
        return Section(title=words("memory.title"), blocks=(Paragraph(text=words("memory.no_phase")),))
    on_device = any(isinstance(phase.device, DeviceMemory) for phase in phases)
    names = ["phase", "duration", "rss", "rss_peak", *(["allocated_peak", "reserved_peak"] if on_device else [])]
    table = Table(
        columns=tuple(words(f"column.{name}") for name in names),
        rows=tuple(_phase_row(story, phase, on_device=on_device) for phase in phases),
        numeric=tuple(range(1, len(names))),
    )
    blocks: list[Block] = [*figure_blocks(story, "memory"), table]
    if not on_device:
        blocks.append(Paragraph(text=words("memory.no_device", reason=_reason(story, phases[-1].device))))
    return Section(title=words("memory.title"), blocks=tuple(blocks), brief=story.failed)


def figure_blocks(story: Story, name: str) -> tuple[Leaf, ...]:
    """The figure, if there was something to draw and it was drawn; else the reason it was not, if it was tried."""
    path = drawn_path(name)
    refused = next((skipped.reason for skipped in story.report.skipped if skipped.what == path), None)
    if refused is not None:
        text = story.words("figure.not_drawn", path=path, reason=story.words.reason(refused))
        return (Paragraph(text=text),)
    if not FIGURES[name].available(story.run):
        return ()
    return (Figure(path=path, alt=story.words(f"figure.{name}.alt")),)


def sampled(rows: Sequence[T], limit: int = MAX_ROWS) -> Sequence[T]:
    """At most `limit` rows, evenly spread, the first and the last among them."""
    if len(rows) <= limit:
        return rows
    last = len(rows) - 1
    return [rows[round(index * last / (limit - 1))] for index in range(limit)]


def _nothing(story: Story) -> str:
    steps = story.run.steps
    return story.tell.known(steps) if isinstance(steps, Unavailable) else story.words("steps.none")


def _step_row(story: Story, step: Step) -> tuple[Text, ...]:
    tell = story.tell
    return (
        str(step.step),
        tell.fixed(step.loss, 4),
        tell.number(step.lr, 3),
        tell.number(step.grad_norm, 3),
        tell.count(step.num_tokens),
        tell.count(step.num_samples),
    )


def _validation(story: Story) -> Table:
    words, tell = story.words, story.tell
    return Table(
        columns=(words("column.step"), words("column.val_loss"), words("column.samples")),
        rows=tuple(
            (str(val.step), tell.fixed(val.loss, 4), tell.count(val.num_samples))
            for val in sampled(story.run.val_losses)
        ),
        numeric=(0, 1, 2),
    )


def _phase_row(story: Story, phase: Phase, *, on_device: bool) -> tuple[Text, ...]:
    tell = story.tell
    name = phase.name if phase.attempt == 1 else story.words("memory.attempt", phase=phase.name, num=phase.attempt)
    row = (name, tell.duration(phase.seconds), tell.size(phase.rss_bytes), tell.size(phase.rss_peak_bytes))
    if not on_device:
        return row
    device = phase.device
    if isinstance(device, Unavailable):
        return (*row, tell.known(device), tell.known(device))
    return (*row, tell.size(device.peak_allocated_bytes), tell.size(device.peak_reserved_bytes))


def _reason(story: Story, value: Known[DeviceMemory]) -> str:
    return story.words.reason(value.reason) if isinstance(value, Unavailable) else ""


def _folded(story: Story, table: Table, *, shown: int, total: int) -> Details:
    key = "table.all" if shown == total else "table.sampled"
    return Details(summary=story.words(key, shown=shown, total=total), blocks=(table,))
