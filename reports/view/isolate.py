"""Each model alone and both together as a document: the conclusion, every combination, memory stage by stage."""

from __future__ import annotations

from ilora_diag.schema.isolate import IsolateAnswer, IsolateCell, Isolation
from ilora_diag.schema.place import PlaceOutcome
from ilora_diag.schema.trial import Status
from ilora_diag.schema.trial_request import STAGES, Stage
from reports.blocks import Alert, Block, Document, Paragraph, Section, Span, Table, Text, code, strong
from reports.messages import Words
from reports.view.place import closing, outcome_text, shortened, size_text

RECORD_NAME = "isolate.json"
_FAILED = frozenset({Status.OTHER, Status.OOM, Status.CRASHED, Status.SAME})


def isolate_headline(found: Isolation, lang: str) -> str:
    """The conclusion in one sentence."""
    words = Words(lang)
    stage = words("isolate.in_stage", stage=stage_text(found.stage, words)) if found.stage else ""
    return words(f"isolate.answer.{found.answer.value}", stage=stage)


def isolate_document(found: Isolation, lang: str) -> Document:
    """The whole of it.

    Raises:
        ValueError: an unknown language.
    """
    words = Words(lang)
    text: Text = (strong(isolate_headline(found, lang)),)
    calm = found.answer is IsolateAnswer.NOTHING_FAILS
    head: Block = Paragraph(text=text) if calm else Alert(kind="warning", text=text)
    sections = [
        Section(title="", blocks=(head,), brief=True),
        Section(title=words("isolate.section.table"), blocks=(_table(found, words),), brief=True),
    ]
    stages = _stages(found, words)
    if stages is not None:
        sections.append(Section(title=words("isolate.section.stages"), blocks=(stages,), brief=True))
    sections += closing(found.effective, found.notes, found.command, words)
    title = words("isolate.title", device=found.device, subject=found.subject)
    return Document(title=title, lang=lang, sections=tuple(sections))


def cell_name(components: str, load_order: str, rec_weights: str, words: Words) -> str:
    """A combination in words: `both (recommender, random)`."""
    details = [words(f"isolate.order.{load_order}")] if load_order else []
    details += [words(f"isolate.weights.{rec_weights}")] if rec_weights else []
    name = words(f"isolate.components.{components}")
    return f"{name} ({', '.join(details)})" if details else name


def cell_outcome(status: Status) -> PlaceOutcome:
    """How a cell ended, as the truth table of a placement has it."""
    if status is Status.OK:
        return PlaceOutcome.PASSES
    return PlaceOutcome.FAILS if status in _FAILED else PlaceOutcome.UNKNOWN


def stage_text(stage: str, words: Words) -> str:
    """A stage in words."""
    return words.named(f"bisect.stage.{stage}", stage)


def _table(found: Isolation, words: Words) -> Block:
    names = ("components", "order", "weights", "outcome", "stage", "peak", "reserved", "trial", "error")
    return Table(
        columns=tuple(words(f"isolate.column.{name}") for name in names),
        rows=tuple(_row(cell, words) for cell in found.cells),
        numeric=(5, 6),
    )


def _row(cell: IsolateCell, words: Words) -> tuple[Text, ...]:
    nothing = words("isolate.none")
    return (
        words(f"isolate.components.{cell.components}"),
        words(f"isolate.order.{cell.load_order}") if cell.load_order else nothing,
        words(f"isolate.weights.{cell.rec_weights}") if cell.rec_weights else nothing,
        outcome_text(cell_outcome(cell.status), words),
        stage_text(cell.failed_in, words) if cell.failed_in else nothing,
        size_text(cell.peak_allocated_bytes, words),
        size_text(cell.peak_reserved_bytes, words),
        (code(cell.trial),),
        shortened(cell.error_text) or nothing,
    )


def _stages(found: Isolation, words: Words) -> Block | None:
    """A row a stage, a column a combination."""
    begun = {use.stage for cell in found.cells for use in cell.stages}
    shown = [stage for stage in STAGES if stage in begun and stage is not Stage.IMPORT]
    if not shown:
        return None
    heads = tuple(f"{cell.trial} {words(f'isolate.components.{cell.components}')}" for cell in found.cells)
    rows = tuple(
        (stage_text(stage.value, words), *(_use(cell, stage, words) for cell in found.cells)) for stage in shown
    )
    return Table(
        columns=(words("isolate.column.stage_name"), *heads), rows=rows, numeric=tuple(range(1, len(heads) + 1))
    )


def _use(cell: IsolateCell, stage: Stage, words: Words) -> Text:
    if cell.failed_in == stage.value:
        return (Span("bad", words("isolate.fails_here")),)
    use = next((one for one in cell.stages if one.stage is stage), None)
    return words("isolate.none") if use is None else size_text(use.reserved_bytes, words)
