"""What every section of an investigation report draws on: the record, the language, and where each claim is borne out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter

from ilora_diag.schema import FailureSignature, Known, Metric, Status, Trial, Unavailable
from ilora_diag.schema.bisect import Bisect, Cause, Factor, Outcome, Purpose, Step
from reports.blocks import Block, Figure, Paragraph, Span, Text, code, link, spans
from reports.messages import Words
from reports.view.outcome import shell
from reports.view.teller import Teller

RECORD_NAME = "bisect.json"
JOURNAL_NAME = "journal.jsonl"
PASSES, FAILS = frozenset({Status.OK}), frozenset({Status.SAME, Status.OOM})
INTERIM = frozenset({Outcome.BUDGET_SPENT, Outcome.INTERRUPTED, Outcome.FLAKY})
"""Outcomes that a further run of the same investigation can change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectStory:
    """One investigation, and the language it is told in."""

    bisect: Bisect
    words: Words

    @property
    def tell(self) -> Teller:
        """Values in this language."""
        return Teller(self.words)

    @property
    def cause(self) -> Cause | None:
        """What was found; None where nothing was."""
        return self.bisect.cause

    @property
    def folder(self) -> str:
        """The run folder as it is reached from where the command was typed."""
        return self.bisect.report.rpartition("/")[0] or f"reports/runs/{self.bisect.run_id}"

    @property
    def on_virtual_card(self) -> bool:
        """Whether no real card was used."""
        return self.bisect.device.startswith("virtual:")

    def trial(self, trial_id: str) -> Trial | None:
        """A trial of the record by its id."""
        return next((trial for trial in self.bisect.trials if trial.id == trial_id), None)

    def factor(self, name: str) -> Factor | None:
        """A factor of the record by its name."""
        return next((factor for factor in self.bisect.factors if factor.name == name), None)

    def level(self, factor_name: str, index: int) -> str:
        """A level as a user reads it."""
        factor = self.factor(factor_name)
        return factor.levels[index].name if factor and index < len(factor.levels) else str(index)

    def steps(self, *purposes: Purpose) -> tuple[Step, ...]:
        """The steps taken for one of the purposes, in order."""
        return tuple(step for step in self.bisect.steps if step.purpose in purposes)

    def unchanged(self) -> tuple[Step, ...]:
        """The steps that ran the failing configuration as it is."""
        return tuple(step for step in self.bisect.steps if not step.relaxed)

    # sentences

    def fill(self, key: str, **values: object) -> Text:
        """A message with its placeholders filled in; spans and texts among the values keep their meaning."""
        return fill_text(self.words.named(key, ""), **values)

    def joined(self, texts: Iterable[Text]) -> Text:
        """Texts one after the other, separated as in a list."""
        pieces: list[str | Span] = []
        for index, text in enumerate(texts):
            pieces += [self.words("separator"), *spans(text)] if index else [*spans(text)]
        return tuple(pieces)

    def cite(self, text: Text, *where: Span) -> Text:
        """A sentence with the evidence it rests on behind it."""
        shown = dict.fromkeys(where)
        return (*spans(text), " [", *spans(self.joined((span,) for span in shown)), "]") if shown else text

    # evidence

    def run(self, trial_id: str) -> Span:
        """A trial as evidence: its answer, its own log, or its line in the journal, whichever there is."""
        answer = f"trials/{trial_id}/answer.json"
        trial = self.trial(trial_id)
        if any(file.path == answer for file in self.bisect.evidence):
            return link(trial_id, answer)
        return link(trial_id, (trial.journal if trial and trial.journal else None) or JOURNAL_NAME)

    def runs(self, ids: Iterable[str]) -> tuple[Span, ...]:
        """Trials as evidence, each once."""
        return tuple(self.run(trial_id) for trial_id in dict.fromkeys(ids))

    def fact(self, path: str, name: str = "") -> Span:
        """A value of the record as evidence.

        Args:
            path: JSON pointer within the record, without the leading slash: `failed_request`, `fixes/0`.
            name: for people, where the path is none; stands behind `E-`.
        """
        return link(f"E-{name or path.replace('/', '.')}", RECORD_NAME, f"/{path}")

    # values

    def result(self, trial: Trial | None) -> str:
        """How a trial ended, in a word."""
        if trial is None:
            return self.words("bisect.result.gone")
        return self.words(f"bisect.result.{trial.status.value}")

    def relaxed(self, step: Step) -> Text:
        """What a step changed against the failing configuration."""
        return self.settings(step.relaxed) if step.relaxed else self.words("bisect.relaxed.nothing")

    def settings(self, relaxed: Iterable[tuple[str, int]]) -> Text:
        """Factors at levels, as `name=level` each."""
        return self.joined((code(f"{name}={self.level(name, index)}"),) for name, index in relaxed)

    def signature(self, found: FailureSignature) -> str:
        """A signature in one line."""
        stage = found.stage if not isinstance(found.stage, Unavailable) else ""
        return f"{found.code} ({stage})" if stage else found.code

    def figure(self, name: str) -> tuple[Block, ...]:
        """The figure if it was drawn, the reason if it could not be, nothing if there was nothing to draw."""
        path = f"figures/{name}.svg"
        refused = next((entry.reason for entry in self.bisect.skipped if entry.what == path), None)
        if refused is not None:
            return (Paragraph(text=self.words("figure.not_drawn", path=path, reason=self.words.reason(refused))),)
        if name not in self.bisect.figures:
            return ()
        return (Figure(path=path, alt=self.words(f"bisect.figure.{name}.alt")),)

    def resume_command(self) -> str:
        """What to type to go on with this investigation."""
        return shell("ilora-diag", "bisect-oom", "--resume", self.folder)


def tell_bisect(bisect: Bisect, lang: str) -> BisectStory:
    """An investigation's story in a language."""
    return BisectStory(bisect=bisect, words=Words(lang))


def measured(trial: Trial | None, name: str) -> Known[int]:
    """A number of bytes or a count that a trial measured."""
    metrics: tuple[Metric, ...] = trial.metrics if trial else ()
    value = next((metric.value for metric in metrics if metric.name == name), None)
    if isinstance(value, Unavailable):
        return value
    if isinstance(value, (int, float)):
        return int(value)
    return Unavailable(reason="the trial did not measure it", source=name)


def fill_text(message: str, **values: object) -> Text:
    """A message with its placeholders filled in, spans kept."""
    pieces: list[str | Span] = []
    for literal, name, _, _ in Formatter().parse(message):
        if literal:
            pieces.append(literal)
        if name is not None:
            value = values[name]
            pieces += [value] if isinstance(value, Span) else [*value] if isinstance(value, tuple) else [str(value)]
    return tuple(pieces)
