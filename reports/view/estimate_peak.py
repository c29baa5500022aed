"""What the peak consists of, and which phase holds it."""

from __future__ import annotations

from collections.abc import Sequence

from ilora_diag.schema import Category, PhasePeak
from ilora_diag.schema.estimate import EVALUATION_PHASES
from ilora_diag.units import format_bytes
from reports.blocks import Block, Details, Paragraph, Section, Table, Text, code
from reports.module_tree import Row, module_tree, partition
from reports.view.estimate_story import EstimateStory, bar, percent

MAX_MODULES = 10
MAX_OPS = 8
_SHORT = "~"


def peak(story: EstimateStory) -> Section:
    """The same bytes three times: by category, by module, by operator."""
    words = story.words
    blocks: list[Block] = [Paragraph(text=_introduction(story)), *story.figure_blocks("waterfall"), _categories(story)]
    blocks += story.figure_blocks("icicle")
    rows, prefix = _module_rows(story)
    if prefix:
        blocks.append(Paragraph(text=(code(_SHORT), words("estimate.module.prefix"), code(prefix))))
    blocks += [_modules(story, rows, prefix), _ops(story)]
    return Section(title=words("estimate.peak.title"), blocks=tuple(blocks), brief=True)


def phases(story: EstimateStory) -> Section:
    """The most that was held in each phase of each step, in order of time."""
    words, traced = story.words, story.estimate.by_phase
    title = words("estimate.phases.title")
    if not traced:
        return Section(title=title, blocks=(Paragraph(text=words("estimate.phases.none")),), brief=True)
    highest = {
        "allocated": max(traced, key=lambda phase: phase.allocated_bytes),
        "reserved": max(traced, key=lambda phase: phase.reserved_bytes),
    }
    rows = []
    for phase in traced:
        marks = [words(f"estimate.level.{name}") for name, holder in highest.items() if holder is phase]
        row = (
            _step(story, phase),
            phase.phase,
            format_bytes(phase.allocated_bytes),
            format_bytes(phase.reserved_bytes),
            words("estimate.phases.here", what=words("separator").join(marks)) if marks else "",
        )
        rows.append(row)
    columns = ("column.step", "column.phase", "column.allocated_peak", "column.reserved_peak")
    table = Table(columns=(*map(words, columns), ""), rows=tuple(rows), numeric=(0, 2, 3))
    holder = highest["allocated"]
    place = words("estimate.phases.peak", place=story.place(holder.step, holder.phase))
    return Section(title=title, blocks=(Paragraph(text=place), *story.figure_blocks("timeline"), table), brief=True)


def _step(story: EstimateStory, phase: PhasePeak) -> str:
    if phase.phase in EVALUATION_PHASES:
        return story.words("estimate.phases.after")
    return str(phase.step) if phase.step else story.words("estimate.phases.before")


def _introduction(story: EstimateStory) -> str:
    words, oom, holder = story.words, story.card.oom, story.peak_phase
    allocated = format_bytes(story.estimate.peak.allocated_bytes)
    if oom is not None:
        place = story.place(oom.step, oom.phase)
        return words("estimate.peak.oom", place=place, gpu=story.gpu, allocated=allocated)
    if holder is None:
        return words("estimate.peak.plain", gpu=story.gpu, allocated=allocated)
    place = story.place(holder.step, holder.phase)
    return words("estimate.peak.where", gpu=story.gpu, allocated=allocated, place=place)


def _categories(story: EstimateStory) -> Table:
    """In the order every table keeps; what holds nothing is left out."""
    words, whole = story.words, story.estimate.peak.allocated_bytes
    sizes = dict.fromkeys(Category, 0)
    for share in story.estimate.by_category:
        sizes[share.category] += share.size_bytes
    rows = [
        (words(f"estimate.category.{category.value}"), format_bytes(size), percent(size, whole), bar(size, whole))
        for category, size in sizes.items()
        if size
    ]
    rows.append((words("estimate.total"), format_bytes(whole), percent(whole, whole), ""))
    columns = (*(words(f"estimate.column.{name}") for name in ("category", "size", "share")), "")
    return Table(columns=columns, rows=tuple(rows), numeric=(1, 2))


def _module_rows(story: EstimateStory) -> tuple[tuple[Row, ...], str]:
    """The tree opened where the bytes are, and the beginning that most of the names shown have in common."""
    rows = partition(module_tree(story.estimate.by_module), MAX_MODULES)
    return rows, shared_beginning([row.branch.path for row in rows[:MAX_MODULES]])


def _modules(story: EstimateStory, rows: tuple[Row, ...], prefix: str) -> Table:
    words, whole = story.words, story.estimate.peak.allocated_bytes
    shown, hidden = rows[:MAX_MODULES], rows[MAX_MODULES:]
    lines: list[tuple[Text, ...]] = []
    for row in shown:
        num = str(row.branch.num_modules) if row.branch.path else ""
        sizes = (format_bytes(row.size_bytes), percent(row.size_bytes, whole), bar(row.size_bytes, whole))
        lines.append((_module_name(story, row, prefix), num, *sizes))
    if hidden:
        rest = sum(row.size_bytes for row in hidden)
        sizes = (format_bytes(rest), percent(rest, whole), bar(rest, whole))
        lines.append((words("estimate.other", num=len(hidden)), "", *sizes))
    columns = tuple(words(f"estimate.column.{name}") for name in ("module", "num_modules", "size", "share"))
    return Table(columns=(*columns, ""), rows=tuple(lines), numeric=(1, 2, 3))


def _module_name(story: EstimateStory, row: Row, prefix: str) -> Text:
    path = row.branch.path
    if not path:
        return story.module("")
    short = _SHORT + path.removeprefix(prefix) if prefix and path.startswith(f"{prefix}.") else path
    return (code(short), story.words("estimate.module.itself")) if row.itself else (code(short),)


def shared_beginning(paths: Sequence[str]) -> str:
    """The leading parts, several of them, whose abbreviation saves most; empty where no two names share any."""
    num_sharing: dict[str, int] = {}
    for path in paths:
        parts = path.split(".")
        # Up to the list of layers at most: `~.layers.*.fc1` says more than `~.fc1`.
        end = max(parts.index("*") - 1, 0) if "*" in parts else len(parts) - 1
        for num_parts in range(2, end + 1):
            beginning = ".".join(parts[:num_parts])
            num_sharing[beginning] = num_sharing.get(beginning, 0) + 1
    saved = {beginning: len(beginning) * num for beginning, num in num_sharing.items() if num > 1}
    return max(saved, key=lambda beginning: (saved[beginning], beginning), default="")


def _ops(story: EstimateStory) -> Details:
    words, whole = story.words, story.estimate.peak.allocated_bytes
    ranked = sorted((share for share in story.estimate.by_op if share.size_bytes), key=lambda share: -share.size_bytes)
    shown, hidden = ranked[:MAX_OPS], ranked[MAX_OPS:]
    rows: list[tuple[Text, ...]] = [
        ((code(share.op),), format_bytes(share.size_bytes), percent(share.size_bytes, whole)) for share in shown
    ]
    if hidden:
        rest = sum(share.size_bytes for share in hidden)
        rows.append((words("estimate.other", num=len(hidden)), format_bytes(rest), percent(rest, whole)))
    columns = tuple(words(f"estimate.column.{name}") for name in ("op", "size", "share"))
    table = Table(columns=columns, rows=tuple(rows), numeric=(1, 2))
    return Details(summary=words("estimate.ops", num=len(shown), total=len(ranked)), blocks=(table,))
