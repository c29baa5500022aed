"""What every section of a memory estimate draws on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ilora_diag.schema import CardEstimate, Estimate, Interval, PhasePeak
from ilora_diag.schema.estimate import EVALUATION_PHASES
from ilora_diag.units import format_bytes
from reports.blocks import Figure, Leaf, Paragraph
from reports.figures import ESTIMATE_FIGURES, drawn_path
from reports.messages import Words

BAR_WIDTH = 24
_FULL, _EIGHTHS = "\N{FULL BLOCK}", "".join(chr(0x2590 - eighths) for eighths in range(1, 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateStory:
    """One estimate, and the language it is told in.

    Attributes:
        figures: whether the figures were drawn beside the document, but for those that the record calls skipped.
        is_cut_short: the figures end where something else than memory ended what was watched.
    """

    estimate: Estimate
    words: Words
    figures: bool = False
    is_cut_short: bool = False

    @property
    def card(self) -> CardEstimate:
        """The card that the breakdowns are of."""
        return self.estimate.cards[0]

    @property
    def gpu(self) -> str:
        """What the first card is called in a sentence."""
        return spoken(self.card)

    @property
    def is_recommender(self) -> bool:
        """Whether it is of stage=rec."""
        return dict(self.estimate.settings).get("stage") == "rec"

    @property
    def subject(self) -> str:
        """What was estimated, by the name people know it by."""
        settings = dict(self.estimate.settings)
        script = settings.get("script")
        if isinstance(script, str):
            return script
        if self.is_recommender:
            return self.words("estimate.subject.rec")
        names = (settings.get("llm.name"), settings.get("llm.preset"))
        found = next((name for name in names if isinstance(name, str) and name), None)
        return self.words("estimate.subject.step", name=found) if found else self.words("estimate.subject.any")

    @property
    def peak_phase(self) -> PhasePeak | None:
        """The first phase that holds the peak of allocated bytes; None where none does."""
        peak = self.estimate.peak.allocated_bytes
        return next((phase for phase in self.estimate.by_phase if phase.allocated_bytes == peak), None)

    @property
    def is_evaluated(self) -> bool:
        """Whether what comes after the last step was traced, too, or was where memory ran out."""
        return any(phase.phase in EVALUATION_PHASES for phase in self.estimate.by_phase)

    @property
    def training_reserved_bytes(self) -> int:
        """The most that was reserved before the evaluation began."""
        if not self.is_evaluated:
            return self.estimate.peak.reserved_bytes
        steps = (phase for phase in self.estimate.by_phase if phase.phase not in EVALUATION_PHASES)
        return max((phase.reserved_bytes for phase in steps), default=0)

    def place(self, step: int, phase: str) -> str:
        """A moment of the run; step 0 is before the first."""
        if phase in EVALUATION_PHASES:
            return self.words("estimate.place.evaluation", phase=phase)
        if step == 0:
            return self.words("estimate.place.before", phase=phase)
        return self.words("estimate.place", step=step, phase=phase)

    def module(self, name: str) -> str:
        """A module's name, also of the nameless root."""
        return name or self.words("estimate.module.root")

    def with_span(self, num_bytes: int, interval: Interval) -> str:
        """A size and where it may lie, the unit once if all have the same."""
        value, span = format_bytes(num_bytes), self.span(interval)
        unit = value.partition(" ")[2]
        # What is left of a span in one unit ends in it and holds no other.
        alone = span.count("B") == 1 and span.endswith(f" {unit}")
        return self.words("estimate.with_span", value=value, span=span.removesuffix(f" {unit}") if alone else span)

    def span(self, interval: Interval) -> str:
        """From where to where, the unit once if both ends have the same."""
        low, high = format_bytes(interval.low_bytes), format_bytes(interval.high_bytes)
        number, _, unit = low.partition(" ")
        return self.words("estimate.span", low=number if high.endswith(f" {unit}") else low, high=high)

    def figure_blocks(self, name: str) -> tuple[Leaf, ...]:
        """The figure if it was drawn, the reason if it could not be, nothing if there was nothing to draw."""
        path = drawn_path(name)
        refused = next((entry.reason for entry in self.estimate.skipped if entry.what == path), None)
        if refused is not None:
            return (Paragraph(text=self.words("figure.not_drawn", path=path, reason=self.words.reason(refused))),)
        if not self.figures or not ESTIMATE_FIGURES[name].available(self.estimate):
            return ()
        return (Figure(path=path, alt=self.words(f"estimate.{name}.alt")),)


def spoken(card: CardEstimate) -> str:
    """A card's key as it is written in a sentence: H100, A100-80GB."""
    return card.gpu.upper()


def percent(part: int, whole: int) -> str:
    """A share; what is there but rounds to nothing is told apart from nothing."""
    if part == 0 or whole == 0:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.1f} %" if share >= 0.1 else "<0.1 %"


def bar(part: int, whole: int) -> str:
    """A share as a bar of block characters, an eighth of a character at the least for what is not nothing."""
    if part == 0 or whole == 0:
        return ""
    eighths = max(1, round(8 * BAR_WIDTH * part / whole))
    return _FULL * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def by_reason(pairs: Iterable[tuple[CardEstimate, str]]) -> dict[str, str]:
    """Reasons, each with the cards it holds for: one line for what all cards share."""
    grouped: dict[str, list[str]] = {}
    for card, reason in pairs:
        grouped.setdefault(reason, []).append(card.gpu)
    return {reason: ", ".join(cards) for reason, cards in grouped.items()}
