"""What grows from step to step: lines of the program whose blocks are made again in each step and stay.

Memory that a step makes and the next one frees (activations, gradients) does not survive the steps in between; what
the first step makes and keeps (optimizer state, workspaces) is made once. What remains in the end and was made in
every step after the first is what a leak looks like. So does a cache that is meant to grow: a suspect is not a verdict.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from ilora_diag.memory.snapshot_events import ALLOC, FREE_REQUESTED
from ilora_diag.memory.snapshot_stacks import is_optimizer
from ilora_diag.memory.snapshot_state import Origins
from ilora_diag.memory.window import BEFORE, Window
from ilora_diag.schema.known import Known, Unavailable
from ilora_diag.schema.snapshot import Growth, GrowthSuspect, StepMarker

MIN_STEPS = 3
"""The first step makes what stays; the last may still hold what the next would free. One between them is the least."""

_EVEN_WITHIN = 0.25  # of the median distance between two marks, for marks that are only inferred
_MARKS = ("Optimizer.step#", "ProfilerStep#")


def growth_of(window: Window, origins: Origins, annotations: Sequence[dict[str, Any]]) -> Growth:
    """Steps of a window, what they ended with, and what stayed from each of them."""
    marker, ends = find_steps(window, annotations)
    return Growth(
        marker=marker,
        step_ends=tuple(ends),
        step_end_allocated_bytes=tuple(window.allocated_at(end) for end in ends),
        suspects=_suspects(window, origins, marker, ends),
    )


def find_steps(window: Window, annotations: Sequence[dict[str, Any]]) -> tuple[StepMarker, list[int]]:
    """The last event of each step, and how it was found; `MIN_STEPS` of them or more if any way finds so many."""
    if window.num_events == 0:
        return StepMarker.THIRDS, []
    found = [
        (StepMarker.ANNOTATION, _annotated_ends(window, annotations)),
        (StepMarker.OPTIMIZER, _optimizer_ends(window)),
        (StepMarker.REPEAT, _repeat_ends(window)),
    ]
    for marker, ends in found:
        if len(ends) >= MIN_STEPS:
            return marker, ends
    for marker, ends in found[:2]:
        if ends:
            return marker, ends
    last = window.num_events - 1
    return StepMarker.THIRDS, sorted({max(0, window.num_events * part // 3 - 1) for part in (1, 2)} | {last})


def _annotated_ends(window: Window, annotations: Sequence[dict[str, Any]]) -> list[int]:
    """The optimizer and the profiler mark their steps with a time in the clock of the events."""
    times = window.events.time
    if not times[0] or any(later < earlier for earlier, later in pairwise(times)):
        return []
    for prefix in _MARKS:
        marks = [
            mark["time_us"]
            for mark in annotations
            if str(mark.get("name", "")).startswith(prefix)
            and mark.get("stage") == "END"
            and mark.get("device", window.device) == window.device
            and isinstance(mark.get("time_us"), int)
        ]
        ends = sorted({bisect_right(times, time) - 1 for time in marks if time >= times[0]})
        if ends:
            return ends
    return []


def _optimizer_ends(window: Window) -> list[int]:
    """Ends of the runs of events whose stack goes through torch.optim; other Python work ends a run."""
    events = window.events
    stepping = [any(is_optimizer(frame) for frame in frames) for frames in events.stacks.frames]
    ends, last = [], None
    for index, (action, stack) in enumerate(zip(events.action, events.stack, strict=True)):
        if not stack or action not in (ALLOC, FREE_REQUESTED):
            continue
        if stepping[stack]:
            last = index
        elif last is not None and action == ALLOC:
            ends.append(last)
            last = None
    return ends if last is None else [*ends, last]


def _repeat_ends(window: Window) -> list[int]:
    """The window cut where the stack of its first allocation comes again, if it comes at even distances."""
    events = window.events
    stacks = [stack if action == ALLOC else 0 for action, stack in zip(events.action, events.stack, strict=True)]
    first = next((stack for stack in stacks if stack), None)
    if first is None:
        return []
    starts = [index for index, stack in enumerate(stacks) if stack == first]
    distances = [later - earlier for earlier, later in pairwise(starts)]
    if len(starts) < MIN_STEPS:
        return []
    usual = median(distances)
    if any(abs(distance - usual) > _EVEN_WITHIN * usual for distance in distances):
        return []
    ends = [start - 1 for start in starts[1:]]
    tail = window.num_events - starts[-1]
    if tail > usual * (1 + _EVEN_WITHIN):
        return []  # what repeats is a part of the window, not its course
    return [*ends, window.num_events - 1] if tail >= usual * (1 - _EVEN_WITHIN) else ends


def _suspects(
    window: Window, origins: Origins, marker: StepMarker, ends: list[int]
) -> Known[tuple[GrowthSuspect, ...]]:
    if window.num_events == 0:
        return Unavailable(reason="no events were recorded", source="device_traces")
    if len(ends) < MIN_STEPS:
        reason = f"the window holds {len(ends)} of the {MIN_STEPS} steps that growth shows in"
        return Unavailable(reason=reason, source="device_traces")
    blocks, num_events = window.blocks, window.num_events
    made: dict[int, Counter[int]] = defaultdict(Counter)
    sizes = Counter[int]()
    for index in range(len(blocks)):
        stack, start = blocks.stack[index], blocks.start[index]
        if start == BEFORE or blocks.end[index] < num_events or not stack:
            continue
        step = bisect_left(ends, start)
        if step < len(ends):  # what came after the last step is still in use
            made[stack][step] += 1
            sizes[stack] += blocks.size[index]
    suspects = []
    for stack, steps in made.items():
        if not _keeps_growing([steps[step] for step in range(len(ends))], marker):
            continue
        origin = origins.of_stack(stack)
        suspects.append(
            GrowthSuspect(
                site=origin.site,
                op=origin.op,
                size_bytes=sizes[stack],
                num_blocks=steps.total(),
                per_step=tuple(steps[step] for step in range(len(ends))),
                frames=origin.frames,
            )
        )
    return tuple(sorted(suspects, key=lambda suspect: (-suspect.size_bytes, suspect.site, suspect.op)))


def _keeps_growing(per_step: list[int], marker: StepMarker) -> bool:
    """Whether every step after the first left blocks behind; the last of many need not have done so yet."""
    if marker is StepMarker.THIRDS:
        # No steps to compare, so only what comes as steadily as a leak would: not what one phase of a step makes.
        return min(per_step) * 2 >= max(per_step) and sum(per_step) >= 2 * MIN_STEPS
    between = per_step[1:] if len(per_step) == MIN_STEPS else per_step[1:-1]
    return all(between)
