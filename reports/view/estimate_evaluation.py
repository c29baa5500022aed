"""Where the evaluation needs more than the step: said in one sentence, with what lowers it."""

from __future__ import annotations

from ilora_diag.schema.estimate import EVALUATION_PHASES, hungriest_evaluation
from ilora_diag.units import format_bytes
from reports.blocks import Block, Paragraph
from reports.view.estimate_story import EstimateStory


def needs_most(story: EstimateStory) -> list[Block]:
    """The sentence, or nothing where training needs most."""
    phase = hungriest(story)
    if not phase:
        return []
    key = "estimate.evaluation.oom" if story.card.oom is not None else "estimate.evaluation.most"
    told = story.words(
        key,
        phase=phase,
        reserved=format_bytes(story.estimate.peak.reserved_bytes),
        training=format_bytes(story.training_reserved_bytes),
        lowers=story.words(f"estimate.evaluation.lower.{phase}"),
    )
    return [Paragraph(text=told)]


def hungriest(story: EstimateStory) -> str:
    """The part of the evaluation in which memory ran out, or that reserves most; empty where training does."""
    oom = story.card.oom
    if oom is not None:
        return oom.phase if oom.phase in EVALUATION_PHASES else ""
    return hungriest_evaluation(story.estimate.by_phase)
