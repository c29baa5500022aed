"""How the run ended: the headline, the summary, what went wrong, and the commands that go on from here."""

from __future__ import annotations

import shlex
from itertools import groupby

from ilora_diag.schema import EvalMetric, Status, Trial, Unavailable
from ilora_diag.units import format_bytes
from reports.blocks import Alert, Block, Code, Details, Paragraph, Section, Table, Text, code, link, strong
from reports.view.story import Story
from reports.view.teller import setting_text

_HEADLINE_METRICS = ("hr1_generation", "hr1_scoring", "hr@1", "hr1_recommender")
_MESSAGE_LIMIT = 300
_NOT_REPEATED = ("--run-dir", "--resume")  # a run is repeated in a folder of its own


def headline(story: Story) -> str:
    """The run in one line, conclusion first."""
    words = story.words
    if story.status is not Status.OK:
        return _ended(story)
    head = words("headline.steps", steps=story.steps[-1].step) if story.steps else words("headline.done")
    if story.virtual_card is not None:
        head = words("headline.virtual", head=head, card=story.virtual_card)
        details = _peak(story)
    else:
        details = [*_loss_change(story), *_metrics(story)]
    return words("headline.details", head=head, details=words("separator").join(details)) if details else head


def _peak(story: Story) -> list[str]:
    if story.peak is None:
        return []
    allocated, reserved = map(format_bytes, story.peak)
    return [story.words("headline.peak", allocated=allocated, reserved=reserved)]


def headline_metrics(story: Story) -> tuple[EvalMetric, ...]:
    """The metrics worth a place in the headline: HR@1, however it was measured."""
    metrics = () if isinstance(story.run.metrics, Unavailable) else story.run.metrics
    known = {metric.name: metric for metric in metrics if not isinstance(metric.value, Unavailable)}
    return tuple(known[name] for name in _HEADLINE_METRICS if name in known)


def ending(story: Story) -> str:
    """How the newest attempt ended, in words, with the signal if one ended it."""
    signal = story.trial.signal if story.trial else None
    words = story.words(f"status.{story.status.value}")
    return story.words("status.signal", status=words, signal=signal) if signal else words


def resume_command(story: Story) -> str:
    """What to type to go on with this run."""
    return shell("ilora-diag", "train", "--resume", story.folder)


def shell(*words: str) -> str:
    """A command line. A leading `~/` stays outside the quotes, where the shell still expands it."""
    return " ".join(f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word) for word in words)


def summary(story: Story) -> Section:
    """Headline, the way on where there is one, and the run's vital data."""
    words, tell, run = story.words, story.tell, story.run
    blocks: list[Block] = [Paragraph(text=(strong(headline(story)),))]
    if story.virtual_card is not None:
        blocks.append(Alert(kind="warning", text=words("summary.virtual")))
    if story.status is not Status.OK:
        blocks.append(Alert(kind="caution" if story.failed else "note", text=_way_on(story)))
    rows: tuple[tuple[Text, ...], ...] = (
        (words("summary.run"), (code(run.run_id),)),
        (words("summary.state"), ending(story)),
        (words("summary.started"), tell.moment(run.started_at)),
        (words("summary.ended"), tell.moment(run.ended_at)),
        (words("summary.attempts"), str(run.num_attempts)),
        (words("summary.version"), (code(f"ilora-diag {story.report.tool_version}"),)),
    )
    blocks.append(Table(columns=(words("column.item"), words("column.value")), rows=rows))
    title = words("summary.title.failed") if story.failed else words("summary.title")
    return Section(title=title, blocks=tuple(blocks), brief=True)


def failure(story: Story) -> Section | None:
    """What went wrong: the facts that a colleague would ask for first. None for a run that did not fail."""
    trial, error = story.trial, story.run.outcome.error
    if not story.failed:
        return None
    words = story.words
    blocks: list[Block] = [Table(columns=(words("column.item"), words("column.value")), rows=_failure_rows(story))]
    if error is not None:
        blocks += [
            Paragraph(text=words("failure.message")),
            Code(text=f"{error.type}: {error.message}", language="text"),
        ]
        if error.traceback:
            traceback = Code(text=error.traceback, language="text")
            blocks.append(Details(summary=words("failure.traceback"), blocks=(traceback,)))
    if trial is not None and trial.stderr_tail.strip():
        tail = Code(text=trial.stderr_tail, language="text")
        blocks.append(Details(summary=words("failure.stderr"), blocks=(tail,)))
    return Section(title=words("failure.title"), blocks=tuple(blocks))


