"""A trace cut where training ends: the step alone, the evaluation alone, and which of them needs most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ilora.config import Config
from ilora_diag.schema.estimate import EVALUATION_PHASES, GENERATION, SCORING
from probes.estimate_eval import prompts_tokens, title_tokens
from probes.estimate_knobs import Change
from probes.estimate_replay import live_after
from probes.trace import Trace


def trained_at(trace: Trace) -> int:
    """Events done when training was over: all of them where nothing was evaluated."""
    return next((event for event, _, phase in trace.marks if phase in EVALUATION_PHASES), len(trace.events))


def training_of(trace: Trace) -> Trace:
    """Loading and the steps."""
    end = trained_at(trace)
    if end == len(trace.events):
        return trace
    events = trace.events[:end]
    num = max(events, default=0) + 1
    return replace(
        trace,
        events=events,
        sizes=trace.sizes[:num],
        modules=trace.modules[:num],
        ops=trace.ops[:num],
        categories=trace.categories[:num],
        marks=tuple(mark for mark in trace.marks if mark[2] not in EVALUATION_PHASES),
    )


def evaluation_of(trace: Trace) -> Trace:
    """The evaluation with what is alive when it begins, without what training had asked for and given back."""
    begin = trained_at(trace)
    held = live_after(trace, begin)
    marks = [mark for mark in trace.marks if mark[2] in EVALUATION_PHASES]
    moved = begin - len(held)
    first = [(0, *trace.marks[0][1:])]
    return replace(
        trace,
        events=(*held, *trace.events[begin:]),
        marks=(*first, *((event - moved, step, phase) for event, step, phase in marks)),
        num_load_events=len(held),
    )


def evaluation_changes(config: Config, phase: str) -> Iterator[Change]:
    """The changes worth trying where that part of the evaluation needs most."""
    evaluation = config.eval
    if not phase:
        return
    if evaluation.batch_size > 1:
        cost = "evaluation takes more batches"
        yield Change(key="eval.batch_size", value=evaluation.batch_size // 2, cost=cost)
    if phase == SCORING:
        yield Change(key="eval.scoring", value=False, cost="no HR@1 by the likelihood of titles")
    if phase == GENERATION:
        yield Change(key="eval.generation", value=False, cost="no HR@1 by written answers")


def evaluation_assumption(config: Config) -> str:
    """What was assumed of the evaluation, in words."""
    batch = f"{config.eval.batch_size} prompts of {prompts_tokens(config)} tokens at once (eval.batch_size)"
    if config.model.head == "items":
        return f"evaluated after the last step: {batch}"
    parts = []
    if config.eval.scoring:
        parts.append(f"{config.data.num_candidates} candidates of {title_tokens(config)} tokens (eval.scoring)")
    if config.eval.generation:
        parts.append(f"answers of {config.eval.max_new_tokens} tokens (eval.generation)")
    return ", ".join((f"evaluated after the last step: {batch}", *parts))
