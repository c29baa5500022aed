"""Between what a reader sees in use and what the step needs: the difference, and how to find where it comes from.

This is the question of the second incident: a step that needs about one gigabyte, on a card that shows sixteen.
"""

from __future__ import annotations

from ilora_diag.units import format_bytes
from reports.blocks import AlertKind, Block, Code, Paragraph, Section
from reports.view.estimate_story import EstimateStory
from reports.view.outcome import shell

_PROCESSES = "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv"
_CARD = "nvidia-smi --query-gpu=index,name,memory.total,memory.used --format=csv"


def verdict(story: EstimateStory, observed_bytes: int) -> tuple[AlertKind, str]:
    """What the step accounts for of the bytes that were seen, in one sentence."""
    key, kind = _kind(story, observed_bytes)
    peak = story.card.peak
    text = story.words(
        f"estimate.observed.{key}",
        observed=format_bytes(observed_bytes),
        gpu=story.gpu,
        used=story.with_span(peak.device_used_bytes, story.card.interval),
        rest=format_bytes(observed_bytes - peak.device_used_bytes),
    )
    return kind, text


def elsewhere(story: EstimateStory) -> Section | None:
    """The commands that tell where the rest comes from; None where nobody said what they see, or nothing is left."""
    observed, words, card = story.estimate.observed_bytes, story.words, story.card
    if observed is None or _kind(story, observed)[0] != "more":
        return None
    blocks: list[Block] = [Paragraph(text=verdict(story, observed)[1])]
    if observed > card.memory_bytes:
        sizes = {"observed": format_bytes(observed), "memory": format_bytes(card.memory_bytes)}
        blocks.append(Paragraph(text=words("estimate.observed.larger", gpu=story.gpu, **sizes)))
    commands = {
        "processes": _PROCESSES,
        "card": _CARD,
        "snapshot": shell("ilora-diag", "snapshot", *story.estimate.typed, "--device", "cuda"),
        "record": shell("ilora-diag", "snapshot", "snapshot.pickle"),
        "bisect": shell("ilora-diag", "bisect-oom", *story.estimate.typed, "--device", "cuda"),
    }
    if story.is_recommender:  # of whose training there are no snapshots and no trials
        del commands["snapshot"], commands["bisect"]
    lines = [f"# {words(f'estimate.observed.{key}')}\n{command}\n" for key, command in commands.items()]
    blocks += [Paragraph(text=words("estimate.observed.look")), Code(text="\n".join(lines), language="sh")]
    return Section(title=words("estimate.observed.title"), blocks=tuple(blocks), brief=True)


def _kind(story: EstimateStory, observed_bytes: int) -> tuple[str, AlertKind]:
    """Whether more was seen than the step can account for; its interval decides, not its middle."""
    card = story.card
    if card.oom is not None:
        return "oom", "note"
    if observed_bytes > card.interval.high_bytes:
        return "more", "warning"
    return ("less", "note") if observed_bytes < card.interval.low_bytes else ("within", "note")
