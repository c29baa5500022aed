"""What every section of an investigation report draws on: record, language, and where each claim is borne out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter

from ilora_diag.schema import (
    OUT_OF_MEMORY,
    Confidence,
    ErrorFamily,
    FailureSignature,
    Known,
    Metric,
    Status,
    Trial,
    Unavailable,
)
from ilora_diag.schema.bisect import Bisect, Cause, Factor, FactorKind, FactorScope, Fix, Outcome, Purpose, Step
from reports.blocks import Block, Figure, Paragraph, Span, Text, code, link, spans
from reports.figures import drawn_path
from reports.figures.bisect import figure_alt
from reports.messages import Words
from reports.view.outcome import shell
from reports.view.teller import Teller

RECORD_NAME = "bisect.json"
JOURNAL_NAME = "journal.jsonl"
PASSES, FAILS = frozenset({Status.OK}), frozenset({Status.SAME, Status.OOM})
INTERIM = frozenset({Outcome.BUDGET_SPENT, Outcome.INTERRUPTED})
"""Outcomes that a further run of the same investigation can change."""
BESIDE = frozenset({Purpose.GROWTH, Purpose.FIRST_TOUCH})
"""Purposes of trials that answer a question of their own and are no point among the factors."""
_TYPED = re.compile(r"(?:export|unset) \S+|-\S+( \S+)?|[\w.]+=\S*")
_APPLIED = re.compile(r"apply\.(\w+)=(.*)")


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
    def is_driver_error(self) -> bool:
        """Whether the driver refused a call, rather than memory running out."""
        signature = self.bisect.signature
        return not isinstance(signature, Unavailable) and signature.family is ErrorFamily.CUDA_DRIVER

    @property
    def is_out_of_memory(self) -> bool:
        """Whether memory explains the failure."""
        signature = self.bisect.signature
        return not isinstance(signature, Unavailable) and signature.family in OUT_OF_MEMORY

    @property
    def name(self) -> str:
        """What was investigated, short enough for a title."""
        if self.bisect.example:
            return self.words("bisect.name.example", name=self.bisect.example)
        words = self.bisect.subject.split()
        script = [word for word in words[1:] if not word.startswith("-")] if words[:1] == ["python"] else []
        return (script or words or [self.bisect.run_id])[0]

    @property
    def confidence(self) -> Confidence:
        """How sure the cause is of the machine in question."""
        return Confidence.UNKNOWN if self.cause is None else self.cause.confidence

    @property
    def is_virtual_alone(self) -> bool:
        """Whether the cause is confirmed on a virtual card, and of the machine in question only suggested."""
        return self.cause is not None and "virtual_card" in self.cause.reasons

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
        return self.words.reason(factor.levels[index].name) if factor and index < len(factor.levels) else str(index)

    def steps(self, *purposes: Purpose) -> tuple[Step, ...]:
        """The steps taken for one of the purposes, in order."""
        return tuple(step for step in self.bisect.steps if step.purpose in purposes)

    def unchanged(self) -> tuple[Step, ...]:
        """The steps that ran the failing configuration as it is."""
        return tuple(step for step in self.searched() if not step.relaxed)

    def searched(self) -> tuple[Step, ...]:
        """The steps that are points among the factors."""
        return tuple(step for step in self.bisect.steps if step.purpose not in BESIDE)

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

    @property
    def measures(self) -> tuple[tuple[int, Fix], ...]:
        """The fixes with their places in the record, but those that leave a part of the training out."""
        return tuple((index, fix) for index, fix in enumerate(self.bisect.fixes) if fix.cost != "not_the_training")

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

    def about(self, name: str) -> str:
        """What a factor is, in words; of one that we have none for, what its category says."""
        factor = self.factor(name)
        otherwise = self.words.named(f"bisect.cause.{factor.category}", "") if factor else ""
        return self.words.named(f"bisect.factor.{name}", otherwise)

    def settings(self, relaxed: Iterable[tuple[str, int]]) -> Text:
        """Factors at levels, as `name=level` each."""
        return self.joined((code(f"{name}={self.level(name, index)}"),) for name, index in relaxed)

    def change(self, text: str) -> Text:
        """What one types or does to change a factor; what was done to a script from outside is told as such."""
        return self.joined(self._one_change(part) for part in text.split(" and "))

    def _one_change(self, text: str) -> Text:
        applied = _APPLIED.fullmatch(text)
        if applied is not None and self.words.named(f"bisect.apply.{applied[1]}", ""):
            return self.fill(f"bisect.apply.{applied[1]}", value=code(applied[2].strip("[]")))
        return (code(text),) if _TYPED.fullmatch(text) else self.words.reason(text)

    def contrast(self, name: str, failing: int, passing: int) -> Text:
        """A factor with the level at which it fails and the one at which it passes, in words."""
        factor = self.factor(name)
        if factor is not None and factor.scope is FactorScope.INTERVENTION and factor.kind is not FactorKind.ORDERED:
            return self.fill("bisect.contrast.applied", change=self.change(factor.levels[passing].change))
        levels = {"failing": code(self.level(name, failing)), "passing": code(self.level(name, passing))}
        return self.fill("bisect.contrast", factor=code(name), **levels)

    def signature(self, found: FailureSignature) -> str:
        """A signature in one line."""
        stage = found.stage if not isinstance(found.stage, Unavailable) else ""
        return f"{found.code} ({stage})" if stage else found.code

    def figure(self, name: str) -> tuple[Block, ...]:
        """The figure if it was drawn, the reason if it could not be, nothing if there was nothing to draw."""
        path = drawn_path(name)
        refused = next((entry.reason for entry in self.bisect.skipped if entry.what == path), None)
        if refused is not None:
            return (Paragraph(text=self.words("figure.not_drawn", path=path, reason=self.words.reason(refused))),)
        if path not in self.bisect.figures:
            return ()
        return (Figure(path=path, alt=figure_alt(name, self.bisect, self.words)),)

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
