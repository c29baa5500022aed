"""An unmodified script under the recorder, as a process.

`python -P -m probes.run_script --device virtual:h100 -- train.py --epochs 3` runs the script as Python would, in the
working directory, and writes one JSON document, the record `ScriptRun`, on the descriptor that ILORA_DIAG_RESULT_FD
names. What cannot be begun is `{"status": ..., "message": ...}` instead.

Exit codes: 0 the run is told, however the script ended; 2 a mistake in a name or a setting; 4 no such device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from ilora_diag.hardware.gpus import UnknownGpu, find_gpu, with_memory

if TYPE_CHECKING:
    from probes.run_launch import Ended, Launch
    from probes.run_station import Station

EXIT_OK, EXIT_USAGE, EXIT_NO_DEVICE = 0, 2, 4
RESULT_FD = "ILORA_DIAG_RESULT_FD"
_VIRTUAL = "virtual:"


def main(argv: list[str] | None = None) -> int:
    """Run one script. Returns the exit code."""
    begin = time.perf_counter()
    channel = os.environ.pop(RESULT_FD, "")  # what the script starts must not answer for us
    arguments = _parser().parse_args(argv)
    try:
        return _answered(arguments, channel, begin)
    except _RefusedError as error:
        _send(json.dumps({"status": error.status, "message": str(error)}), channel)
        return EXIT_NO_DEVICE if error.status == "no device" else EXIT_USAGE


class _RefusedError(Exception):
    """The run cannot begin."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -P -m probes.run_script", description=__doc__)
    parser.add_argument("--device", required=True, help="cuda, or virtual:NAME")
    parser.add_argument("--memory", type=int, help="bytes of the virtual card")
    parser.add_argument("--torch", default="", help="version whose rules are modelled; default: the installed one")
    parser.add_argument("--max-steps", type=int, help="end the script after so many optimizer steps")
    parser.add_argument("-m", dest="is_module", action="store_true", help="SCRIPT is the name of a module")
    parser.add_argument("script")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    return parser


def _answered(arguments: argparse.Namespace, channel: str, begin: float) -> int:
    from ilora_diag.schema import to_json
    from probes.run_answer import Run, answer
    from probes.run_launch import Ended, Launch, launch
    from probes.run_started import Started
    from probes.run_stop import Stop
    from probes.virtual.patches import Patches

    what = Launch(script=arguments.script, is_module=arguments.is_module, args=tuple(arguments.args))
    _unbuffered()
    with _station(arguments) as station:

        def tell(ended: Ended) -> None:
            run = Run(station=station, launch=what, ended=ended, stop=stop, begin=begin, started=tuple(started.told))
            _send(to_json(answer(run)), channel)

        def end_now() -> None:
            tell(Ended(exit_code=0))
            sys.stdout.flush()
            os._exit(EXIT_OK)

        started = Started()
        stop = Stop(max_steps=arguments.max_steps, stand=station.stand, end_now=end_now)
        with Patches() as patches, started.watching(patches), stop.watching(), _counting_backward(station, stop):
            ended = launch(what, station.stand)
        _show(ended, what)
        tell(ended)
    return EXIT_OK


def _show(ended: Ended, what: Launch) -> None:
    """What Python would have printed at the end of the script."""
    from probes.run_launch import shown

    if ended.error is not None:
        sys.stderr.write(f"{shown(ended.error)}\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


@contextmanager
def _counting_backward(station: Station, stop: object) -> Iterator[None]:
    """Let every outermost call of backward be counted."""
    from probes.run_stop import Stop

    assert isinstance(stop, Stop)
    watch = station.watch
    plain = watch.backward_ends

    def ends() -> None:
        plain()
        if stop.backward_ended():
            watch.step_done()

    watch.backward_ends = ends  # type: ignore[method-assign]
    try:
        yield
    finally:
        del watch.backward_ends


@contextmanager
def _station(arguments: argparse.Namespace) -> Iterator[Station]:
    """The card asked for, with its recorder."""
    if arguments.device == "cuda":
        from probes.recorder import recorded_cuda, refusal_without_cuda

        if refusal := refusal_without_cuda("run the script"):
            raise _RefusedError("no device", refusal)
        with recorded_cuda() as station:
            yield station
        return
    if not arguments.device.startswith(_VIRTUAL):
        raise _RefusedError("usage", f"--device {arguments.device}: allowed is cuda or {_VIRTUAL}NAME")
    try:
        spec = find_gpu(arguments.device.removeprefix(_VIRTUAL))
    except UnknownGpu as error:
        raise _RefusedError("usage", f"--device {arguments.device}: {error}") from error
    if arguments.memory is not None:
        spec = with_memory(spec, arguments.memory)
    with ExitStack() as stack:
        yield _virtual(stack, spec, arguments.torch)


def _allocator_variables() -> str:
    """What the allocator is told by the environment."""
    from ilora_diag.memory.settings import CUDA_VARIABLE, GENERIC_VARIABLE

    names = (GENERIC_VARIABLE, CUDA_VARIABLE)
    return " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)


def _virtual(stack: ExitStack, spec: object, version: str) -> Station:
    import torch

    from ilora_diag.hardware.gpus import GpuSpec
    from ilora_diag.hardware.torch_versions import VersionError, torch_facts
    from ilora_diag.memory.settings import SettingsError
    from probes import run_leave_out, run_threads
    from probes.run_imports import card_hidden_from_some
    from probes.run_ledger import MeasuredLedger
    from probes.run_station import Station
    from probes.virtual import virtual_cuda
    from probes.virtual.patches import Patches

    assert isinstance(spec, GpuSpec)
    version = version or torch.__version__.partition("+")[0]
    try:
        torch_facts(version)
        machine = stack.enter_context(virtual_cuda(spec, torch_version=version))
    except VersionError as error:
        raise _RefusedError("usage", f"--torch {error}") from error
    except SettingsError as error:
        raise _RefusedError("usage", f"{_allocator_variables()}: {error}") from error
    allocator = machine.cards[0].allocator
    ledger = MeasuredLedger(read=lambda: (allocator.allocated_bytes, allocator.reserved_bytes))
    machine.ledger = ledger
    patches = stack.enter_context(Patches())
    kept = run_leave_out.install(machine, patches)
    run_threads.install(patches)
    stack.enter_context(card_hidden_from_some())
    return Station(
        device=f"{_VIRTUAL}{spec.key}",
        spec=spec,
        is_real=False,
        torch_version=version,
        ledger=ledger,
        watch=machine.watch,
        notes=machine.notes,
        attention=machine.attention,
        refused=machine.refused,
        num_alloc_retries=lambda: allocator.stats.num_alloc_retries,
        finish=kept.clean,
    )


def _unbuffered() -> None:
    """Lines of the script come through as they are written, although nobody's terminal is at the other end."""
    with suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _send(document: str, number: str) -> None:
    if number.isdigit():
        with os.fdopen(int(number), "w", encoding="utf-8") as channel:
            channel.write(document)
    else:
        sys.stdout.write(f"{document}\n")


if __name__ == "__main__":
    sys.exit(main())