def reproduction(story: Story) -> Section:
    """The commands: the run as it was typed, the run from its folder alone, and this report again."""
    words = story.words
    device = setting_text(dict(story.trial.requested).get("--device", "auto")) if story.trial else "auto"
    frozen = ("ilora-diag", "train", "--config", f"{story.folder}/config.effective.yaml", "--device", device)
    commands = {"report": shell("ilora-diag", "report", story.folder)}
    if not isinstance(story.run.effective, Unavailable):
        commands = {"frozen": shell(*frozen), **commands}
    if story.trial is not None:
        commands = {"typed": _as_typed(story.trial), **commands}
    lines = [f"# {words(f'reproduce.{key}')}\n{command}\n" for key, command in commands.items()]
    blocks: list[Block] = [Code(text="\n".join(lines), language="sh")]
    files = [piece for name in _evidence(story) for piece in (", ", link(name, name))][1:]
    if files:
        blocks.append(Paragraph(text=(words("reproduce.files"), " ", *files)))
    return Section(title=words("reproduce.title"), blocks=tuple(blocks))


def _evidence(story: Story) -> list[str]:
    """The files this report was made from, those that there are."""
    lacking = {skipped.what for skipped in story.report.skipped}
    there = {
        "config.requested.yaml": not isinstance(story.run.requested, Unavailable),
        "config.effective.yaml": not isinstance(story.run.effective, Unavailable),
        "journal.jsonl": story.trial is not None and "journal.jsonl" not in lacking,
        "runlog.jsonl": story.run.num_attempts > 0,
    }
    return [name for name, stands in there.items() if stands]


def _ended(story: Story) -> str:
    phase, words = story.run.outcome.last_phase, story.words
    progress = _progress(story)
    if isinstance(phase, Unavailable):
        return words("headline.ended.nowhere", what=ending(story))
    return words("headline.ended", what=ending(story), phase=phase, progress=progress)


def _progress(story: Story) -> str:
    plan = story.run.plan
    total = plan if isinstance(plan, Unavailable) else plan.max_steps
    if not story.steps:
        return story.words("progress.none")
    step = story.steps[-1].step
    if isinstance(total, Unavailable):
        return story.words("progress.steps", step=step)
    return story.words("progress.of", step=step, total=total)


def _loss_change(story: Story) -> list[str]:
    first, last = story.number("loss_first_mean"), story.number("loss_last_mean")
    if isinstance(first, Unavailable) or isinstance(last, Unavailable):
        return []
    return [story.words("headline.loss", first=f"{first:.2f}", last=f"{last:.2f}")]


def _metrics(story: Story) -> list[str]:
    """The headline's metrics; those over the same samples name them once."""
    words, tell, parts = story.words, story.tell, []
    for (num, split), group in groupby(headline_metrics(story), key=lambda metric: (metric.num_samples, metric.split)):
        values = words("separator").join(_metric(story, metric) for metric in group)
        parts.append(words("headline.samples", metrics=values, num=tell.count(num), split=tell.known(split)))
    return parts


def _metric(story: Story, metric: EvalMetric) -> str:
    value = story.tell.fixed(metric.value, 2)
    if not isinstance(metric.low, Unavailable) and not isinstance(metric.high, Unavailable):
        value += f" [{metric.low:.2f}, {metric.high:.2f}]"
    return story.words("headline.metric", name=story.words.metric(metric.name), value=value)


def _way_on(story: Story) -> Text:
    words, checkpoint = story.words, story.run.outcome.resume_from
    if story.status is Status.INVALID:
        return words("way_on.invalid")
    if isinstance(checkpoint, Unavailable):
        return (words("way_on.anew"), " ", code(resume_command(story)))
    return (words("way_on.resume"), " ", code(checkpoint), ": ", code(resume_command(story)))


def _failure_rows(story: Story) -> tuple[tuple[Text, ...], ...]:
    words, tell, trial = story.words, story.tell, story.trial
    rows: list[tuple[Text, ...]] = [
        (words("failure.status"), ending(story)),
        (words("failure.phase"), tell.known(story.run.outcome.last_phase)),
        (words("failure.progress"), _progress(story)),
    ]
    if trial is None:
        return tuple(rows)
    if trial.reason:
        rows.append((words("failure.reason"), trial.reason[:_MESSAGE_LIMIT]))
    if trial.exit_code is not None:
        rows.append((words("failure.exit_code"), str(trial.exit_code)))
    rows.append((words("failure.seconds"), tell.duration(trial.seconds)))
    if trial.signature is not None:
        rows.append((words("failure.family"), (code(trial.signature.family.value),)))
        rows.append((words("failure.frame"), tell.known(trial.signature.top_frame)))
        rows.append((words("failure.code"), (code(trial.signature.code),)))
    return tuple(rows)


def _as_typed(trial: Trial) -> str:
    """The command line that began the newest attempt."""
    options = [(key, value) for key, value in trial.requested if key.startswith("--") and key not in _NOT_REPEATED]
    settings = [(key, value) for key, value in trial.requested if not key.startswith("--")]
    typed = [part for key, value in options if value is not None for part in (key, setting_text(value))]
    return shell("ilora-diag", "train", *typed, *(f"{key}={setting_text(value)}" for key, value in settings))
