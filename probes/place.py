"""One attempt to put a model on a card: `python -P -m probes.place --request FILE --journal FILE --mode MODE`.

The request is a `TrialRequest` of a configuration or a script. Every tensor is told in the journal before it moves and
after, so the name of the one that killed the process is the last that was announced. The answer is a `TrialAnswer` on
the descriptor that ILORA_DIAG_RESULT_FD names.

Exit codes: 0 the attempt is told, however it ended; 2 the request cannot be read.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ilora_diag.schema import Metric, SchemaError, Unavailable, from_json
from ilora_diag.schema.known import Settings
from ilora_diag.schema.place import PlaceMode
from ilora_diag.schema.trial_answer import TrialAnswer, TrialEnd
from ilora_diag.schema.trial_request import Stage, Target, TrialRequest
from probes.run_enough import Enough
from probes.trial import EXIT_OK, EXIT_USAGE, RESULT_FD, send
from probes.trial_clock import StageClock
from probes.trial_end import end_of, told

if TYPE_CHECKING:
    from probes.place_walk import Walk
    from probes.trial_device import Site

_ROOMY_BYTES = 1 << 40
_NO_PEAK = Unavailable(reason="only placement was tried", source="place")


def main(argv: list[str] | None = None) -> int:
    """Make one attempt. Returns the exit code."""
    begin = time.perf_counter()
    channel = os.environ.pop(RESULT_FD, "")
    parser = argparse.ArgumentParser(prog="python -P -m probes.place", description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="file with a TrialRequest")
    parser.add_argument("--journal", type=Path, required=True, help="file that tells every tensor")
    parser.add_argument("--mode", type=PlaceMode, required=True, help="what is put on the card")
    parser.add_argument("--only", default="", help="name of the tensor that alone and random are about")
    arguments = parser.parse_args(argv)
    try:
        request = from_json(TrialRequest, arguments.request.read_bytes())
    except (OSError, SchemaError) as error:
        sys.stderr.write(f"--request {arguments.request}: {error}\n")
        return EXIT_USAGE
    faulthandler.enable()
    send(attempt(request, arguments.journal, arguments.mode, arguments.only, begin), channel)
    return EXIT_OK


def attempt(request: TrialRequest, journal: Path, mode: PlaceMode, only: str, begin: float) -> TrialAnswer:
    """Put what is asked for on the card, and tell how that ended."""
    from probes.place_walk import Journal, Walk

    clock = StageClock(begin, Stage.DONE)
    with ExitStack() as stack:
        walk = Walk(stack.enter_context(Journal(journal)), mode, only)
        place: list[Site] = []
        notes: list[str] = []
        error = _ended_with(lambda: _place(request, walk, clock, stack, place, notes))
        clock.close()
        end = TrialEnd.PASSED if error is None else end_of(error, is_virtual=request.device.startswith("virtual:"))
        return TrialAnswer(
            id=request.id,
            end=end,
            stage=Stage.DONE if error is None else clock.now,
            steps_done=0,
            error=None if error is None else told(error),
            stages=(),
            effective=_effective(request, place[0] if place else None),
            metrics=(
                Metric(name="num_moved", value=walk.num_moved, unit="1"),
                Metric(name="moved_bytes", value=walk.moved_bytes, unit="bytes"),
            ),
            peak=_NO_PEAK,
            notes=tuple(notes),
        )


def _ended_with(run: Callable[[], None]) -> BaseException | None:
    try:
        run()
    except Enough:
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (whatever placement ends with is its result)
        return error
    return None


def _place(
    request: TrialRequest, walk: Walk, clock: StageClock, stack: ExitStack, place: list[Site], notes: list[str]
) -> None:
    """Everything up to the last tensor asked for. Raises what placement raises."""
    import torch

    from probes.trial_config import configured
    from probes.trial_device import site

    config = configured(request) if request.target is Target.CONFIG else None
    if config is not None:
        from probes.estimate import prepare_imports

        prepare_imports(config)
        import ilora.model  # noqa: F401
    model = None
    is_virtual = request.device.startswith("virtual:")
    builds = config is not None and walk.mode is not PlaceMode.FIRST_TOUCH
    if builds and is_virtual:  # on another virtual card: there can be one at a time
        clock.enter(Stage.LOAD)
        model = _built(request, config, notes)
    clock.enter(Stage.CUDA_INIT)
    there = stack.enter_context(site(request))
    place.append(there)
    if builds and not is_virtual:
        clock.enter(Stage.LOAD)
        model = _built(request, config, notes)
    if walk.mode is PlaceMode.FIRST_TOUCH:
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
    elif model is None:
        clock.enter(Stage.LOAD)
        _run_script(request, walk, clock)
    else:
        clock.enter(Stage.PLACE_LLM)
        with walk.installed():
            if there.is_virtual:
                model.to_empty(device="cuda")
            else:
                model.to("cuda")


class _NoStages:
    """In place of a clock: nothing is put on the card while the model is built."""

    def enter(self, stage: Stage) -> None:
        """Building is one stage."""


def _built(request: TrialRequest, config: Any, notes: list[str]) -> Any:
    """The configured model, whole, off the card. For a virtual card its tensors have no contents here either."""
    import torch

    from ilora.device import place as placement_of
    from probes.place_walk import skeleton
    from probes.trial_built import Built
    from probes.trial_device import Site, site
    from probes.trial_parts import Builder, chosen_parts

    torch.manual_seed(request.seed)
    built = Built(parts=chosen_parts(request.in_namespace("parts")))
    is_virtual = request.device.startswith("virtual:")
    with ExitStack() as stack:
        if is_virtual:  # on one of the kind where nothing runs out, for what asks a tensor while it is built
            there = stack.enter_context(site(_roomy(request)))
            placement = placement_of(config.train, "cuda")
        else:
            there = Site(kind="cpu")
            placement = replace(placement_of(config.train, "cuda"), device=torch.device("cpu"))
        builder = Builder(config, built, there, placement, cast(StageClock, _NoStages()))
        builder.load()
        builder.place()
        notes.extend(built.notes)
        assert built.model is not None
        return skeleton(built.model) if is_virtual else built.model


def _roomy(request: TrialRequest) -> TrialRequest:
    kept = tuple((key, value) for key, value in request.settings if not key.startswith("device."))
    return replace(request, settings=(*kept, ("device.memory_bytes", _ROOMY_BYTES)))


def _run_script(request: TrialRequest, walk: Walk, clock: StageClock) -> None:
    """Run a script until the first of its models is called: by then everything is where it should be."""
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    from probes.run_launch import Launch, launch

    def called(module: Any, args: Any) -> None:
        if walk.num_moved and torch.cuda.memory_allocated():
            raise Enough

    handle = register_module_forward_pre_hook(called)
    what = Launch(script=request.script, is_module=request.script_is_module, args=request.script_args)
    try:
        with walk.installed():
            clock.enter(Stage.PLACE_LLM)
            ended = launch(what, lambda: None)
    finally:
        handle.remove()
    if ended.error is not None:
        raise ended.error
    if ended.is_interrupted:
        raise KeyboardInterrupt
    if ended.exit_code:
        raise SystemExit(ended.exit_code)


def _effective(request: TrialRequest, place: Site | None) -> Settings:
    from probes.trial_effective import allocator, card, environment, versions

    found: dict[str, Any] = {**dict(environment(request.settings)), **dict(versions())}
    if place is not None:
        for group in (card, allocator):
            try:
                found.update(group(place))
            except Exception as error:  # noqa: BLE001 - the end must be told, whatever can still be asked
                found[f"{group.__name__}.unavailable"] = f"{type(error).__name__}: {error}"
    return tuple(found.items())


if __name__ == "__main__":
    sys.exit(main())
