"""From an investigation to single trials: what each of them asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ilora_diag.engine.bisect.script_factors import WATCHED
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.known import Settings, Value
from ilora_diag.schema.trial import OUT_OF_MEMORY
from ilora_diag.schema.trial_answer import TrialAnswer
from ilora_diag.schema.trial_request import STAGES, Stage, Target, TrialRequest

CONFIG_STEPS = 3
"""Optimizer steps of a configuration: the second makes what the first left out, the third shows growth."""

UNTIL_IT_FAILS = 10_000
"""Steps of a script that nobody limited: more than its deadline allows."""

GROWTH_STEPS = 6
"""Steps over which growth is measured where the failing run did not come so far."""

LEAST_GROWTH_STEPS = 4
"""A slope and its error need as many, the first step left out."""

ROOMY_BYTES = 1 << 40
"""A virtual card on which nothing runs out: what a step needs is measured there, and what it leaves behind."""


def make_requests(request: BisectRequest) -> Callable[[Settings], TrialRequest]:
    """A function from what a trial sets beyond the failing configuration to the request."""
    is_virtual = request.device.startswith("virtual:")

    def make(changes: Settings) -> TrialRequest:
        settings = {**dict(request.base), **dict(changes)}
        # A level sets None where it takes something of the card back: its own size, nobody else on it.
        dropped = [
            key for key, value in settings.items() if key.startswith("device.") and (value is None or not is_virtual)
        ]
        for key in dropped:
            del settings[key]
        settings = _names_together(settings)
        return TrialRequest(
            id="T-00",
            target=request.target,
            config=request.config,
            overrides=request.overrides,
            script=request.script,
            script_args=request.script_args,
            script_is_module=request.script_is_module,
            device=request.device,
            torch_version=request.torch_version,
            settings=tuple(settings.items()),
            steps=request.max_steps or (CONFIG_STEPS if request.target is Target.CONFIG else UNTIL_IT_FAILS),
        )

    return make


def discovery(asked: TrialRequest) -> TrialRequest:
    """The first trial: counts what interventions would find, and follows growth as far as it comes."""
    if asked.target is Target.CONFIG:
        return asked
    return replace(asked, watch=WATCHED, growth_steps=min(asked.steps, UNTIL_IT_FAILS))


def roomy(asked: TrialRequest, steps: int) -> TrialRequest:
    """The same on a virtual card where nothing runs out: its need, its growth, and what interventions would find."""
    kept = tuple((key, value) for key, value in asked.settings if not key.startswith("device."))
    device: Settings = (("device.memory_bytes", ROOMY_BYTES), ("device.other_bytes", 0))
    vmm = tuple((key, value) for key, value in asked.settings if key == "device.vmm")
    watch = WATCHED if asked.target is Target.SCRIPT else ()
    return replace(asked, settings=(*kept, *device, *vmm), steps=steps, growth_steps=steps, watch=watch)


def ordinary(answer: TrialAnswer | None, family: object, *, grows: bool) -> Callable[[TrialRequest], TrialRequest]:
    """How far the trials of the search run: past the step that failed; for other failures than memory, a stage past.

    Args:
        answer: of the first failing trial.
        family: of its failure.
        grows: growth is then followed in every trial, since a slower leak is no fix.
    """

    def ask(asked: TrialRequest) -> TrialRequest:
        steps = max(asked.steps, LEAST_GROWTH_STEPS) if grows else asked.steps
        if answer is not None and asked.target is Target.SCRIPT:
            steps = min(steps, max(answer.steps_done + 1, LEAST_GROWTH_STEPS if grows else CONFIG_STEPS))
        stop = Stage.DONE
        if answer is not None and asked.target is Target.CONFIG and family not in OUT_OF_MEMORY:
            stop = STAGES[min(STAGES.index(answer.stage) + 1, len(STAGES) - 1)]
        return replace(asked, steps=steps, stop_after=stop, growth_steps=steps if grows else 0)

    return ask


def _names_together(settings: dict[str, Value]) -> dict[str, Value]:
    """Names that are let go, each by a factor of its own (`apply.release:NAME`), as one setting (`apply.release`).

    The factors' own keys stay beside it: they say which of them were changed.
    """
    named: dict[str, list[str]] = {}
    for key in settings:
        intervention, joined, name = key.partition(":")
        if joined and intervention.startswith("apply."):
            named.setdefault(intervention, []).append(name)
    return {**settings, **{key: tuple(names) for key, names in named.items()}}
